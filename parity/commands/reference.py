"""``parity reference``: references in one file, for runs without torch."""

from __future__ import annotations

import argparse

from trufor_onnx.console import EXIT_COULD_NOT, EXIT_OK, printable, stderr_console
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.files import format_size
from trufor_onnx.options import add_option
from trufor_onnx.parity.commands.arguments import add_network_arguments, models_of, require_threads
from trufor_onnx.parity.inputs.shapes import require_seed
from trufor_onnx.parity.references.store import add_cache_arguments, cache_of
from trufor_onnx.parity.results.environment import use_huge_pages
from trufor_onnx.parity.running.bundling import BundlePlan, write_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_network_arguments(parser)
    add_cache_arguments(parser)
    whose = ": by the locks the bundle knows for which variants it proves files"
    add_option(parser, "--onnx-models", whose)
    add_option(parser, "--out", " the bundle", required=True, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Write the bundle; exit code 2 where an image could not be used, and 0 else."""
    use_huge_pages()
    require_threads(args.threads)
    require_seed(args.seed)
    plan = BundlePlan(
        models=models_of(args),
        source=WeightsSource(args.weights, args.stand_in),
        images=args.images,
        out=args.out,
        most_images=args.max_images,
        pixel_scale=args.pixel_scale,
        threads=args.threads,
        shapes=not args.no_shapes,
        seed=args.seed,
        cache=cache_of(args),
        folder=args.onnx_models,
        feeds=args.feeds,
    )
    console = stderr_console()
    with console.status("references") as status:
        written = write_bundle(plan, lambda text: status.update(printable(text)))
    for line in written.skipped:
        console.print(f"left out: {printable(line)}", markup=False)
    counts = written.tally
    console.print(
        f"{counts.computed} references computed, {counts.from_cache} from cache, "
        f"{counts.corrupt} corrupt; {format_size(written.size_bytes)}, bundle {written.sha256}",
        markup=False,
    )
    print(written.path)
    return EXIT_COULD_NOT if written.skipped else EXIT_OK
