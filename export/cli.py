"""``python -m export``: export networks, check the committed locks, download weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chunking.console import EXIT_OK, run_cli, stderr_console
from export import check
from export.arguments import add_weights_arguments
from export.build import Exported, export_model
from export.registry import ENTRY_POINT_GROUP, find, registered
from export.sources import WeightsSource
from export.to_onnx import DEFAULT_OPSET

OUT = Path("onnx_models")


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print. Returns the exit code: 0 done, 1 a check failed, 2 could not."""
    return run_cli(_main, argv)


def _main(argv: list[str]) -> int:
    commands = {"weights": _weights, "check": _check, "list": _list}
    if argv and argv[0] in commands:
        return commands[argv[0]](argv[1:])
    return _export(argv)


def _export(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Export networks to ONNX: the same bytes on every run, every weight proven. "
        "Other commands: `list`, `check` (rebuild and compare with the committed locks), "
        "`weights` (download the published weights).",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="see `python -m export list`")
    add_weights_arguments(parser)
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: %(default)s)")
    parser.add_argument(
        "--opset", type=int, default=DEFAULT_OPSET, help="17 or newer (default: %(default)s)"
    )
    parser.add_argument(
        "--missing-only", action="store_true", help="keep files that are whole and up to date"
    )
    args = parser.parse_args(argv)
    source = WeightsSource(args.weights, args.stand_in)
    specs = [find(name) for name in dict.fromkeys(args.models)]
    console = stderr_console()
    done: list[Exported] = []
    for spec in specs:
        with console.status(f"{spec.name}: starting") as status:
            result = export_model(
                spec,
                source,
                args.out,
                opset=args.opset,
                missing_only=args.missing_only,
                stage=lambda text, status=status, name=spec.name: status.update(f"{name}: {text}"),
            )
        done.append(result)
        verb = f"written in {result.seconds:.1f} s" if result.seconds else "up to date"
        console.print(f"{result.path}: {verb}; {result.weights}")
    Console(highlight=False).print(_table(done))
    return EXIT_OK


def _table(done: list[Exported]) -> Table:
    table = Table(title="Exported")
    table.add_column("file", no_wrap=True)
    table.add_column("MB", justify="right")
    table.add_column("SHA-256", no_wrap=True)
    table.add_column("weights")
    for result in done:
        size = f"{result.size_bytes / 1e6:.1f}"
        table.add_row(str(result.path), size, result.sha256[:16], result.weights)
    return table


def _list(argv: list[str]) -> int:
    argparse.ArgumentParser(prog="python -m export list").parse_args(argv)
    table = Table(caption=f"and timm:NAME; packages add more (entry point {ENTRY_POINT_GROUP})")
    for heading in ("model", "what", "inputs", "outputs", "loads from"):
        table.add_column(heading)
    for spec in registered().values():
        table.add_row(
            spec.name,
            spec.title,
            ", ".join(tensor.name for tensor in spec.inputs),
            ", ".join(tensor.name for tensor in spec.outputs),
            ", ".join(spec.files),
        )
    Console(highlight=False).print(table)
    return EXIT_OK


def _check(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m export check",
        description="Rebuild models and compare them with their lock files. Exit 0: the same "
        "bytes; 1: other bytes; 2: could not compare (another toolchain, no lock).",
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: every lock in --out")
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: %(default)s)")
    add_weights_arguments(parser)
    args = parser.parse_args(argv)
    console = stderr_console()
    source = WeightsSource(args.weights, args.stand_in)
    findings = []
    for lock_file in check.locks(args.out, args.models):
        with console.status(f"rebuilding {lock_file.name}"):
            findings.append(check.check_lock(lock_file, source))
        console.print(findings[-1].sentence)
    return check.exit_code(findings)


def _weights(argv: list[str]) -> int:
    from export.weights_cli import run  # its downloads are needed nowhere else

    return run(argv)
