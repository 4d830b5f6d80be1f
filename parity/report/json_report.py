"""``parity.json``: the one result that every other view is made of."""

from __future__ import annotations

import json
from pathlib import Path

from chunking.atomic import atomic_write
from parity.errors import ParityError
from parity.results import Report

NAME = "parity.json"


def write_json(report: Report, folder: Path) -> Path:
    """Write the report into a folder, whole or not at all. Returns its path.

    Raises:
        ParityError: the folder cannot be written.
    """
    text = json.dumps(report.document(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode())
    except OSError as error:
        raise ParityError(
            f"{path} cannot be written ({error.strerror})", hint="name another folder with --out"
        ) from error
    return path
