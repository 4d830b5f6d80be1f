"""What can be wrong with a folder of pieces, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chunking.errors import ChunkingError
from chunking.manifest import shown

_TENSORS_SHOWN, _FAULTS_SHOWN = 4, 20


class FaultKind(StrEnum):
    """The kinds of fault."""

    MISSING = "missing"
    SIZE = "wrong size"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    UNSAFE = "unsafe"
    UNLISTED = "unlisted"
    FILE_DIGEST = "wrong file digest"
    CUTS = "wrong cuts"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        kind: what.
        name: the file within the folder.
        index: which piece, from 0; None where it is not about a piece.
        start: the first byte of the merged file that it touches; None as above.
        end: the byte after the last; None as above.
        expected: what the manifest says (a digest, a size), where that helps.
        found: what is there.
        cause: what probably happened, or more detail.
        hint: what to do about it.
        tensors: names of the tensors that lie in these bytes, as far as they can be known.
    """

    kind: FaultKind
    name: str
    index: int | None = None
    start: int | None = None
    end: int | None = None
    expected: str = ""
    found: str = ""
    cause: str = ""
    hint: str = ""
    tensors: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = "" if self.index is None else f"piece {self.index}, bytes {self.start}-{self.end}, "
        text = f"{self.kind}: {place}{shown(self.name)[1:-1]}"
        if self.cause:
            text += f": {self.cause}"
        if self.expected or self.found:
            text += f" (expected {self.expected or 'nothing'}, found {self.found or 'nothing'})"
        if self.tensors:
            names = ", ".join(shown(name)[1:-1] for name in self.tensors[:_TENSORS_SHOWN])
            more = len(self.tensors) - _TENSORS_SHOWN
            text += f"; tensors: {names}" + (f" and {more} more" if more > 0 else "")
        return text


class IntegrityError(ChunkingError):
    """The pieces are not what the manifest says, so nothing was merged.

    Attributes:
        faults: all that is wrong.
    """

    exit_code = 1

    def __init__(self, what: str, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = "".join(f"\n  {fault}" for fault in self.faults[:_FAULTS_SHOWN])
        if len(self.faults) > _FAULTS_SHOWN:
            lines += f"\n  and {len(self.faults) - _FAULTS_SHOWN} more: `verify` lists all"
        hints = dict.fromkeys(fault.hint for fault in self.faults if fault.hint)
        super().__init__(what + lines, hint="; ".join(hints))
