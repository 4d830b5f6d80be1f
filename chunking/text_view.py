"""Results as text, for people."""

from __future__ import annotations

from collections.abc import Iterator

from chunking.errors import command
from chunking.inspecting import Inspection
from chunking.merging import Merged
from chunking.pruning import Pruned
from chunking.sizes import format_size
from chunking.splitting import Split
from chunking.verifying import Verification


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
