"""Twelve ways in which a release gets worse, each stopped by the rule that is meant for it.

What can be made is made: a network is exported, its file is changed, and the real run measures
it. Only where the report itself is the thing (edited, from elsewhere, of a device that this
machine has not) is a recorded one changed.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from trufor_onnx.chunking.splitting import split
from trufor_onnx.export.build import export_model
from trufor_onnx.export.lock import encode, file_entry, lock_path, read_lock
from trufor_onnx.export.models import noiseprint_pp
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.references.proving import Derived
from trufor_onnx.parity.results.findings import Outcome
from trufor_onnx.parity.results.rows import PROVEN

Make = Callable[..., Any]


def save(proto: onnx.ModelProto, path: Path) -> None:
    """The changed file, with a lock that describes it: the exporter's own mistake."""
    onnx.save(proto, path)
    lock = dict(read_lock(path) or {})
    lock["file"] = file_entry(path)
    lock_path(path).write_bytes(encode(lock))


@pytest.fixture
def exporter_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter makes the mistake each time, so that what is made again has it too."""
    agreed = Derived(PROVEN, "rebuilt here: the same bytes")
    monkeypatch.setattr("trufor_onnx.parity.references.identity.compare", lambda *_: agreed)


def test_a_wrong_weight(good: Any, make_release: Make) -> None:
    def change(path: Path) -> None:
        proto = onnx.load(path)
        tensor = proto.graph.initializer[0]
        values = numpy_helper.to_array(tensor).copy()
        values.flat[0] += 1e-3
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        save(proto, path)

    decision = make_release(change=change).judged(good.report)
    assert decision.exit_code == 1
    # A file of other weights is not even run, so there is nothing to compare either.
    assert decision.stopped_by == ("weights", "cases", "complete", "verdicts")


@pytest.mark.usefixtures("exporter_at_fault")
def test_a_wrong_eps(
    good: Any,
    make_release: Make,
    tiny: dict[str, ModelSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def change(path: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(noiseprint_pp, "BATCH_NORM_EPS", 1e-3)
            export_model(tiny["tiny_np"], WeightsSource(good.weights), path.parent)

    decision = make_release(change=change, weights=good.weights).judged(good.report)
    assert decision.exit_code == 1
    assert decision.stopped_by == ("verdicts", "accuracy")


def test_another_scale(good: Any, make_release: Make) -> None:
    """The run refuses it by the file's own metadata; a file without would be measured."""
    decision = make_release("tiny_np", "--pixel-scale", "255").judged(good.report)
    assert decision.exit_code == 1
    assert {"contract", "verdicts"} <= set(decision.stopped_by)

    def measured(document: dict[str, Any]) -> None:
        document["models"]["tiny_np"]["preprocessing"]["scale"] = 255.0

    other = good.copy(good.report.parent.parent / "other")
    other.edit(measured)
    decision = other.judged(good.report)
    assert (decision.exit_code, decision.stopped_by) == (1, ("contract",))


@pytest.mark.parametrize("baseline", ["parity.json", "references.bundle", "folder"])
def test_a_network_that_changed_on_both_sides(
    good: Any,
    make_release: Make,
    make_bundle: Make,
    monkeypatch: pytest.MonkeyPatch,
    baseline: str,
) -> None:
    """File and reference come from the same code: only the last release shows that it moved."""
    bundle = make_bundle(good)
    given = {"parity.json": good.report, "references.bundle": bundle, "folder": bundle.parent}
    monkeypatch.setattr(noiseprint_pp, "BATCH_NORM_EPS", 1e-3)
    changed = make_release("tiny_np", "--no-cache", weights=good.weights)
    assert changed.judged().exit_code == 0
    decision = changed.judged(given[baseline])
    assert (decision.exit_code, decision.stopped_by) == (1, ("references",))
    (found,) = [finding for finding in decision.findings if finding.rule == "references"]
    assert "under the same version 1 and weights: noiseprint on pixels" in found.saw
    assert "raise the `version`" in found.look


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("baseline", ["parity.json", "references.bundle"])
def test_a_report_that_does_not_say_what_it_computes(
    good: Any, make_bundle: Make, baseline: str
) -> None:
    """Without sketches nothing can be held to the last release, of whatever kind that is."""
    given = {"parity.json": good.report, "references.bundle": make_bundle(good)}
    other = good.copy(good.report.parent.parent / "silent")

    def silent(document: dict[str, Any]) -> None:
        for row in (*document["rows"], *document["shape_rows"]):
            row.pop("sketch", None)

    other.edit(silent)
    decision = other.judged(given[baseline])
    assert decision.exit_code == 2
    (found,) = [finding for finding in decision.findings if finding.rule == "references"]
    assert "does not say what the network computes" in found.saw


