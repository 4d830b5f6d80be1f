"""Does the gate cry wolf, and does it see the wolf?

An unchanged release is timed again and again in turns with the old file, which is the same, and
judged by the whole gate. Likewise a file with 5 more convolutions of the 15 alike in the middle,
which is what a graph that is about 30 % slower looks like: it must be stopped by `latency`.

    python benchmarks/gate_false_alarms.py [--repeats 20] [--rounds 45] [--size 96]
        [--weights noiseprint++.th]

Prints a line a repeat and the counts. The machine may do whatever else it does meanwhile.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image

from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.cli import main as parity
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.judge import judge
from trufor_onnx.parity.gate.policy import load_policy
from trufor_onnx.parity.inputs.cases import fit
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.results.findings import Decision, Finding
from trufor_onnx.parity.results.timing import BenchReport, LatencyFigures, json_text
from trufor_onnx.parity.timing.contest import compared
from trufor_onnx.parity.timing.measuring import run_bench
from trufor_onnx.parity.timing.plan import CANDIDATE, BenchPlan, Rules
from trufor_onnx.providers import parse_providers

MODEL, PORTABLE = "noiseprint_pp", "portable"
EXTRA = 5  # convolutions, of 15 alike
IMAGES = 10


def slower_file(path: Path, out: Path) -> Path:
    """The same network with more convolutions, whose results are multiplied by nought."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load(path)
    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    middle = [
        node
        for node in graph.node
        if node.op_type == "Conv" and list(weights[node.input[1]].dims[:2]) == [64, 64]
    ]
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nought"))
    for number, node in enumerate(middle[:EXTRA]):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name, copy.output[0] = f"more_{number}", f"more_{number}_out"
        values = numpy_helper.to_array(weights[node.input[1]]) * np.float32(1.001)
        graph.initializer.append(numpy_helper.from_array(values, f"more_{number}_weight"))
        copy.input[1] = f"more_{number}_weight"  # alike nodes would be made one
        plain = node.output[0]
        node.output[0] = f"{plain}_plain"
        new = [
            copy,
            helper.make_node("Mul", [copy.output[0], "nought"], [f"more_{number}_none"]),
            helper.make_node("Add", [node.output[0], f"more_{number}_none"], [plain]),
        ]
        index = list(graph.node).index(node)
        for offset, added in enumerate(new, 1):
            graph.node.insert(index + offset, added)
    onnx.checker.check_model(proto)
    onnx.save(proto, out)
    return out


def swapped(report: BenchReport) -> BenchReport:
    """The slow file as the release, and the old one in turns with it."""
    names = {PORTABLE: CANDIDATE, CANDIDATE: PORTABLE}

    def other(row: LatencyFigures) -> LatencyFigures:
        variant = names.get(row.contestant.variant, row.contestant.variant)
        return replace(
            row,
            contestant=replace(row.contestant, variant=variant),
            is_baseline=False,
            ratio=None,
            within_noise=None,
        )

    files = tuple(replace(file, variant=names[file.variant]) for file in report.files)
    rows = compared([other(row) for row in report.latency], PORTABLE, Rules())
    return replace(report, latency=tuple(rows), files=files)


def latency_of(decision: Decision) -> Finding:
    """What the rule found."""
    return next(finding for finding in decision.findings if finding.rule == "latency")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=Rules().rounds)
    parser.add_argument("--memory", action="store_true", help="peaks too: nearly twice the time")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=Path, default=Path("sample_dataset"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(args, Path(name))


def measure(args: argparse.Namespace, folder: Path) -> None:
    """One parity run; then all repeats."""
    models = folder / "onnx_models"
    weights = ["--weights", str(args.weights)] if args.weights else ["--stand-in", "golden"]
    images = crops(args.images, folder / "images")
    given = ["--models", MODEL, *weights, "--images", str(images), "--onnx-models", str(models)]
    code = parity(["run", *given, "--no-cache", "--out", str(folder)])
    assert code == 0, "the release itself does not pass"
    policy = load_policy(None if args.weights else stand_in_policy(folder))
    slow = slower_file(models / f"{MODEL}.onnx", folder / "slow.onnx")
    plan = BenchPlan(
        models=(MODEL,),
        source=WeightsSource(args.weights, None if args.weights else "golden"),
        providers=tuple(parse_providers("cpu")),
        sizes=((args.size, args.size),),
        rules=Rules(rounds=args.rounds),
        images=images,
        folder=models,
        memory=args.memory,
    )
    same_file = Path(shutil.copy(models / f"{MODEL}.onnx", folder / "same.onnx"))

    def judged(new: BenchReport) -> Decision:
        path = folder / "new.json"
        path.write_text(json_text(new))
        report = folder / "parity.json"
        return judge(gather(report, models_dir=models, bench=path, baselines=[report]), policy)

    alarms = caught = 0
    for number in range(1, args.repeats + 1):
        same = judged(run_bench(replace(plan, candidates={MODEL: same_file})))
        slower = judged(swapped(run_bench(replace(plan, candidates={MODEL: slow}))))
        alarms += same.exit_code != 0
        caught += latency_of(slower).outcome == "fail"
        ended = f"exit {same.exit_code} {', '.join(same.stopped_by)}".strip()
        print(f"{number:2}  load {os.getloadavg()[0]:4.1f}  {ended}  {latency_of(same).saw}")
        print(f"    slower: {latency_of(slower).outcome}: {latency_of(slower).saw}", flush=True)
    print(f"false alarms: {alarms} of {args.repeats}")
    print(f"slower graph stopped by `latency`: {caught} of {args.repeats}")


def crops(where: Path, out: Path) -> Path:
    """Ten small pictures, so that the one parity run is short."""
    out.mkdir()
    for number, picture in enumerate(find_images(where, most=IMAGES)):
        Image.fromarray(fit(picture.load()[0], (96, 96))).save(out / f"{number}.png")
    return out


def stand_in_policy(folder: Path) -> Path:
    """Without published weights at hand."""
    path = folder / "policy.toml"
    path.write_text('[weights]\nreason = "a benchmark"\nallow_stand_in = true\n')
    return path


if __name__ == "__main__":
    main()
