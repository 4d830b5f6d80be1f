"""Networks of other kinds than pictures in, maps out: exported, proven and checked like ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import export_model, rebuild_file
from trufor_onnx.export.graph.trace import example_inputs
from trufor_onnx.export.networks.spec import DTYPES, ModelSpec, TensorSpec
from trufor_onnx.export.weights.sources import WeightsSource

IMAGE = ("batch", 3, "height", "width")


class Text(nn.Module):
    """Token ids and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(50, 8), nn.Linear(8, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        shown = mask.unsqueeze(-1).to(torch.float32)
        mean = (self.embedding(ids) * shown).sum(1) / shown.sum(1).clamp(min=1.0)
        return self.out(mean)


class Wave(nn.Module):
    """A waveform of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 9, stride=4, padding=4)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.conv(wave.unsqueeze(1))


class Three(nn.Module):
    """A picture, numbers and a label."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.label = nn.Conv2d(3, 8, 3, padding=1), nn.Embedding(10, 8)
        self.meta = nn.Linear(4, 8)

    def forward(self, image: torch.Tensor, meta: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return (
            self.conv(image) * self.meta(meta)[:, :, None, None]
            + self.label(label)[:, :, None, None]
        )


class Peaks(nn.Module):
    """As many boxes as there are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 8, stride=8)

    def forward(self, image: torch.Tensor) -> Any:
        points = self.conv(image).flatten(2).transpose(1, 2)[0]
        scores = points[:, 4].sigmoid()
        keep = (scores > 0.5).nonzero().squeeze(1)
        return {"scores": scores[keep], "boxes": points[keep, :4]}


class Plain(nn.Module):
    """One convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image)


def half() -> nn.Module:
    return Plain().half()


def double() -> nn.Module:
    return Plain().double()


def spec(
    builder: str, inputs: list[TensorSpec], outputs: list[TensorSpec], **more: Any
) -> ModelSpec:
    names = {"name": builder.lower(), "title": "a network", "version": "1"}
    where = f"{__name__}:{builder}"
    return ModelSpec(**names, inputs=tuple(inputs), outputs=tuple(outputs), builder=where, **more)


MAP = ("batch", 2, "height", "width")
SPECS = [
    spec(
        "Text",
        [
            TensorSpec("ids", ("batch", "seq"), dtype="int64", below=50),
            TensorSpec("mask", ("batch", "seq"), dtype="int64"),
        ],
        [TensorSpec("embedding", ("batch", 4))],
    ),
    spec(
        "Wave",
        [TensorSpec("wave", ("batch", "samples"))],
        [TensorSpec("features", ("batch", 4, "frames"))],
        sizes={"samples": (160, 81, 323)},
    ),
    spec(
        "Three",
        [
            TensorSpec("image", IMAGE),
            TensorSpec("meta", ("batch", 4)),
            TensorSpec("label", ("batch",), dtype="int64", below=10),
        ],
        [TensorSpec("map", ("batch", 8, "height", "width"))],
    ),
    spec(
        "Peaks",
        [TensorSpec("image", (1, 3, "height", "width"))],
        [TensorSpec("boxes", ("found", 4)), TensorSpec("scores", ("found",))],
        least_size=16,
    ),
    spec("half", [TensorSpec("image", IMAGE, dtype="float16")], [TensorSpec("map", MAP)]),
]


@pytest.mark.parametrize("given", SPECS, ids=lambda given: given.name)
def test_it_is_exported_and_computes_the_same(given: ModelSpec, tmp_path: Path) -> None:
    source = WeightsSource(stand_in="golden")
    exported = export_model(given, source, tmp_path)
    again = export_model(given, source, tmp_path / "again")
    assert exported.path.read_bytes() == again.path.read_bytes()
    declared = onnx.load(exported.path).graph.input
    types = [onnx.helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type) for i in declared]
    assert [np.dtype(t).name for t in types] == [tensor.dtype for tensor in given.inputs]
    module = given.build()
    module.load_state_dict(dict(source.weights_for(given, module).tensors))
    inputs = example_inputs(given)
    feeds = {t.name: x.numpy() for t, x in zip(given.inputs, inputs, strict=True)}
    session = onnxruntime.InferenceSession(exported.path)
    names = [tensor.name for tensor in given.outputs]
    with torch.inference_mode():
        expected = module(*inputs)
    wanted = [expected[n] for n in names] if isinstance(expected, dict) else [expected]
    for found, right in zip(session.run(names, feeds), wanted, strict=True):
        near = 2e-3 if right.dtype == torch.float16 else 2e-6
        np.testing.assert_allclose(found, right.numpy(), atol=near * float(right.abs().max()))
    lock = json.loads(next(tmp_path.glob("*.lock.json")).read_text("utf-8"))
    there = {entry["name"]: entry.get("dtype", "float32") for entry in lock["inputs"]}
    assert there == {tensor.name: tensor.dtype for tensor in given.inputs}


