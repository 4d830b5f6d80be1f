"""The options that the command line and the local page share, and what they mean."""

from __future__ import annotations

import argparse

from trufor_onnx.errors import AnalysisError
from trufor_onnx.options import Value, add_option
from trufor_onnx.runtime.detector import MODELS, Detector
from trufor_onnx.runtime.images import LARGEST_PIXELS
from trufor_onnx.runtime.model_files import AUTO
from trufor_onnx.runtime.outputs import FORMATS, SAVES, Wanted
from trufor_onnx.runtime.tiling import DEFAULT_TILE

MEGA = 1_000_000


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """How to run."""
    files = ": noiseprint_pp and trufor_head, as *.onnx or *.chunks"
    add_option(parser, "--onnx-models", files, old=("--models",), default=MODELS)
    what = "; of the detector's file (default: ort where there is one)"
    add_option(parser, "--variant", what, default=AUTO)
    add_option(parser, "--providers", "; the first must be what runs")
    parser.add_argument(
        "--tile",
        type=int,
        default=DEFAULT_TILE,
        metavar="N",
        help="rows and columns of a Noiseprint++ tile: less memory, same result "
        "(default: %(default)s)",
    )
    add_option(parser, "--threads")
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=LARGEST_PIXELS / MEGA,
        metavar="N",
        help="refuse larger images before they are unpacked (default: %(default)g)",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """What to write."""
    parser.add_argument(
        "--save",
        action=Value,
        once=True,
        default=",".join(Wanted().saves),
        metavar="LIST",
        help=f"of {','.join(SAVES)} (default: %(default)s)",
    )
    also = f", of {','.join(FORMATS)}; the JSON record always is"
    add_option(parser, "--format", also, default=",".join(FORMATS))
    parser.add_argument(
        "--overwrite", action="store_true", help="analyse also what is done already"
    )


def detector_of(args: argparse.Namespace) -> Detector:
    """The detector that the options mean.

    Raises:
        AnalysisError: an option's value cannot be used, or the models cannot.
    """
    if not args.max_megapixels > 0:
        raise AnalysisError("--max-megapixels must be positive", hint="as 64")
    return Detector(
        args.onnx_models,
        providers=[name.strip() for name in args.providers.split(",") if name.strip()],
        variant=args.variant,
        tile=args.tile,
        threads=args.threads,
        largest_pixels=int(args.max_megapixels * MEGA),
    )


def wanted_of(args: argparse.Namespace) -> Wanted:
    """What the options want written.

    Raises:
        AnalysisError: an unknown name, or none.
    """
    return Wanted(_listed("--save", args.save, SAVES), _listed("--format", args.format, FORMATS))


def _listed(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise AnalysisError(
            f"{option}: unknown: {', '.join(unknown) or 'nothing given'}",
            hint=f"it takes {','.join(known)}",
        )
    return tuple(name for name in known if name in names)
