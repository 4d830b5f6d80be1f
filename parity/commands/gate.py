"""``parity gate``: judge a stored run by the policy. 0: released, 1: stopped, 2: could not."""

from __future__ import annotations

import argparse
from dataclasses import replace

from trufor_onnx.documents import text_of
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.options import add_option, add_weights_options
from trufor_onnx.parity.commands.arguments import add_gate_options
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.judge import document, judge, lines
from trufor_onnx.parity.gate.policy import load_policy
from trufor_onnx.parity.locate.run import located
from trufor_onnx.parity.release.verify import signed_locks
from trufor_onnx.parity.results.tolerances import read_tolerances


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_option(parser, "report", nargs="?")
    add_gate_options(parser)
    parser.add_argument(
        "--locate",
        action="store_true",
        help="also look into each file, layer by layer: needs torch and the weights",
    )
    add_weights_options(parser)
    add_option(parser, "--images", "; for --locate: its first image", old=("--image",))
    where = "; for --locate: where the report's candidate is, if not in --onnx-models"
    add_option(parser, "--candidate", where)
    add_option(parser, "--json")
    parser.add_argument("--explain", action="store_true", help="each rule's reason and details")


def run(args: argparse.Namespace) -> int:
    """Judge, print; the exit code is the decision's."""
    policy = load_policy(args.policy)
    evidence = gather(
        args.report,
        models_dir=args.onnx_models,
        bench=args.bench,
        baselines=args.baseline,
        signed=signed_locks(args.release, args.key),
    )
    if args.locate:
        source = WeightsSource(args.weights, args.stand_in)
        found = located(evidence, source, args.images, args.candidate)
        evidence = replace(evidence, located=found)
    decision = judge(evidence, policy, read_tolerances(args.tolerances))
    if args.json:
        print(text_of(document(decision)), end="")
    else:
        for line in lines(decision, explain=args.explain):
            print(line)
    return decision.exit_code