def test_float64_convolutions_are_refused_with_what_mends_it(tmp_path: Path) -> None:
    given = spec("double", [TensorSpec("image", IMAGE, dtype="float64")], [TensorSpec("map", MAP)])
    with pytest.raises(ExportError, match="Could not find an implementation for Conv") as refusal:
        export_model(given, WeightsSource(stand_in="golden"), tmp_path)
    assert ".float()" in refusal.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", DTYPES)
def test_made_up_inputs_are_of_their_type_and_below_their_bound(dtype: str) -> None:
    given = spec("Text", [TensorSpec("x", (7, 500), dtype=dtype, below=3)], SPECS[0].outputs[:1])  # type: ignore[arg-type]
    (made,) = example_inputs(given)
    assert str(made.dtype) == f"torch.{dtype}"
    values = set(made.flatten().tolist())
    assert values == ({False, True} if dtype == "bool" else {0, 1, 2}) or "float" in dtype
    assert min(values) >= 0 and max(values) < 3


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"dtype": "complex64"}, "dtypes of its inputs"), ({"below": 0}, "below 1 or more")],
)
def test_a_spec_of_no_such_type_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        spec("Plain", [TensorSpec("image", IMAGE, **wrong)], [TensorSpec("map", MAP)])


class Fourier(nn.Module):
    """What the tracer has no ONNX form for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.log1p(torch.fft.rfft2(self.conv(image)).abs())


FOURIER = spec(
    "Fourier", [TensorSpec("image", IMAGE)], [TensorSpec("bands", ("batch", 2, "height", "half"))]
)


def test_what_the_tracer_does_not_know_is_said_with_the_exporter_that_does(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="fft_rfft2") as refusal:
        export_model(FOURIER, WeightsSource(stand_in="golden"), tmp_path)
    assert "--exporter dynamo does (it was tried)" in refusal.value.hint
    assert not list(tmp_path.iterdir())


def test_the_other_exporter_gives_the_same_proof(tmp_path: Path) -> None:
    given = replace(FOURIER, exporter="dynamo")
    source = WeightsSource(stand_in="golden")
    exported = export_model(given, source, tmp_path)
    again = export_model(given, source, tmp_path / "again")
    assert exported.path.read_bytes() == again.path.read_bytes()
    assert b"site-packages" not in exported.path.read_bytes()  # no stack traces
    lock = json.loads(next(tmp_path.glob("*.lock.json")).read_text("utf-8"))
    assert lock["exporter"] == "dynamo"
    assert "onnxscript" in lock["toolchain"]
    made = {entry["name"] for entry in lock["initializers"]}
    assert {"conv.weight", "conv.bias"} <= made
    module = given.build()
    weights = source.weights_for(given, module)
    rebuilt = rebuild_file(given, weights, variant="portable", opset=lock["opset"])
    assert rebuilt.document == lock


def test_of_the_usual_exporter_no_lock_speaks(tmp_path: Path) -> None:
    export_model(SPECS[1], WeightsSource(stand_in="golden"), tmp_path)
    assert "exporter" not in json.loads(next(tmp_path.glob("*.lock.json")).read_text("utf-8"))


def test_an_old_opset_of_the_other_exporter_is_refused(tmp_path: Path) -> None:
    given = replace(FOURIER, exporter="dynamo")
    with pytest.raises(ExportError, match="writes opset 18 or newer, not 17"):
        export_model(given, WeightsSource(stand_in="golden"), tmp_path, opset=17)


class Norms(nn.Module):
    """Two layers that are made alike, and weights that are transposed before use."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(8), nn.LayerNorm(8)
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.second(torch.relu(self.one(self.first(x)))))


def test_layers_that_are_made_alike_stay_two(tmp_path: Path) -> None:
    given = spec("Norms", [TensorSpec("x", ("batch", 8))], [TensorSpec("y", ("batch", 8))])
    source = WeightsSource(stand_in="golden")
    exported = export_model(replace(given, exporter="dynamo"), source, tmp_path)
    module = given.build()
    module.load_state_dict(dict(source.weights_for(given, module).tensors))
    x = torch.linspace(-1, 1, 40).reshape(5, 8)
    session = onnxruntime.InferenceSession(exported.path)
    with torch.inference_mode():
        right = module(x).numpy()
    np.testing.assert_allclose(session.run(["y"], {"x": x.numpy()})[0], right, atol=1e-6)


_built: list[str] = []


class Fails(nn.Module):
    """Does not run itself, so that no exporter could do better."""

    def __init__(self) -> None:
        super().__init__()
        _built.append("again")
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"mine: {self.conv(image).shape}")


def test_no_other_exporter_is_tried_where_the_network_does_not_run(tmp_path: Path) -> None:
    _built.clear()
    given = spec("Fails", [TensorSpec("image", IMAGE)], [TensorSpec("map", MAP)])
    with pytest.raises(ExportError, match="mine") as refusal:
        export_model(given, WeightsSource(stand_in="golden"), tmp_path)
    assert "dynamo" not in refusal.value.hint
    assert _built == ["again"]
