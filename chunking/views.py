"""Results as text, for people."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trufor_onnx.chunking.inspecting import Inspection
from trufor_onnx.chunking.manifest import shown
from trufor_onnx.chunking.merging import Merged
from trufor_onnx.chunking.pipeline import OnBytes
from trufor_onnx.chunking.pruning import Pruned
from trufor_onnx.chunking.splitting import Split
from trufor_onnx.chunking.verifying import Fault, IntegrityError, Verification
from trufor_onnx.console import stderr_console
from trufor_onnx.errors import UserError, command
from trufor_onnx.files import format_size

if TYPE_CHECKING:
    from rich.table import Table


SCHEMA_VERSION = 1
Json = dict[str, Any]
Result = Split | Merged | Verification | Inspection | Pruned
_NAME_WIDTH = 48


def counted(number: int, word: str) -> str:
    """A number and its noun: "1 piece", "2 pieces"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def split_lines(result: Split) -> Iterator[str]:
    """What `split` did."""
    total = len(result.manifest.chunks)
    kept = total - result.written_pieces
    yield (
        f"{result.file} -> {result.folder}: {format_size(result.manifest.file.size)} in "
        f"{counted(total, 'piece')}, {result.written_pieces} written "
        f"({format_size(result.written_bytes)}), {kept} already there"
    )
    yield f"  release {result.release_id}"
    if result.leftovers:
        prune = command("prune", result.folder, "--keep", result.folder)
        more = f"keep them: {result.needed}" if result.needed else f"to remove: {prune}"
        yield f"  {counted(result.leftovers, 'piece')} of an earlier release left; {more}"
    if result.git:
        yield f"  {result.git}"


def merge_lines(result: Merged) -> Iterator[str]:
    """What `merge` did."""
    done = "merged and verified" if result.written else "already there and right, not touched"
    yield f"{result.file}: {done}, {format_size(result.manifest.file.size)}"
    yield f"  sha256 {result.manifest.file.sha256}"


def verify_lines(result: Verification) -> Iterator[str]:
    """What `verify` found."""
    pieces = counted(len(result.manifest.chunks), "piece")
    size = format_size(result.manifest.file.size)
    if not result.faults:
        more = ", the whole file's digest and its cuts too" if result.full else ""
        yield f"{result.folder}: all right, {pieces}, {size}{more}"
        yield f"  release {result.release_id}"
        return
    yield f"{result.folder}: {counted(len(result.faults), 'fault')}; {pieces}, {size}"
    yield from (f"  {fault}" for fault in result.faults)
    hints = dict.fromkeys(fault.hint for fault in result.faults if fault.hint)
    yield from (f"  hint: {hint}" for hint in hints)


def prune_lines(result: Pruned) -> Iterator[str]:
    """What `prune` removed."""
    verb = "would remove" if result.dry_run else "removed"
    size = format_size(result.removed_bytes)
    yield f"{result.folder}: {verb} {counted(len(result.removed), 'file')}, {size}"
    yield from (f"  {name}" for name in result.removed)


def inspect_lines(result: Inspection) -> Iterator[str]:
    """The summary of what `inspect` found."""
    file, chunker = result.manifest.file, result.manifest.chunker
    yield f"{result.folder}: {file.name}, {format_size(file.size)}, sha256 {file.sha256}"
    yield f"  release {result.release_id}"
    yield (
        f"  {counted(len(result.manifest.chunks), 'piece')} cut by {chunker.name!r} version "
        f"{chunker.version}, target {format_size(chunker.target)}, "
        f"max {format_size(chunker.max)}"
    )
    if result.gap:
        yield f"  not all tensors can be named: {result.gap}"
    if result.sharing:
        sharing = result.sharing
        yield (
            f"  {sharing.new_share:.1%} of the bytes are new: {format_size(sharing.new_bytes)} "
            f"new, {format_size(sharing.shared_bytes)} shared, "
            f"{format_size(sharing.gone_bytes)} of the older release gone"
        )


