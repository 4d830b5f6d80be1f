"""``parity release``: make a release folder. 0: made, 1: the gate stopped it, 2: could not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trufor_onnx.console import EXIT_OK
from trufor_onnx.options import add_option
from trufor_onnx.parity.commands.arguments import add_gate_options
from trufor_onnx.parity.gate.judge import lines
from trufor_onnx.parity.gate.policy import load_policy
from trufor_onnx.parity.release.assemble import Order, assemble
from trufor_onnx.parity.release.signing import LOCAL_BUILDER
from trufor_onnx.parity.results import release_layout as layout
from trufor_onnx.parity.results.tolerances import read_tolerances


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add = parser.add_argument
    add("version", metavar="VERSION", help="the folder is OUT/models-VERSION")
    add_option(parser, "--models", "; a report of others is refused", default=[])
    add_option(parser, "--report")
    add_gate_options(parser)
    add_option(parser, "--out", default=Path("dist"))
    what = "release what the gate stops; written down"
    add("--although", default="", metavar="REASON", help=what)
    add("--weights-licence", default="", metavar="TEXT", help="terms of weights of your own")
    add("--sign-key", type=Path, metavar="KEY.pem", help="sign with this private Ed25519 key")
    shipped = ", to be shipped (default: references.bundle beside the report, if it is there)"
    add_option(parser, "--reference", shipped, old=("--references",))
    add("--revision", default="", metavar="COMMIT", help="the source's git commit")
    add("--builder", default=LOCAL_BUILDER, metavar="URI", help="who makes it, for the provenance")


def run(args: argparse.Namespace) -> int:
    """Judge, assemble, print."""
    policy = load_policy(args.policy)
    made = assemble(
        Order(
            version=args.version,
            report=args.report,
            models_dir=args.onnx_models,
            out=args.out,
            policy=policy,
            builder=args.builder,
            bench=args.bench,
            baselines=args.baseline,
            models=args.models,
            although=args.although,
            weights_licence=args.weights_licence,
            sign_key=args.sign_key,
            revision=args.revision,
            trusted=args.release,
            key=args.key,
            references=args.reference,
            tolerances=read_tolerances(args.tolerances),
        )
    )
    for line in lines(made.decision, explain=False):
        print(line, file=sys.stderr)
    if made.folder is None:
        print("not released: see the rules that stopped it", file=sys.stderr)
        return made.decision.exit_code
    state = "written" if made.written else "was there already, the same"
    print(f"{made.folder}: {made.files} files, {state}")
    if not (made.folder / layout.REFERENCES).is_file():
        print(
            "no bundle of references in it: its report's figures hold the next release to it, but "
            "files cannot be run against it without torch; see --reference",
            file=sys.stderr,
        )
    return EXIT_OK
