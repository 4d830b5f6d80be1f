"""Models that are shipped in pieces: merged on first use, verified, kept in a cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chunking.errors import UserError
from chunking.folders import open_folder
from chunking.merging import merge
from runtime.errors import ModelError

ENVIRONMENT = "TRUFOR_CACHE"
APPLICATION = "trufor-onnx"


def cache_folder() -> Path:
    """``$TRUFOR_CACHE``, or the platform's folder for caches."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given)
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / APPLICATION
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / APPLICATION
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / APPLICATION


def merged_model(pieces: Path) -> Path:
    """The file that a folder of pieces holds, in the cache under its own digest.

    Every piece and the whole are checked while merging; a file that is in the cache already is
    read and checked too, and merged anew where it is not right.

    Args:
        pieces: a ``NAME.chunks`` folder.

    Raises:
        ModelError: a piece is missing or damaged (all faults are named), there is no manifest, or
            the cache cannot be written.
    """
    cache = cache_folder()
    try:
        expected = open_folder(pieces).manifest.file
        folder = cache / "merged" / expected.sha256
        folder.mkdir(parents=True, exist_ok=True)
        return merge(pieces, folder / expected.name, force=True).file
    except UserError as error:
        raise ModelError(
            f"{pieces} cannot be used: {error.problem}",
            hint=error.hint or "get the folder again; `python -m chunking verify` says what is bad",
        ) from error
    except OSError as error:
        raise ModelError(
            f"{error.filename or cache}: the cache cannot be written ({error.strerror})",
            hint=f"choose another folder: {ENVIRONMENT}=FOLDER",
        ) from error
