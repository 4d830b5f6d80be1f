"""Full-size networks in float64 against what the reference implementation gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from trufor_onnx.export.models.mit_b2 import MiTB2
from trufor_onnx.export.models.noiseprint_pp import NoiseprintPP
from trufor_onnx.export.models.trufor import TruFor, TruForHead

Array = npt.NDArray[np.float64]

# The arrays that are stored in float32 carry half a unit in the last place of values below 8
# (2.4e-7) and of the float32 logits; the float64 ones differ by summation order alone.
TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-9}


def outputs(network: TruFor, image: torch.Tensor) -> dict[str, Array]:
    """Everything that a golden file holds, by its name there."""
    fused: list[torch.Tensor] = []
    hook = network.backbone.register_forward_hook(lambda *call: fused.extend(call[2]))
    with hook, torch.inference_mode():
        forgery, conf, score, noiseprint = network(image)
    with torch.inference_mode():
        logits = network.logits(image)
    named = {
        "map": forgery[0],
        "conf": conf[0],
        "score": score[0],
        "noiseprint": noiseprint,
        "localization_logits": logits.localization,
        "confidence_logits": logits.confidence,
        "detection_logit": logits.detection,
    }
    named |= {f"fused_{index}": maps for index, maps in enumerate(fused)}
    return {name: value.numpy() for name, value in named.items()}


def excesses(found: Mapping[str, Array], golden: Mapping[str, Array]) -> dict[str, float]:
    """By output, the greatest difference where it is not within tolerance (NaN is not)."""
    assert set(found) | {"image"} == set(golden)
    excess = {}
    for name, value in found.items():
        assert value.dtype == np.float64
        assert value.shape == golden[name].shape, name
        worst = float(np.abs(value - golden[name]).max())
        if not worst < TOLERANCE[golden[name].dtype]:
            excess[name] = worst
    return excess


def as_input(image: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(H, W, 3) 8-bit to (1, 3, H, W) float64, rgb / 256."""
    return torch.from_numpy(image.astype(np.float64) / 256).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def trufor(fill: Callable[..., nn.Module]) -> TruFor:
    with torch.device("meta"):
        network = TruFor()
    fill(network).double()
    return network


@pytest.mark.parametrize("size", [pytest.param("96x128", marks=pytest.mark.slow), "101x77"])
def test_trufor_agrees_with_the_reference(trufor: TruFor, shared: Path, size: str) -> None:
    with np.load(shared / "reference" / f"golden_{size}.npz") as stored:
        golden = dict(stored)
    assert excesses(outputs(trufor, as_input(golden["image"])), golden) == {}


@pytest.mark.slow
def test_a_wrong_eps_of_one_layer_is_seen(trufor: TruFor, shared: Path) -> None:
    with np.load(shared / "reference" / "golden_96x128.npz") as stored:
        golden = dict(stored)
    norm = trufor.get_submodule("backbone.block4.2.norm2")
    assert isinstance(norm, nn.LayerNorm)
    right, norm.eps = norm.eps, 1e-5
    try:
        assert excesses(outputs(trufor, as_input(golden["image"])), golden) != {}
    finally:
        norm.eps = right


def test_noiseprint_with_the_published_weights(shared: Path) -> None:
    weights = shared / "data" / "weights" / "noiseprint++.th"
    if not weights.is_file():
        pytest.skip("the published Noiseprint++ weights are not at hand")
    network = NoiseprintPP()
    checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(checkpoint["network"])
    stored = np.load(shared / "reference" / "golden_noiseprint_real_weights.npz")
    with stored, torch.inference_mode():
        image, expected = stored["image"], stored["noiseprint"]
        found = network.double()(as_input(image)).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-9


@pytest.mark.parametrize(
    ("network", "key"),
    [(TruFor, "trufor"), (MiTB2, "mit_b2"), (NoiseprintPP, "noiseprint_pp")],
)
def test_names_shapes_and_order_are_the_checkpoints(
    network: type[nn.Module], key: str, shared: Path
) -> None:
    expected = json.loads((shared / "reference" / "state_dict.json").read_text())[key]
    with torch.device("meta"):
        state = network().state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == expected
    assert list(state) == list(expected)


def test_the_head_has_the_names_of_trufor_without_noiseprint(shared: Path) -> None:
    expected = json.loads((shared / "reference" / "state_dict.json").read_text())["trufor"]
    with torch.device("meta"):
        state = TruForHead().state_dict()
    without = {name: shape for name, shape in expected.items() if not name.startswith("dncnn.")}
    assert {name: list(tensor.shape) for name, tensor in state.items()} == without
