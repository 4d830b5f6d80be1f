"""``python -m parity``: measure how far ONNX files are from the networks they were made of."""

from __future__ import annotations

import argparse
import importlib

from trufor_onnx.console import run_cli

# A subcommand, the module with its ``add_arguments(parser)`` and ``run(args) -> int``, and what it
# does. Only the module of the subcommand that is called is imported.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("trufor_onnx.parity.commands.run", "compare ONNX Runtime with PyTorch"),
    "reference": (
        "trufor_onnx.parity.commands.reference",
        "compute references for runs without torch",
    ),
    "bench": ("trufor_onnx.parity.commands.bench", "measure latency and peak memory"),
    "report": ("trufor_onnx.parity.commands.report", "write a stored run in other formats"),
    "gate": ("trufor_onnx.parity.commands.gate", "judge a stored run by a policy"),
    "compare": ("trufor_onnx.parity.commands.compare", "what changed between two reports"),
    "history": ("trufor_onnx.parity.commands.history", "reports over releases: since when"),
    "files": ("trufor_onnx.parity.commands.files", "check model files before a commit"),
    "release": ("trufor_onnx.parity.commands.release", "put a release folder together"),
    "release-verify": ("trufor_onnx.parity.commands.release_verify", "check a release folder"),
    "locate": ("trufor_onnx.parity.commands.locate", "name the first module that creates error"),
}


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print. Exit code: 0 all passed, 1 a comparison failed, 2 could not compare."""
    return run_cli(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="python -m parity", description=__doc__
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = {
        name: subparsers.add_parser(name, allow_abbrev=False, help=text)
        for name, (_, text) in COMMANDS.items()
    }
    name = next((word for word in argv if not word.startswith("-")), "")
    if name not in COMMANDS:
        parser.parse_args(argv)  # prints the help or an error, and exits
    module = importlib.import_module(COMMANDS[name][0])
    module.add_arguments(commands[name])
    code: int = module.run(parser.parse_args(argv))
    return code
