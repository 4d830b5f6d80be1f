"""A graph that is not the network is refused before a file exists."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import Built, build_file, export_model
from trufor_onnx.export.graph import in_float64
from trufor_onnx.export.graph import self_check as module_under_test
from trufor_onnx.export.graph.other_ways import Watch
from trufor_onnx.export.graph.rounding import distance
from trufor_onnx.export.graph.self_check import self_check
from trufor_onnx.export.graph.trace import trace_sizes
from trufor_onnx.export.networks.spec import Judged, ModelSpec, TensorSpec
from trufor_onnx.export.weights.sources import WeightsSource

Specs = dict[str, ModelSpec]
AXES = ("batch", 3, "height", "width")
SEED = WeightsSource(stand_in="s")


def loaded(spec: ModelSpec) -> Any:
    module = spec.build()
    module.load_state_dict(dict(SEED.weights_for(spec, module).tensors))
    return module


def small(builder: str, **changes: Any) -> ModelSpec:
    spec = ModelSpec(
        name="small",
        title="",
        version="1",
        inputs=(TensorSpec("image", AXES, ""),),
        outputs=(TensorSpec("result", ("batch", "c", "h", "w"), ""),),
        builder=f"{__name__}:{builder}",
    )
    return replace(spec, **changes)


class Network(nn.Module):
    """What the graphs below should be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)


class BakedConstant(Network):
    """Computes with the size of the traced example: torch sees Python numbers."""

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image) / int(image.shape[2] * image.shape[3])
        return found


class BakedReshape(Network):
    """Works on a grid whose size was fixed when the graph was recorded."""

    def forward(self, image: Tensor) -> Tensor:
        height, width = int(image.shape[2]), int(image.shape[3])
        return self.conv(image).flatten(2).reshape(-1, 3, height, width)


class BakedBranch(Network):
    """Takes another way for large images: a graph holds one way only."""

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image)
        return found * 2 if image.shape[2] < 50 else found


class BakedBatch(Network):
    """Knows the batch of the traced example."""

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image).reshape(int(image.shape[0]), -1)[..., None, None]


class BakedWeight(Network):
    """Reads a weight in Python: the graph has the value of the traced network."""

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image) + 5 * float(self.conv.weight[0, 0, 0, 0])
        return found


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # they say what is tested here
@pytest.mark.parametrize(
    ("builder", "fault"),
    [
        ("BakedConstant", r"output result: off by"),
        ("BakedReshape", r"at batch 1, size 69 x 25: the graph does not run"),
        ("BakedBranch", r"output result: off by"),
        ("BakedBatch", r"the graph does not run|shape"),
        ("BakedWeight", r"output result: off by"),
    ],
)
def test_constants_of_the_traced_example(builder: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=fault) as refusal:
        export_model(small(builder), SEED, tmp_path / "out")
    assert "the file was not written" in str(refusal.value)
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # as above
def test_a_fixed_size_is_checked_at_that_size() -> None:
    fixed = ("batch", 3, 24, 24)
    spec = small(
        "BakedReshape",
        inputs=(TensorSpec("image", fixed, ""),),
        outputs=(TensorSpec("result", fixed, ""),),
        fixed_size=(24, 24),
    )
    assert build_file(spec, SEED).data


def edited(data: bytes, edit: Callable[[onnx.ModelProto], None]) -> bytes:
    proto = onnx.load_model_from_string(data)
    edit(proto)
    changed: bytes = proto.SerializeToString()
    return changed


def largest(proto: onnx.ModelProto) -> onnx.TensorProto:
    return max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))


def change_a_weight(proto: onnx.ModelProto) -> None:
    array = onnx.numpy_helper.to_array(largest(proto)) * np.float32(1.5)
    largest(proto).raw_data = array.tobytes()


def put_nan(proto: onnx.ModelProto) -> None:
    array = onnx.numpy_helper.to_array(largest(proto)).copy()
    array.flat[0] = np.nan
    largest(proto).raw_data = array.tobytes()


def another_operator(proto: onnx.ModelProto) -> None:
    next(node for node in proto.graph.node if node.op_type == "Relu").op_type = "Abs"


