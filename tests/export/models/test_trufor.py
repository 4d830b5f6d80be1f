from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from trufor_onnx.export.models.mit_b2 import InputShapeError
from trufor_onnx.export.models.trufor import TruFor, TruForConfig, TruForHead

EXACT = 1e-11  # a few hundred operations on float64 numbers of size 1

# Of the lines "NAME SHAPE" of the 952 tensors in the published checkpoint, in its order
# (reference/state_dict.json): names and shapes are proven without that file at hand, too.
PUBLISHED_TENSORS = "16536d63ed08fa8d4ed244dd3850198c0de96b21648288fe94cd0e283bcb85ae"

# By name, in this order: the first pattern that fits says the layer's eps.
EPS = {
    r"backbone\.(extra_)?patch_embed\d\.norm": 1e-5,
    r"backbone\.(extra_)?block\d\.\d\.attn\.norm": 1e-5,
    r"backbone\.(extra_)?block\d\.\d\.norm[12]": 1e-6,
    r"backbone\.(extra_)?norm\d": 1e-6,
    r"backbone\.FFMs\.\d\.cross\.norm[12]": 1e-5,
    r"backbone\.FFMs\.\d\.channel_emb\.(norm|channel_embed\.4)": 1e-5,
    r"decode_head\.linear_fuse\.1": 1e-3,
    r"decode_head_conf\.linear_fuse\.1": 1e-5,
    r"dncnn\.\d+": 1e-5,
}


@pytest.fixture(scope="module")
def network(fill: Callable, tiny: TruForConfig) -> TruFor:
    module = fill(TruFor(tiny)).double()
    assert isinstance(module, TruFor)
    return module


def images(draw: Callable, *shape: int) -> torch.Tensor:
    return (draw(*shape) + 1) / 2


@pytest.mark.parametrize("size", [(32, 32), (37, 58)])
def test_all_outputs(
    size: tuple[int, int], network: TruFor, arrays: Callable, plain: ModuleType, draw: Callable
) -> None:
    batch = images(draw, 2, 3, *size)
    with torch.inference_mode():
        forgery, conf, score, noiseprint = network(batch)
        logits = network.logits(batch)
    assert forgery.shape == conf.shape == (2, *size)
    assert score.shape == (2,)
    for index in range(2):
        found = {
            "map": forgery[index],
            "conf": conf[index],
            "score": score[index],
            "noiseprint": noiseprint[index],
            "localization_logits": logits.localization[index],
            "confidence_logits": logits.confidence[index],
            "detection_logit": logits.detection[index],
        }
        expected = plain.trufor(arrays(network), batch[index].numpy(), network.config)
        assert set(expected) - set(found) == {"fused_0", "fused_1", "fused_2", "fused_3"}
        for name, value in found.items():
            assert value.shape == expected[name].shape, name
            assert np.abs(value.numpy() - expected[name]).max() < EXACT, name


def test_the_head_with_the_same_noiseprint_is_the_whole(
    network: TruFor, fill: Callable, tiny: TruForConfig, draw: Callable
) -> None:
    head = fill(TruForHead(tiny)).double()
    batch = images(draw, 2, 3, 40, 48)
    with torch.inference_mode():
        *expected, noiseprint = network(batch)
        extra = noiseprint.repeat(1, 3, 1, 1)
        found, logits = head(batch, extra), head.logits(batch, extra)
        for one, other in zip(head(batch, noiseprint), found, strict=True):
            assert torch.equal(one, other)
        assert torch.equal(logits.localization, network.logits(batch).localization)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        state = TruFor().state_dict()
    lines = "".join(f"{name} {list(tensor.shape)}\n" for name, tensor in state.items())
    assert len(state) == 952
    assert hashlib.sha256(lines.encode()).hexdigest() == PUBLISHED_TENSORS


def test_each_normalisation_layer_keeps_its_own_eps() -> None:
    with torch.device("meta"):
        modules = dict(TruFor().named_modules())
    norms = {
        name: module.eps
        for name, module in modules.items()
        if isinstance(module, nn.LayerNorm | nn.BatchNorm2d)
    }
    expected = {
        name: next(eps for pattern, eps in EPS.items() if re.fullmatch(pattern, name))
        for name in norms
    }
    assert norms == expected
    assert len(norms) == 2 * (4 + 16 * 2 + 13 + 4) + 4 * 4 + 2 + 15


def test_constants_are_those_of_the_precision(tiny: TruForConfig, draw: Callable) -> None:
    network = TruFor(tiny).float().double()
    image = images(draw, 1, 3, 32, 32)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (image.numpy() - mean[:, None, None]) / std[:, None, None]
    assert np.array_equal(network.normalised(image).numpy(), expected)
    assert network.float().normalised(image.float()).dtype == torch.float32


def test_a_network_built_on_meta_is_complete_with_its_tensors(
    network: TruFor, tiny: TruForConfig, fill: Callable, draw: Callable
) -> None:
    with torch.device("meta"):
        other = TruFor(tiny)
    fill(other).double()
    image = images(draw, 1, 3, 32, 40)
    with torch.inference_mode():
        for one, same in zip(other(image), network(image), strict=True):
            assert torch.equal(one, same)


def test_one_image_of_a_batch_is_the_image_alone(network: TruFor, draw: Callable) -> None:
    batch = images(draw, 3, 3, 41, 50)
    with torch.inference_mode():
        together = network(batch)
        for index in range(3):
            alone = network(batch[index : index + 1])
            for one, other in zip(together, alone, strict=True):
                assert float((one[index] - other[0]).abs().max()) < EXACT


# torch deprecates jit.trace itself; a TracerWarning, which tells of a baked-in size, is an error.
@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_a_trace_binds_neither_batch_nor_size(network: TruFor, draw: Callable) -> None:
    traced = torch.jit.trace(network, images(draw, 2, 3, 64, 96), check_trace=False)
    for shape in [(1, 3, 32, 32), (3, 3, 75, 53), (2, 3, 64, 96)]:
        batch = images(draw, *shape)
        # Unoptimised: torch would compile the trace anew for each shape, for half a minute.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            for one, other in zip(traced(batch), network(batch), strict=True):
                assert one.shape == other.shape
                assert float((one - other).abs().max()) < EXACT


def test_too_small_is_an_error_by_either_door(
    network: TruFor, tiny: TruForConfig, draw: Callable
) -> None:
    image = images(draw, 1, 3, 64, 31)
    head = TruForHead(tiny).double()
    for call in (network, network.logits):
        with pytest.raises(InputShapeError, match="the least is 32 x 32"):
            call(image)
    for call in (head, head.logits):
        with pytest.raises(InputShapeError, match="the least is 32 x 32"):
            call(image, image)


def test_published_size() -> None:
    with torch.device("meta"):
        network = TruFor()
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 68.7
    assert not network.training
    assert not any(module.training for module in network.modules())


def test_the_digest_of_names_is_that_of_the_reference(shared: Path) -> None:
    tensors = json.loads((shared / "reference" / "state_dict.json").read_text())["trufor"]
    lines = "".join(f"{name} {shape}\n" for name, shape in tensors.items())
    assert hashlib.sha256(lines.encode()).hexdigest() == PUBLISHED_TENSORS
