"""What the command line shows of exports and networks, as rich tables."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from export.build import Exported
from export.registry import ENTRY_POINT_GROUP
from export.spec import ModelSpec
from export.variants import DEFAULT_VARIANT, Variant

DIGITS = 16  # of a SHA-256; the lock has all


def sentence(result: Exported) -> str:
    """One export in a line."""
    done = f"written in {result.seconds:.1f} s" if result.seconds else "up to date"
    replaced = f"; replaces {result.replaced}" if result.replaced else ""
    return f"{result.path}: {done}; {result.weights}{replaced}"


def exported(results: Iterable[Exported]) -> Table:
    """File, size, digest and weights of each export."""
    table = Table(title="Exported")
    table.add_column("file", overflow="fold")
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("SHA-256", no_wrap=True)
    table.add_column("weights", overflow="fold")
    for result in results:
        size = f"{result.size_bytes / 1e6:.1f}"
        digest = result.sha256[:DIGITS]
        table.add_row(escape(str(result.path)), size, digest, escape(result.weights))
    return table


def networks(specs: Iterable[ModelSpec]) -> Table:
    """What can be exported."""
    table = Table(caption=f"and timm:NAME; packages add more (entry point {ENTRY_POINT_GROUP})")
    table.add_column("model", no_wrap=True)
    for heading in ("what", "inputs", "outputs", "loads from"):
        table.add_column(heading, overflow="fold")
    for spec in specs:
        cells = (
            spec.name,
            spec.title,
            ", ".join(tensor.name for tensor in spec.inputs),
            ", ".join(tensor.name for tensor in spec.outputs),
            ", ".join(spec.files),
        )
        table.add_row(*map(escape, cells))
    return table


def variants(known: Iterable[Variant]) -> Table:
    """How a file can be made."""
    table = Table(caption="python -m export MODEL --variant VARIANT")
    table.add_column("variant", no_wrap=True)
    for heading in ("what", "file", "networks"):
        table.add_column(heading, overflow="fold")
    for variant in known:
        infix = "" if variant.name == DEFAULT_VARIANT else f".{variant.name}"
        cells = (
            variant.name,
            variant.title,
            f"MODEL{infix}.onnx",
            ", ".join(variant.models) or "all",
        )
        table.add_row(*map(escape, cells))
    return table