@pytest.mark.parametrize("edit", [change_a_weight, put_nan, another_operator])
def test_a_wrong_graph(
    edit: Callable[[onnx.ModelProto], None], tiny: Specs, built: Callable[..., Built]
) -> None:
    spec = tiny["noiseprint_pp"]
    module = loaded(spec)
    self_check(built("noiseprint_pp").data, spec, module)
    with pytest.raises(ExportError, match="output noiseprint: off by"):
        self_check(edited(built("noiseprint_pp").data, edit), spec, module)


def test_another_shape(tiny: Specs, built: Callable[..., Built]) -> None:
    def crop(proto: onnx.ModelProto) -> None:
        conv = proto.graph.node[-1]
        next(a for a in conv.attribute if a.name == "pads").ints[:] = [0, 0, 0, 0]

    spec = tiny["noiseprint_pp"]
    with pytest.raises(ExportError, match=r"shape \(1, 1, 67, 23\), not \(1, 1, 69, 25\)"):
        self_check(edited(built("noiseprint_pp").data, crop), spec, loaded(spec))


def test_a_graph_that_does_not_load(tiny: Specs, built: Callable[..., Built]) -> None:
    def unknown(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].op_type = "Mystery"

    spec = tiny["noiseprint_pp"]
    data = edited(built("noiseprint_pp").data, unknown)
    with pytest.raises(ExportError, match="ONNX Runtime cannot load the graph"):
        self_check(data, spec, loaded(spec))


class Amplifying(nn.Module):
    """Differences of nearly equal numbers: float32 itself is far from float64."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.factor = factor

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image)
        return torch.sin(found * self.factor)


class Above(Network):
    """Yes or no; a graph of ``Below`` answers the opposite."""

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image) > 0


class Below(Network):
    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image) <= 0


class Bytes(Network):
    """0 to 255, and the graph of ``Wrapped`` 255 where this has 0: one apart in uint8."""

    def forward(self, image: Tensor) -> Tensor:
        return (self.conv(image) > 0).to(torch.uint8)


class Wrapped(Network):
    def forward(self, image: Tensor) -> Tensor:
        return (self.conv(image) <= 0).to(torch.uint8) * 255


@pytest.mark.parametrize(("right", "wrong"), [("Above", "Below"), ("Bytes", "Wrapped")])
def test_outputs_of_other_types(right: str, wrong: str) -> None:
    built = build_file(small(wrong), SEED)
    with pytest.raises(ExportError, match="output result: off by"):
        self_check(built.data, small(right), loaded(small(right)))
    assert build_file(small(right), SEED).warnings == ()


class Few(Network):
    """Finds nothing in any picture."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.nonzero(self.conv(image)[:, 0] > 1e6)


def test_an_output_that_is_always_empty_is_said() -> None:
    found = build_file(small("Few", outputs=(TensorSpec("result", ("n", 3), ""),)), SEED)
    (said,) = found.warnings
    assert said.startswith("small: its output result was empty at every size that was checked")


def test_weights_that_amplify_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    original = module_under_test.judge
    monkeypatch.setattr(
        module_under_test, "judge", lambda *given: judged.append(given) or original(*given)
    )
    spec = small("Amplifying", builder_arguments={"factor": 3e4})
    assert build_file(spec, SEED).data
    assert judged  # more than 1e-3 of the range, in torch as in ONNX Runtime


def test_weights_that_amplify_rounding_beyond_use() -> None:
    spec = small("Amplifying", builder_arguments={"factor": 3e6})
    with pytest.raises(ExportError, match=r"cannot be checked, in torch itself float32 is off by"):
        build_file(spec, SEED)


def test_an_answer_near_zero_is_judged_in_its_range_of_one() -> None:
    reference, candidate = np.float32([5.4092e-05]), np.float32([5.4121e-05])
    score = small("Network", judged=Judged(score="result"))
    plain = small("Network")
    assert distance(score, "result", candidate, reference) < 1e-7
    assert distance(plain, "result", candidate, reference) > 1e-4