def test_a_network_that_changed_and_says_so(
    good: Any, make_release: Make, tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noiseprint_pp, "BATCH_NORM_EPS", 1e-3)
    monkeypatch.setitem(tiny, "tiny_np", replace(tiny["tiny_np"], version="2"))
    changed = make_release("tiny_np", "--no-cache", weights=good.weights)
    (found,) = [f for f in changed.judged(good.report).findings if f.rule == "references"]
    assert found.outcome is Outcome.PASS
    assert found.saw == "tiny_np: version 2, was 1: its outputs are new"


def test_an_unchanged_network_is_held_to_its_bundle(
    good: Any, make_release: Make, make_bundle: Make
) -> None:
    bundle = make_bundle(good)
    again = make_release("tiny_np", "--no-cache", weights=good.weights)
    decision = again.judged(bundle.parent)
    (found,) = [f for f in decision.findings if f.rule == "references"]
    assert (found.outcome, found.saw) == (Outcome.PASS, "tiny_np: 54 outputs as before")
    assert decision.exit_code == 0


@pytest.mark.usefixtures("exporter_at_fault")
def test_an_fp16_overflow(make_release: Make, tiny: dict[str, ModelSpec], tmp_path: Path) -> None:
    """Activations of 10^6, which float32 holds and float16 does not."""
    tensors = torch.load(write_large(tiny, tmp_path / "large.th"), weights_only=True)["network"]
    assert tensors["0.weight"].abs().max() > 1e4

    def change(path: Path) -> None:
        proto = onnx.load(path)
        first = proto.graph.node[0]
        half, back = (first.output[0] + end for end in ("_half", "_float"))
        for node in proto.graph.node[1:]:
            for index, name in enumerate(node.input):
                if name == first.output[0]:
                    node.input[index] = back
        for n, (name, out, kind) in enumerate(
            ((first.output[0], half, TensorProto.FLOAT16), (half, back, TensorProto.FLOAT))
        ):
            proto.graph.node.insert(n + 1, helper.make_node("Cast", [name], [out], to=kind))
        save(proto, path)

    weights = tmp_path / "large.th"
    assert make_release(weights=weights).judged().exit_code == 0
    decision = make_release(change=change, weights=weights).judged()
    assert (decision.exit_code, "outputs" in decision.stopped_by) == (1, True)
    found = next(finding for finding in decision.findings if finding.rule == "outputs")
    assert "NaN or infinite" in found.saw


def write_large(tiny: dict[str, ModelSpec], path: Path) -> Path:
    module = tiny["tiny_np"].build()
    values = WeightsSource(stand_in="large").weights_for(tiny["tiny_np"], module).tensors
    tensors = {name: tensor.clone() for name, tensor in values.items()}
    for name in ("0.weight", "0.bias"):
        tensors[name] *= 1e6
    tensors["2.weight"] *= 1e-6
    torch.save({"network": tensors}, path)
    return path


def test_a_slower_graph(good: Any, write_bench: Make) -> None:
    """30 %, both files timed in turns on a machine that swings."""
    old = write_bench("old", seed=1)
    given = {"sha256": good.sha256, "old": "f" * 64}
    same = good.judged(old, bench=write_bench("same", seed=2, drift=1.4, **given))
    assert same.exit_code == 0
    assert next(f for f in same.findings if f.rule == "latency").outcome == "pass"
    slow = good.judged(old, bench=write_bench("slow", seed=2, drift=1 / 1.4, slower=1.3, **given))
    assert (slow.exit_code, slow.stopped_by) == (1, ("latency",))


def test_a_slower_graph_that_was_timed_alone(good: Any, write_bench: Make) -> None:
    """Two runs can show that it is slower, never that it is not."""
    old = write_bench("old", seed=1)
    given = {"sha256": good.sha256}
    slow = good.judged(old, bench=write_bench("slow", seed=2, slower=1.3, **given))
    assert (slow.exit_code, slow.stopped_by) == (1, ("latency",))
    same = good.judged(old, bench=write_bench("same", seed=2, **given))
    assert (same.exit_code, same.stopped_by) == (2, ("latency",))


