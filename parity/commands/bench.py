"""``parity bench``: latency and peak memory, printed as tables, written as JSON and Markdown."""

from __future__ import annotations

import argparse
import math
import secrets
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from trufor_onnx.console import EXIT_COULD_NOT, EXIT_OK, printable, stderr_console
from trufor_onnx.errors import ParityError
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.files import atomic_write
from trufor_onnx.options import Value, add_option, add_weights_options
from trufor_onnx.parity.commands.arguments import (
    PROVIDERS,
    add_variants,
    models_of,
    require_threads,
)
from trufor_onnx.parity.inputs.shapes import require_seed
from trufor_onnx.parity.references.identity import candidates_of
from trufor_onnx.parity.report.timing import bench_markdown, bench_tables, lines_below
from trufor_onnx.parity.results.timing import NAME, BenchReport, TimingOutcome, json_text
from trufor_onnx.parity.timing.measuring import run_bench
from trufor_onnx.parity.timing.plan import BACKENDS, ONNXRUNTIME, BenchPlan, Rules, Size
from trufor_onnx.providers import parse_providers

OUT = Path("reports/bench")
PAGE = "bench.md"
WIDTH_OF_FILES = 160  # columns where standard output is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_option(parser, "--models", required=True)
    add_weights_options(parser)
    add_variants(parser)
    text = ", or one number; several with commas between them"
    add_option(parser, "--size", text, old=("--sizes",), default="256", once=True)
    text = f"{','.join(BACKENDS)} (default: %(default)s)"
    parser.add_argument(
        "--backends", action=Value, once=True, default=ONNXRUNTIME, metavar="LIST", help=text
    )
    add_option(parser, "--providers", f"; {PROVIDERS}")
    add_option(parser, "--compare-to", " (default: the first variant)", old=("--baseline",))
    add_option(parser, "--candidate", ": measured beside the exported ones")
    add_option(parser, "--onnx-models", "; missing files are exported")
    add_option(parser, "--images", ": its first picture, cropped or mirrored to size, is run")
    _add_rules(parser)
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    add_option(parser, "--out", default=OUT)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    add, rules = parser.add_argument, Rules()
    add_option(parser, "--threads")
    add(
        "--repeats",
        type=int,
        default=rules.rounds,
        metavar="N",
        help="rounds at least; in each, every process has one turn (default: %(default)s)",
    )
    add(
        "--min-seconds",
        type=float,
        default=rules.min_seconds,
        metavar="S",
        help="rounds go on until every process has measured so long (default: %(default)s)",
    )
    add_option(parser, "--seed", ": the order (default: a new one, which is written down)")
    add(
        "--spinning",
        action="store_true",
        help="let ONNX Runtime's idle threads spin, as they do by default: for a machine that "
        "does nothing else",
    )


def plan_of(args: argparse.Namespace) -> BenchPlan:
    """The plan that the options make.

    Raises:
        ParityError: an option's value cannot be used.
    """
    require_threads(args.threads)
    require_seed(args.seed)
    if not (0.0 <= args.min_seconds < math.inf):
        raise ParityError("--min-seconds must be 0 or more", hint="leave it out for 1")
    variants, backends = _names(args.variant, "variant"), _names(args.backends, "backends")
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown:
        raise ParityError(
            f"unknown backend: {', '.join(unknown)}", hint=f"there are {', '.join(BACKENDS)}"
        )
    given = candidates_of(args.candidate)
    baseline = args.compare_to or (variants[0] if ONNXRUNTIME in backends else backends[0])
    candidates = {name: _only(name, files) for name, files in given.items()}
    models = tuple(dict.fromkeys(models_of(args)))
    _require_known(baseline, {*variants, *backends, *(["candidate"] if candidates else [])})
    if stray := sorted(candidates.keys() - set(models)):
        raise ParityError(
            f"--candidate names {', '.join(stray)}, which --models does not",
            hint=f"add it: --models {' '.join([*models, *stray])}",
        )
    return BenchPlan(
        models=models,
        source=WeightsSource(args.weights, args.stand_in),
        providers=tuple(parse_providers(args.providers)),
        variants=variants,
        sizes=tuple(_size(text) for text in _names(args.size, "size")),
        backends=backends,
        rules=Rules(
            rounds=args.repeats,
            min_seconds=args.min_seconds,
            threads=args.threads,
            spinning=args.spinning,
            seed=secrets.randbits(32) if args.seed is None else args.seed,
        ),
        baseline=baseline,
        memory=not args.no_memory,
        images=args.images,
        folder=args.onnx_models,
        candidates=candidates,
    )


def _names(text: str, option: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise ParityError(f"--{option} names nothing", hint="leave it out for the default")
    return found


def _size(text: str) -> Size:
    height, _, width = text.partition("x")
    try:
        found = int(height), int(width or height)
    except ValueError:
        found = (0, 0)
    if min(found) < 1 or text.endswith("x"):
        raise ParityError(f"--size {text}: no size", hint="256, or 480x640 (height x width)")
    return found


def _only(name: str, files: Sequence[Path]) -> Path:
    """The one candidate of a network: rows and gates know it by the word candidate."""
    if len(files) > 1:
        raise ParityError(
            f"--candidate {name}: {len(files)} files ({', '.join(map(str, files))})",
            hint="measure them one after the other, each with an --out of its own; `parity run` "
            "judges several beside each other",
        )
    return files[0]


def _require_known(baseline: str, names: set[str]) -> None:
    if baseline not in names:
        raise ParityError(
            f"--compare-to {baseline}: not measured here", hint=f"one of {', '.join(sorted(names))}"
        )


def run(args: argparse.Namespace) -> int:
    """Measure, write, print. Exit code 0: all measured; 2: something was not."""
    plan = plan_of(args)
    errors = stderr_console()
    with errors.status("starting") as status:
        report = run_bench(plan, lambda text: status.update(escape(text)))
    paths = _write(report, args.out)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    for table in bench_tables(report):
        console.print(table)
    for line in lines_below(report):
        console.print(printable(line), markup=False, soft_wrap=True)
    errors.print(f"{report.outcome}: {', '.join(map(str, paths))}", markup=False)
    return EXIT_OK if report.outcome is TimingOutcome.MEASURED else EXIT_COULD_NOT


def _write(report: BenchReport, folder: Path) -> list[Path]:
    paths = [folder / NAME, folder / PAGE]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (json_text(report), bench_markdown(report)), strict=True):
            atomic_write(path, text.encode())
    except OSError as error:
        raise ParityError(
            f"{folder} cannot be written ({error.strerror})", hint="name another with --out"
        ) from error
    return paths