class Dark(Network):
    """Gives 2e-7 by a sigmoid: ONNX Runtime's kernel is 6e-8 off whatever it gives."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(image) - 15.0)


def darker(proto: onnx.ModelProto) -> None:
    """Every output is 5 % too large: less than what ONNX Runtime's kernel is off by."""
    sigmoid = next(node for node in proto.graph.node if node.op_type == "Sigmoid")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1.05), "more"))
    proto.graph.node.append(onnx.helper.make_node("Mul", ["kept", "more"], [sigmoid.output[0]]))
    sigmoid.output[0] = "kept"


def zeros(proto: onnx.ModelProto) -> None:
    darker(proto)
    proto.graph.initializer[-1].CopyFrom(onnx.numpy_helper.from_array(np.float32(0.0), "more"))


def test_a_kernel_that_rounds_coarsely_is_said_and_does_not_condemn_the_file() -> None:
    built = build_file(small("Dark"), SEED)
    (warning,) = built.warnings
    assert "the same file computed in float64 is right" in warning
    assert "off by 0." in warning


@pytest.mark.parametrize("edit", [darker, zeros])
def test_a_wrong_file_does_not_hide_behind_a_coarse_kernel(
    edit: Callable[[onnx.ModelProto], None],
) -> None:
    spec = small("Dark")
    data = edited(build_file(spec, SEED).data, edit)
    with pytest.raises(ExportError, match=r"off by .*; computed in float64 it is off by (0.05|1)"):
        self_check(data, spec, loaded(spec))


def test_what_is_too_large_for_float64_is_cleared_by_smaller_sizes_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = small("Dark")
    data = build_file(spec, SEED).data
    monkeypatch.setattr(in_float64, "MOST_VALUES", 3 * 69 * 25)
    assert self_check(data, spec, loaded(spec))
    monkeypatch.setattr(in_float64, "MOST_VALUES", 0)
    with pytest.raises(ExportError, match="; without optimisation it is off by"):
        self_check(data, spec, loaded(spec))


def test_what_rounds_by_itself_is_not_excused_by_float64() -> None:
    """A file of float16 overflows there, and not in float64."""
    spec = small("Dark")
    data = build_file(spec, SEED).data
    with pytest.raises(ExportError, match="off by"):
        self_check(data, spec, loaded(spec), worst=2e-3)


def test_timm_networks_are_told_how_to_fix_a_size() -> None:
    spec = small("BakedReshape", name="timm:small", strict=False, trace_size=(64, 96))
    with pytest.raises(ExportError) as refusal:
        build_file(spec, SEED)
    assert refusal.value.hint == "let its size be fixed: timm:small@64x96"


def sequence(builder: str, **changes: Any) -> ModelSpec:
    return small(
        builder,
        inputs=(TensorSpec("tokens", ("batch", "seq", 3), ""),),
        outputs=(TensorSpec("result", ("batch", "seq", 3), ""),),
        **changes,
    )


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.linear(tokens)
        return found


class BakedPositions(Linear):
    """Adds positions whose number is that of the traced example."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) + torch.arange(int(tokens.shape[1]))[None, :, None]


class BakedLength(Linear):
    """Divides by the traced example's length: every length runs, all but one wrongly."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) / int(tokens.shape[1])


class NeedsSixteen(Linear):
    """Takes no other lengths than multiples of sixteen."""

    def forward(self, tokens: Tensor) -> Tensor:
        grid = super().forward(tokens).unflatten(1, (-1, 16))
        return grid.flatten(1, 2)