def test_a_bigger_file(good: Any, make_release: Make) -> None:
    def change(path: Path) -> None:
        proto = onnx.load(path)
        proto.doc_string = "x" * (path.stat().st_size // 20)
        save(proto, path)

    decision = make_release(change=change).judged(good.report)
    assert (decision.exit_code, decision.stopped_by) == (1, ("size",))


class TwoOutputs(torch.nn.Module):
    """(B, 3, H, W) to two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.second = torch.nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.first(image).relu()
        return features, self.second(features)


@pytest.mark.usefixtures("exporter_at_fault")
def test_a_missing_output(
    make_release: Make, tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "two_outputs", SimpleNamespace(build=TwoOutputs))
    axes = ("batch", 4, "height", "width"), ("batch", 1, "height", "width")
    spec = replace(
        tiny["tiny_np"],
        name="two_outputs",
        builder="two_outputs:build",
        builder_arguments={},
        outputs=tuple(TensorSpec(f"map_{n}", shape, "") for n, shape in enumerate(axes)),
    )
    monkeypatch.setitem(tiny, "two_outputs", spec)

    def change(path: Path) -> None:
        proto = onnx.load(path)
        del proto.graph.output[1]
        save(proto, path)

    assert make_release("two_outputs").judged().exit_code == 0
    decision = make_release("two_outputs", change=change).judged()
    assert (decision.exit_code, decision.stopped_by) == (1, ("outputs",))


def test_an_output_whose_rows_are_gone(good: Any) -> None:
    """The lock still lists it: a report cannot forget one."""

    def rename(document: dict[str, Any]) -> None:
        for part in (document["rows"], document["shape_rows"], document["summary"]["groups"]):
            for row in part:
                row["output"] = "other"

    good.edit(rename)
    decision = good.judged()
    assert decision.exit_code == 1 and "outputs" in decision.stopped_by


def test_a_provider_that_fell_back(good: Any) -> None:
    """As on a machine with a GPU: CUDA took the session and left the convolutions to the CPU."""

    def fall_back(document: dict[str, Any]) -> None:
        document["models"]["tiny_np"]["placement"]["cpu"] |= {
            "nodes": {"CPUExecutionProvider": 5, "CUDAExecutionProvider": 2},
            "fell_back_ops": {"Conv": 3, "Shape": 2},
        }

    good.edit(fall_back)
    decision = good.judged()
    assert (decision.exit_code, decision.stopped_by) == (1, ("placement",))


def test_a_stale_lock(good: Any, tiny: dict[str, ModelSpec], tmp_path: Path) -> None:
    """The lock beside the file is that of an earlier export."""
    older = tmp_path / "older"
    export_model(tiny["tiny_np"], WeightsSource(good.weights), older, opset=18)
    shutil.copy(older / "tiny_np.lock.json", good.models)
    decision = good.judged()
    assert (decision.exit_code, decision.stopped_by) == (1, ("digests",))


def test_a_corrupt_piece(good: Any) -> None:
    made = split(good.models / "tiny_np.onnx")
    assert good.judged().exit_code == 0
    piece = made.folder / made.manifest.chunks[1].file_name
    data = bytearray(piece.read_bytes())
    data[len(data) // 2] ^= 1
    piece.write_bytes(data)
    decision = good.judged()
    assert (decision.exit_code, decision.stopped_by) == (1, ("pieces",))


def test_an_edited_report(good: Any) -> None:
    document = json.loads(good.report.read_text())
    document["rows"][1]["mae"] /= 2.0
    good.report.write_text(json.dumps(document))
    decision = good.judged()
    assert (decision.exit_code, decision.stopped_by) == (1, ("report",))


def test_a_report_edited_by_who_knows_the_digest(good: Any) -> None:
    """A failure stored as a pass, all digests made anew: the figures still say what they say."""

    def forge(document: dict[str, Any]) -> None:
        row = next(row for row in document["rows"] if row["backend"] == "onnxruntime")
        row["mae"] = row["max_abs"] = 0.5

    good.edit(forge)
    decision = good.judged()
    assert decision.exit_code == 1
    assert decision.stopped_by[:2] == ("report", "verdicts")


def test_a_baseline_of_another_machine(good: Any, write_bench: Make) -> None:
    old = write_bench("old", seed=1, processor="another processor")
    decision = good.judged(old, bench=write_bench("new", seed=2, sha256=good.sha256))
    assert (decision.exit_code, decision.stopped_by) == (2, ("latency",))
    found = next(finding for finding in decision.findings if finding.rule == "latency")
    assert "processor another processor there, a processor here" in found.saw
