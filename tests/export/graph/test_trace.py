"""Every opset of the range works, and a graph follows batch and size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import Built, build_file
from trufor_onnx.export.graph import trace as to_onnx
from trufor_onnx.export.graph.trace import (
    LEAST_OPSET,
    example_inputs,
    newest_opset,
    one_torch_thread,
    trace,
)
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource

Specs = dict[str, ModelSpec]
Build = Callable[..., Built]
SIZES = [(32, 32), (33, 47), (64, 32), (61, 101)]


def session_of(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def network(spec: ModelSpec, seed: str) -> Any:
    """The network in torch, in float64, with stand-in weights."""
    module = spec.build()
    module.load_state_dict(dict(WeightsSource(stand_in=seed).weights_for(spec, module).tensors))
    return module.double()


def worst(spec: ModelSpec, session: Any, module: Any, batch: int, size: tuple[int, int]) -> float:
    """The worst difference to float64 over all outputs, as a share of each output's range."""
    inputs = example_inputs(spec, {"batch": batch, "height": size[0], "width": size[1]})
    feeds = {t.name: x.numpy() for t, x in zip(spec.inputs, inputs, strict=True)}
    found = session.run([tensor.name for tensor in spec.outputs], feeds)
    with torch.inference_mode(), one_torch_thread():
        given = module(*(x.double() for x in inputs))
    expected = (given,) if isinstance(given, Tensor) else given
    shares = []
    for tensor, candidate, reference in zip(spec.outputs, found, expected, strict=True):
        assert candidate.shape == tuple(reference.shape)
        assert candidate.dtype == np.float32
        answer = tensor.name in (spec.judged.score, *spec.judged.maps)  # its range is 0..1
        scale = 1.0 if answer else reference.abs().max().item()
        shares.append(np.abs(candidate - reference.numpy()).max() / scale)
    return float(max(shares))


OPSETS = range(LEAST_OPSET, newest_opset() + 1)
# The default, and the last that is converted.
FAST = (("trufor", 17), ("mit_b2", OPSETS[-1]))
EVERY_OPSET = [
    *[pytest.param("noiseprint_pp", opset, id=f"noiseprint_pp-{opset}") for opset in OPSETS],
    *[
        pytest.param(
            name,
            opset,
            marks=() if (name, opset) in FAST else pytest.mark.slow,
            id=f"{name}-{opset}",
        )
        for name in ("mit_b2", "trufor")
        for opset in OPSETS
    ],
]


@pytest.mark.parametrize(("name", "opset"), EVERY_OPSET)
def test_every_opset(name: str, opset: int, tiny: Specs, built: Build) -> None:
    spec = tiny[name]
    data = built(name, opset=opset).data
    proto = onnx.load_model_from_string(data)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", opset)]
    onnx.checker.check_model(proto, full_check=True)
    assert worst(spec, session_of(data), network(spec, "s"), 1, (45, 39)) < 1e-5


@pytest.mark.parametrize("name", ["noiseprint_pp", "mit_b2", "trufor", "trufor_head"])
def test_any_size_and_batch(name: str, tiny: Specs, built: Build) -> None:
    spec = tiny[name]
    session = session_of(built(name).data)
    module = network(spec, "s")
    for batch in range(1, 9):
        assert worst(spec, session, module, batch, SIZES[batch % len(SIZES)]) < 1e-5
    for size in SIZES:
        assert worst(spec, session, module, 1, size) < 1e-5


def test_the_head_takes_one_channel_or_three(tiny: Specs, built: Build) -> None:
    spec = tiny["trufor_head"]
    session = session_of(built("trufor_head").data)
    rgb, one = example_inputs(spec, {"batch": 2, "height": 40, "width": 33})
    assert one.shape[1] == 1
    names = [tensor.name for tensor in spec.outputs]
    found = session.run(names, {"rgb": rgb.numpy(), "np": one.numpy()})
    three = session.run(names, {"rgb": rgb.numpy(), "np": one.repeat(1, 3, 1, 1).numpy()})
    for first, second in zip(found, three, strict=True):
        assert np.array_equal(first, second)


@pytest.mark.parametrize("opset", [LEAST_OPSET - 1, 0, -1, newest_opset() + 1, 10**9])
def test_opsets_out_of_range(opset: int, tiny: Specs) -> None:
    with pytest.raises(ExportError) as refusal:
        build_file(tiny["noiseprint_pp"], WeightsSource(stand_in="s"), opset=opset)
    assert f"opset {opset} is out of range: 17 to {newest_opset()}" in str(refusal.value)


def test_the_newest_opset_is_what_onnxruntime_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = newest_opset()
    assert newest <= onnx.defs.onnx_opset_version()
    monkeypatch.setattr(onnx.defs, "onnx_opset_version", lambda: newest + 7)
    to_onnx.newest_opset.cache_clear()
    try:
        with monkeypatch.context() as patch:  # onnx itself knows no such opset: stamp it by hand
            original = onnx.helper.make_model_gen_version

            def stamped(graph: Any, opset_imports: Any) -> Any:
                wanted = opset_imports[0].version
                opset_imports[0].version = min(wanted, newest)
                proto = original(graph, opset_imports=opset_imports)
                proto.opset_import[0].version = wanted
                return proto

            patch.setattr(onnx.helper, "make_model_gen_version", stamped)
            assert newest_opset() == newest
    finally:
        to_onnx.newest_opset.cache_clear()


def test_only_standard_operators(built: Build) -> None:
    for name in ("mit_b2", "trufor"):
        proto = onnx.load_model_from_string(built(name).data)
        assert {node.domain for node in proto.graph.node} == {""}
        assert not proto.functions


def test_example_inputs_are_the_same_everywhere(tiny: Specs) -> None:
    sizes = {"batch": 3, "height": 4, "width": 5}
    first, second = (example_inputs(tiny["mit_b2"], sizes) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.shape == (3, 3, 4, 5)
        assert torch.equal(one, other)
        assert one.min() >= 0.0
        assert one.max() < 1.0


class Sorting(nn.Module):
    """Uses an operator that has no ONNX form."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.special.bessel_j0(image)[:, :1]


def test_an_operator_without_an_onnx_form(tiny: Specs, capfd: pytest.CaptureFixture[str]) -> None:
    spec = replace(tiny["noiseprint_pp"], builder=f"{__name__}:Sorting", builder_arguments={})
    with pytest.raises(ExportError) as refusal:
        trace(spec, spec.build())
    assert "cannot be traced at opset 17" in str(refusal.value)
    assert "bessel" in str(refusal.value)
    written = capfd.readouterr()
    assert written.out == ""  # torch would print the whole graph


def test_threads_are_given_back(tiny: Specs) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        trace(tiny["noiseprint_pp"], tiny["noiseprint_pp"].build())
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_nothing_is_left_behind(tiny: Specs, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trace(tiny["noiseprint_pp"], tiny["noiseprint_pp"].build())
    assert list(tmp_path.iterdir()) == []


def test_conversion_that_fails(tiny: Specs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Callable[..., None]:
        raise onnx.version_converter.ConvertError("no adapter for Mystery")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    spec = tiny["noiseprint_pp"]
    with pytest.raises(ExportError, match=r"cannot be converted to opset 21 .*no adapter"):
        trace(spec, spec.build(), 21)
