"""The errors that a user can mend. Every package's own error derives from ``UserError``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_AXIS = re.compile(r"index: \d+ Got: \S+ Expected: \S+")


def command(*words: object) -> str:
    """A command of this package for a hint, quoted so that it can be copied to a shell."""
    return "python -m chunking " + shlex.join(map(str, words))


def first_line(error: BaseException) -> str:
    """The first line of what an error of a library says, or its kind where it says nothing.

    ONNX Runtime says in later lines which axis is wrong; these belong to the first:
    ``index: 3 Got: 3 Expected: 64``.
    """
    first, *more = (str(error).strip() or type(error).__name__).splitlines()
    axes = [line.strip() for line in more if _AXIS.fullmatch(line.strip())]
    return " ".join([first, *([", ".join(axes)] if axes else [])])


def first_few(names: Sequence[str], most: int) -> str:
    """``a, b, c and 4 more``: what a message names of a long list.

    Args:
        names: all of them.
        most: how many are named.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class UserError(Exception):
    """Something a user can mend: what was wrong, where, and what to do about it.

    Command lines print it without a traceback and exit with ``exit_code``.
    """

    exit_code = 2

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(f"{problem}\n  hint: {hint}" if hint else problem)


class ChunkingError(UserError):
    """A file could not be split, merged or checked."""


class ManifestError(ChunkingError):
    """A manifest is not one that ``split`` writes."""


class HiddenManifestError(ManifestError):
    """A manifest that is right, but not as bytes here: a pointer to it, other line ends, newer."""


class FramingError(ChunkingError):
    """Bytes are not the protobuf framing of an ONNX model."""


class ExternalDataError(ChunkingError):
    """An ONNX model keeps weights in another file, which the pieces would not hold."""


class StorageError(ChunkingError):
    """The file system refused: no space, no permission, no such folder, a broken disk."""


class UnsafeFileError(ChunkingError):
    """A link, a device or a folder stands where a regular file must be."""


class ContentError(ChunkingError):
    """A file does not hold what its name, or the lock beside it, says."""


class ReplacementError(ChunkingError):
    """What stands there would be lost, so it is not replaced or removed unasked."""


class SourceChangedError(ChunkingError):
    """A file changed while it was read."""


class ExportError(UserError):
    """The export could not be made."""


class CoverageError(ExportError):
    """The checkpoint does not set every tensor of the network exactly once."""


class TracerError(ExportError):
    """The network runs, and torch's tracer cannot make a graph of it: another exporter may."""


class LockError(ExportError):
    """A lock file cannot be read as one; exporting again writes it anew."""


class PreprocessError(ExportError):
    """An image could not be read as the networks need it."""


class ParityError(UserError):
    """The comparison could not be made (exit 2)."""


class ProviderRunError(ParityError):
    """An execution provider that was asked for did not run."""


class AnalysisError(UserError):
    """An image could not be analysed."""


class ImageError(AnalysisError):
    """The image is the cause: unreadable, damaged, too small or too large."""


class ModelError(AnalysisError):
    """The exported files are the cause: missing, damaged, not what they claim to be."""


class ProviderError(AnalysisError):
    """ONNX Runtime, or the execution provider that was asked for, is not there."""


class OutOfMemoryError(AnalysisError):
    """The image needs more memory than there is; said before it is tried."""


class OutputError(AnalysisError):
    """Results cannot be written where they were asked for."""
