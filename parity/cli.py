"""``python -m parity``: measure how far ONNX files are from the networks they were made of."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from chunking.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK, run_cli, stderr_console
from export.arguments import add_weights_arguments
from export.sources import WeightsSource
from parity.errors import ParityError
from parity.report.json_report import write_json
from parity.report.live import LiveView
from parity.report.tables import groups_table, problems, rows_table, weights_lines
from parity.results import Report, Status
from parity.run import Plan, run_parity
from parity.runners.providers import parse_providers

EXIT_CODES = {
    Status.PASS: EXIT_OK,
    Status.FAIL: EXIT_FAILED,
    Status.ERROR: EXIT_COULD_NOT,
    Status.NOT_RUN: EXIT_COULD_NOT,
}
LATER = {
    "gate": "judging a stored report against a policy comes with the release issue",
    "report": "the HTML report comes with the release issue; `parity run` writes parity.json",
}


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print. Exit code: 0 all passed, 1 a comparison failed, 2 could not compare."""
    return run_cli(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m parity", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="compare ONNX Runtime with PyTorch on images"))
    for name, text in LATER.items():
        commands.add_parser(name, help=f"(not built yet: {text})")
    commands.add_parser("dataset", help="make sample_dataset/, or the CocoGlide subset")
    if argv[:1] == ["dataset"]:
        from parity.dataset.cli import main as dataset

        return dataset(argv[1:])
    args, rest = parser.parse_known_args(argv)
    if args.command in LATER:
        raise ParityError(f"`parity {args.command}` is not built yet", hint=LATER[args.command])
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return _run(args)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        nargs="+",
        required=True,
        metavar="MODEL",
        help="networks to compare; see `python -m export list`",
    )
    add_weights_arguments(parser)
    parser.add_argument(
        "--images",
        type=Path,
        default=Path("sample_dataset"),
        metavar="DIR",
        help="folder of images, or one with a manifest.json (default: %(default)s)",
    )
    parser.add_argument("--max-images", type=int, metavar="N", help="only the first N images")
    parser.add_argument(
        "--providers",
        default="cpu",
        metavar="LIST",
        help="cpu,cuda,tensorrt,openvino, or auto (default: %(default)s)",
    )
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="judge this ONNX file in place of the exported one",
    )
    parser.add_argument(
        "--onnx-models",
        type=Path,
        default=Path("onnx_models"),
        metavar="DIR",
        help="where exported files are (default: %(default)s)",
    )
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
    parser.add_argument("--no-shapes", action="store_true", help="leave the shape matrix out")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("reports/parity"),
        metavar="DIR",
        help="folder for parity.json (default: %(default)s)",
    )


def _run(args: argparse.Namespace) -> int:
    plan = Plan(
        models=tuple(name for text in args.models for name in text.split(",") if name),
        source=WeightsSource(args.weights, args.stand_in),
        images=args.images,
        providers=tuple(parse_providers(args.providers)),
        most_images=args.max_images,
        candidates=dict(_candidate(text) for text in args.candidate),
        folder=args.onnx_models,
        pixel_scale=args.pixel_scale,
        threads=args.threads,
        shapes=not args.no_shapes,
    )
    errors = stderr_console()
    with LiveView(errors) as view:
        report = run_parity(plan, view)
    path = write_json(report, args.out)
    _print(report, Console(highlight=False))
    for line in problems(report):
        errors.print(line, markup=False)
    errors.print(f"{report.status.value}: {path}", markup=False)
    return EXIT_CODES[report.status]


def _print(report: Report, console: Console) -> None:
    """Rows, then the summary. A table as wide as its content, also into a pipe."""
    if not console.is_terminal:
        console.width = 160
    console.print(rows_table(report.rows, "Images"))
    if report.shape_rows:
        console.print(rows_table(report.shape_rows, "Shapes"))
    console.print(groups_table(report.groups))
    for line in weights_lines(report):
        console.print(line, markup=False)


def _candidate(text: str) -> tuple[str, Path]:
    name, separator, file = text.partition("=")
    if not (name and separator and file):
        raise ParityError(f"--candidate {text}: not MODEL=FILE", hint="noiseprint_pp=x.onnx")
    return name, Path(file)