def document(
    command: str, results: Sequence[Result], errors: Sequence[tuple[Path, UserError]]
) -> str:
    """One JSON document for one run of a command: what was done, and what could not be."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "results": [describe(result) for result in results],
        "errors": [_error(path, error) for path, error in errors],
        "environment": {
            "python": platform.python_version(),
            "platform": sys.platform,
            "cpus": os.cpu_count(),
        },
    }
    return json.dumps(data, sort_keys=True, indent=2, allow_nan=False)


def describe(result: Result) -> Json:
    """One result as a JSON object."""
    if isinstance(result, Pruned):
        return {**asdict(result), "folder": str(result.folder)}
    data: Json = {
        "folder": str(result.folder),
        "release_id": result.release_id,
        "name": result.manifest.file.name,
        "size": result.manifest.file.size,
        "sha256": result.manifest.file.sha256,
    }
    if isinstance(result, Split):
        data |= {
            "file": str(result.file),
            "pieces": len(result.manifest.chunks),
            "written_pieces": result.written_pieces,
            "written_bytes": result.written_bytes,
            "leftovers": result.leftovers,
            "needed": result.needed,
            "git": result.git,
        }
    elif isinstance(result, Merged):
        data |= {"file": str(result.file), "written": result.written}
    elif isinstance(result, Verification):
        data |= {
            "full": result.full,
            "ok": not result.faults,
            "faults": [_fault(fault) for fault in result.faults],
        }
    else:
        data |= _inspection(result)
    return data


def _inspection(result: Inspection) -> Json:
    sharing = result.sharing
    new = sharing.is_new if sharing else (None,) * len(result.manifest.chunks)
    return {
        "chunker": asdict(result.manifest.chunker),
        "pieces": [
            {**asdict(piece), "tensors": list(tensors), "is_new": is_new}
            for piece, tensors, is_new in zip(
                result.manifest.chunks, result.tensors, new, strict=True
            )
        ],
        "tensors_gap": result.gap,
        "sharing": None
        if sharing is None
        else {
            "against": sharing.against,
            "new_bytes": sharing.new_bytes,
            "shared_bytes": sharing.shared_bytes,
            "gone_bytes": sharing.gone_bytes,
            "new_share": sharing.new_share,
        },
    }


def _fault(fault: Fault) -> Json:
    return {**asdict(fault), "kind": str(fault.kind), "tensors": list(fault.tensors)}


def _error(path: Path, error: UserError) -> Json:
    faults = error.faults if isinstance(error, IntegrityError) else ()
    return {
        "path": str(path),
        "kind": type(error).__name__,
        "problem": error.problem,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "faults": [_fault(fault) for fault in faults],
    }


@contextmanager
def byte_progress(label: str, total: int) -> Iterator[OnBytes | None]:
    """Draw a bar while the block runs; yields the callback to report bytes with."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def pieces_table(result: Inspection) -> Table:
    """One row a piece: where it lies, its digest, whether it is new, and its tensors."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("piece", justify="right")
    table.add_column("offset", justify="right")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    if result.sharing:
        table.add_column("new", no_wrap=True)
    table.add_column("tensors", justify="right")
    table.add_column("first and last", overflow="fold")
    for index, piece in enumerate(result.manifest.chunks):
        names = result.tensors[index]
        new = [("new" if result.sharing.is_new[index] else "")] if result.sharing else []
        row = [str(index), str(piece.offset), format_size(piece.size), piece.sha256[:16], *new]
        row += [str(len(names)), " ... ".join(map(_short, _first_and_last(names)))]
        table.add_row(*map(Text, row))
    return table


def _first_and_last(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) < 2 else (names[0], names[-1])


def _short(name: str) -> str:
    text = shown(name)[1:-1] or "(unnamed)"
    return text if len(text) <= _NAME_WIDTH else "..." + text[3 - _NAME_WIDTH :]
