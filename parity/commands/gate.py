"""``parity gate``: judge a stored run by the policy. 0: released, 1: stopped, 2: could not."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from trufor_onnx.export.weights.sources import WeightsSource, add_weights_arguments
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.judge import json_text, judge, lines
from trufor_onnx.parity.gate.policy import load_policy
from trufor_onnx.parity.locate.gating import located
from trufor_onnx.parity.release.verify import signed_locks

REPORT = Path("reports/parity/parity.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "report",
        nargs="?",
        type=Path,
        default=REPORT,
        metavar="REPORT.json",
        help="what `parity run` wrote (default: %(default)s)",
    )
    parser.add_argument(
        "--bench", type=Path, metavar="BENCH.json", help="what `parity bench` wrote"
    )
    parser.add_argument(
        "--baseline",
        action="extend",
        type=Path,
        nargs="+",
        default=[],
        metavar="WHAT",
        help="the last release: its folder, or its parity.json, bench.json, references.bundle",
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE.toml", help="rules that differ from the default policy"
    )
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=Path("onnx_models"),
        metavar="DIR",
        help="files, locks and pieces (default: %(default)s)",
    )
    parser.add_argument(
        "--release",
        type=Path,
        metavar="DIR",
        help="a signed release: its locks are trusted where nothing derived the files again",
    )
    parser.add_argument("--key", type=Path, metavar="PUB.pem", help="who must have signed it")
    parser.add_argument(
        "--locate",
        action="store_true",
        help="also look into each file, layer by layer: needs torch and the weights",
    )
    add_weights_arguments(parser)
    parser.add_argument(
        "--image",
        type=Path,
        default=Path("sample_dataset"),
        metavar="FILE",
        help="for --locate: an image, or a data set: its first image (default: %(default)s)",
    )
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="for --locate: where the report's candidate is, if not in --models-dir",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--explain", action="store_true", help="each rule's reason and details")


def run(args: argparse.Namespace) -> int:
    """Judge, print; the exit code is the decision's."""
    policy = load_policy(args.policy)
    evidence = gather(
        args.report,
        models_dir=args.models_dir,
        bench=args.bench,
        baselines=args.baseline,
        signed=signed_locks(args.release, args.key),
    )
    if args.locate:
        source = WeightsSource(args.weights, args.stand_in)
        found = located(evidence, source, args.image, args.candidate)
        evidence = replace(evidence, located=found)
    decision = judge(evidence, policy)
    if args.json:
        print(json_text(decision, policy), end="")
    else:
        for line in lines(decision, policy, explain=args.explain):
            print(line)
    return decision.exit_code
