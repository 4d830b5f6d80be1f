"""The options of ``parity run``, and the plan that they make."""

from __future__ import annotations

import argparse

from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks import users
from trufor_onnx.export.networks.registry import find_typed
from trufor_onnx.export.networks.users import is_users
from trufor_onnx.export.variants import DEFAULT_VARIANT
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.options import REPORT, add_option, add_options, add_weights_options
from trufor_onnx.parity.inputs.feeds import example_of
from trufor_onnx.parity.inputs.shapes import require_seed
from trufor_onnx.parity.references.identity import candidates_of
from trufor_onnx.parity.references.store import add_cache_arguments, cache_of
from trufor_onnx.parity.results.tolerances import read_tolerances
from trufor_onnx.parity.running.run import RunPlan
from trufor_onnx.providers import parse_providers

PROVIDERS = "cpu,cuda,tensorrt,openvino are measured one by one; auto: all that there are"


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything that ``parity run`` takes."""
    add_network_arguments(parser)
    add_option(parser, "--providers", f"; {PROVIDERS}")
    one_or_more = ": judged in place of the exported one; several beside each other"
    add_option(parser, "--candidate", one_or_more)
    add_option(parser, "--onnx-models")
    add_variants(parser)
    add_option(parser, "--reference", ": all references come from it; torch is not needed")
    add_option(parser, "--tolerances")
    add_cache_arguments(parser)
    parser.add_argument(
        "--no-resume",
        action="store_true",
        help="measure everything anew, also what an interrupted run with this --out has done",
    )
    add_option(parser, "--out", default=REPORT.parent)
    formats = "json,junit,markdown,html"
    add_option(parser, "--format", "; parity.json always is", old=("--formats",), default=formats)


def add_variants(parser: argparse.ArgumentParser) -> None:
    """``--variant``, of which runs and benchmarks take several."""
    several = "; several, with commas between them, are measured beside each other"
    add_option(
        parser, "--variant", several, old=("--variants",), default=DEFAULT_VARIANT, once=True
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Which networks with which weights, on what: the same for runs and bundles."""
    add_option(parser, "--models", required=True)
    add_weights_options(parser)
    add_option(parser, "--images")
    add_option(parser, "--feeds", "; in place of --images")
    parser.add_argument("--max-images", type=int, metavar="N", help="only the first N images")
    parser.add_argument(
        "--pixel-scale",
        type=float,
        metavar="X",
        help="divide 8-bit values by this instead of the network's own 256; for "
        "files made under another contract",
    )
    add_option(parser, "--threads")
    parser.add_argument(
        "--no-shapes",
        action="store_true",
        help="leave the shape matrix and the drawn sizes out; made pictures are run in any case",
    )
    drawn = ": sizes (default: a seed that follows from the files, or the bundle's)"
    add_option(parser, "--seed", drawn)


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """What a report is judged by, and with: the same for the gate and a release."""
    add_options(parser, "--bench", "--baseline", "--policy", "--tolerances")
    add_option(parser, "--onnx-models", old=("--models-dir",))
    add_options(parser, "--release", "--key")


def plan_of(args: argparse.Namespace) -> RunPlan:
    """The plan that the options make.

    Raises:
        ParityError: an option's value cannot be used.
    """
    require_threads(args.threads)
    require_seed(args.seed)
    return RunPlan(
        models=models_of(args),
        source=WeightsSource(args.weights, args.stand_in),
        images=args.images,
        feeds=args.feeds,
        providers=tuple(parse_providers(args.providers)),
        most_images=args.max_images,
        candidates=candidates_of(args.candidate),
        folder=args.onnx_models,
        pixel_scale=args.pixel_scale,
        threads=args.threads,
        shapes=not args.no_shapes,
        seed=args.seed,
        variants=tuple(name for name in args.variant.split(",") if name),
        cache=None if args.reference else cache_of(args),
        bundle=args.reference,
        tolerances=read_tolerances(args.tolerances),
    )


def models_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The networks' names, with blanks or commas between them; a user's own as it calls itself."""
    use_example(args)
    names = (name for text in args.models for name in text.split(",") if name)
    return tuple(map(model_of, names))


def use_example(args: argparse.Namespace) -> None:
    """What a network of the user's takes is found from one of its feeds, where they are given."""
    if getattr(args, "feeds", ""):
        users.set_example(example_of(args.feeds))


def model_of(name: str) -> str:
    """What a network that the user typed is called; code that the name names is run for it."""
    return find_typed(name).name if is_users(name) else name


def require_threads(threads: int) -> None:
    """Refuse a number of threads that cannot be.

    Raises:
        ParityError: it is negative.
    """
    if threads < 0:
        raise ParityError("--threads must be 0 or more", hint="leave it out for all cores")
