"""The options of ``parity run``, and the plan that they make."""

from __future__ import annotations

import argparse
from pathlib import Path

from trufor_onnx.console import Once
from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.users import is_users
from trufor_onnx.export.variants import DEFAULT_VARIANT
from trufor_onnx.export.weights.sources import WeightsSource, add_weights_arguments
from trufor_onnx.parity.inputs.cases import require_seed
from trufor_onnx.parity.references.identity import candidates_of
from trufor_onnx.parity.references.store import add_cache_arguments, cache_of
from trufor_onnx.parity.runners.providers import parse_providers
from trufor_onnx.parity.running.run import RunPlan

OUT = Path("reports/parity")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything that ``parity run`` takes."""
    add_network_arguments(parser)
    parser.add_argument(
        "--providers",
        action=Once,
        default="cpu",
        metavar="LIST",
        help="cpu,cuda,tensorrt,openvino, or auto (default: %(default)s)",
    )
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="judge this ONNX file in place of the exported one; several files of a network are "
        "judged beside each other",
    )
    parser.add_argument(
        "--onnx-models",
        type=Path,
        default=Path("onnx_models"),
        metavar="DIR",
        help="where exported files are (default: %(default)s)",
    )
    parser.add_argument(
        "--variants",
        action=Once,
        default=DEFAULT_VARIANT,
        metavar="LIST",
        help="exported files to judge beside each other: portable,ort,... (default: %(default)s)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="take all references from this file of `parity reference`; torch is not needed",
    )
    add_cache_arguments(parser)
    parser.add_argument(
        "--no-resume",
        action="store_true",
        help="measure everything anew, also what an interrupted run with this --out has done",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        metavar="DIR",
        help="folder for the reports (default: %(default)s)",
    )
    parser.add_argument(
        "--formats",
        action=Once,
        default="json,junit,markdown,html",
        metavar="LIST",
        help="reports to write; parity.json always is (default: %(default)s)",
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Which networks with which weights, on what: the same for runs and bundles."""
    parser.add_argument(
        "--models",
        action="extend",
        nargs="+",
        required=True,
        metavar="MODEL",
        help="the networks; see `python -m export list`",
    )
    add_weights_arguments(parser)
    parser.add_argument(
        "--images",
        type=Path,
        default=Path("sample_dataset"),
        metavar="WHERE",
        help="folder of images, manifest (*.json), quoted pattern or one image "
        "(default: %(default)s)",
    )
    parser.add_argument("--max-images", type=int, metavar="N", help="only the first N images")
    parser.add_argument(
        "--pixel-scale",
        type=float,
        metavar="X",
        help="divide 8-bit values by this instead of the network's own 256; for "
        "files made under another contract",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="threads of an operator (default: the backend's choice)",
    )
    parser.add_argument(
        "--no-shapes",
        action="store_true",
        help="leave the shape matrix and the drawn sizes out; made pictures are run in any case",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="draw sizes anew with this seed (default: one that follows from the files, or the "
        "bundle's)",
    )


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
        providers=tuple(parse_providers(args.providers)),
        most_images=args.max_images,
        candidates=candidates_of(args.candidate),
        folder=args.onnx_models,
        pixel_scale=args.pixel_scale,
        threads=args.threads,
        shapes=not args.no_shapes,
        seed=args.seed,
        variants=tuple(name for name in args.variants.split(",") if name),
        cache=None if args.reference else cache_of(args),
        bundle=args.reference,
    )


def models_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The networks' names, with blanks or commas between them; a user's own as it calls itself."""
    names = (name for text in args.models for name in text.split(",") if name)
    return tuple(find(name).name if is_users(name) else name for name in names)


def require_threads(threads: int) -> None:
    """Refuse a number of threads that cannot be.

    Raises:
        ParityError: it is negative.
    """
    if threads < 0:
        raise ParityError("--threads must be 0 or more", hint="leave it out for all cores")