class BakedOnlyWithSeveral(Linear):
    """Wrong where the batch is as traced too: each axis has to vary alone."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) * (1 if int(tokens.shape[0]) == 2 else int(tokens.shape[1]))


@pytest.mark.parametrize("builder", ["BakedPositions", "BakedLength", "BakedOnlyWithSeveral"])
def test_every_free_axis_is_checked_whatever_its_name(builder: str) -> None:
    with pytest.raises(ExportError, match=r"batch \d, seq \d+"):
        build_file(sequence(builder), SEED)
    assert build_file(sequence("Linear"), SEED).warnings == ()


def test_sizes_that_the_network_does_not_take_are_declared() -> None:
    with pytest.raises(ExportError, match=r"the network, run on tokens .* failed: unflatten"):
        build_file(sequence("NeedsSixteen", sizes={"seq": (11, 8)}), SEED)
    assert build_file(sequence("NeedsSixteen", sizes={"seq": (32, 48, 16)}), SEED).data
    with pytest.raises(ExportError, match="seq 48"):
        build_file(sequence("BakedLength", sizes={"seq": (32, 48)}), SEED)


def test_the_sizes_of_the_runs() -> None:
    spec = sequence("Linear")
    runs = module_under_test._runs(spec)
    traced = {"batch": 2, "seq": 11}
    assert all(sizes != traced for sizes, _ in runs)
    assert {"batch": 2, "seq": 23} in [sizes for sizes, _ in runs]  # seq alone, odd
    assert {"batch": 1, "seq": 11} in [sizes for sizes, _ in runs]  # batch alone
    assert all(must for sizes, must in runs if set(sizes.items()).isdisjoint(traced.items()))
    coupled = small("Linear", inputs=(TensorSpec("a", ("n", "m"), ""), TensorSpec("b", ("m",), "")))
    assert all(sizes.keys() == {"n", "m"} for sizes, _ in module_under_test._runs(coupled))


class Seen(Network):
    """Decides by a size that no cheap check has, in one of several manners."""

    def __init__(self, manner: str) -> None:
        super().__init__()
        self.manner = manner

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image)
        height, width = image.shape[2], image.shape[3]
        large = {
            "one side": lambda: height > 300,
            "either side": lambda: max(height, width) > 500,
            "a number": lambda: int(width) >= 640,
            "the area": lambda: height * width > 400 * 400,
            "the batch": lambda: image.shape[0] > 8,
            "harmless": lambda: width > 400,
        }[self.manner]()
        if large:
            found = found + (0 if self.manner == "harmless" else 1)
        return found


@pytest.mark.parametrize(
    ("manner", "where"),
    [
        ("one side", "size 301 x 96"),
        ("either side", "size 501 x 96"),
        ("a number", "size 64 x 640"),
        pytest.param("the area", "", marks=pytest.mark.slow),
        pytest.param("the batch", "batch 9", marks=pytest.mark.slow),
    ],
)
def test_another_way_at_larger_sizes(manner: str, where: str) -> None:
    spec = small("Seen", builder_arguments={"manner": manner})
    with pytest.raises(
        ExportError, match=r"another way in Python \(test_self_check.py:"
    ) as refusal:
        build_file(spec, SEED)
    assert where in refusal.value.problem


def test_what_others_do_when_memory_is_collected_is_no_way_of_the_network() -> None:
    """Hypothesis notes each collection, for one, in code that is not torch's."""
    turns: list[str] = []
    ways = set()

    def collected(*_: object) -> None:
        turns.append("at the first way" if not ways else "at another")
        if ways:
            turns.append("a line that is new")

    spec = small("Seen", builder_arguments={"manner": "harmless"})
    watch = Watch.of(spec, spec.build())
    assert watch is not None
    thresholds = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        for _ in range(3):
            ways.add(watch.way(trace_sizes(spec)))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collected)
    assert len(ways) == 1 and None not in ways
    assert turns and gc.isenabled()


def test_another_way_that_is_the_same_computation_is_no_fault() -> None:
    assert build_file(small("Seen", builder_arguments={"manner": "harmless"}), SEED).warnings == ()


def test_another_way_that_costs_too_much_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_under_test, "MOST_ELEMENTS", 10_000)
    seen = small("Seen", builder_arguments={"manner": "one side"})
    warning = build_file(seen, SEED).warnings[0]  # a second one where time ran out
    assert "takes another way in Python from batch 2, size 301 x 96 on" in warning
    assert "test_self_check.py:" in warning
    monkeypatch.setattr(module_under_test, "MOST_SECONDS", 0.0)
    (warning,) = build_file(small("Seen", builder_arguments={"manner": "one side"}), SEED).warnings
    assert "was not looked at" in warning


class ByValue(Network):
    """Decides by what is in the picture."""

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image / 255 if image.max() > 1.5 else image)
        return found


def test_a_decision_by_values_is_said(tmp_path: Path) -> None:
    result = export_model(small("ByValue"), SEED, tmp_path)
    (warning,) = result.warnings
    assert "decides in Python (test_self_check.py:" in warning
    assert "compared up to batch 3, size 520 x 392" in warning
