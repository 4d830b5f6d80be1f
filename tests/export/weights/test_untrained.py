"""Fresh tensors are found among trained ones, and trained ones are left alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from trufor_onnx.export.networks.registry import NOISEPRINT_PP
from trufor_onnx.export.weights.checkpoints import load_checkpoint
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.standin import (
    DEFAULT_SEED,
    kind_of,
    look_untrained,
    stand_in_start,
    stand_in_tensor,
)


def trained(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """What training leaves: rows of other norms that resemble each other."""
    make = torch.Generator().manual_seed(seed)
    base = torch.randn(4, columns, generator=make)
    mixed = torch.randn(rows, 4, generator=make) @ base
    return 0.02 * (mixed + torch.randn(rows, columns, generator=make))


@pytest.mark.parametrize(
    ("initialise", "what"),
    [
        (lambda t: torch.nn.init.kaiming_uniform_(t, a=5**0.5), "uniform"),
        (torch.nn.init.xavier_uniform_, "uniform"),
        (torch.nn.init.kaiming_normal_, "normal"),
        (torch.nn.init.xavier_normal_, "normal"),
        (lambda t: torch.nn.init.trunc_normal_(t, std=0.02), "normal"),
        (lambda t: torch.nn.init.trunc_normal_(t, std=0.02, a=-0.04, b=0.04), "truncated normal"),
        (lambda t: torch.nn.init.normal_(t), "normal"),
        (torch.nn.init.ones_, "all 1"),
        (torch.nn.init.zeros_, "all 0"),
    ],
)
@pytest.mark.parametrize("shape", [(256, 64), (64, 32, 3, 3)])
def test_a_fresh_tensor_is_found(initialise: object, what: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    tensor = torch.empty(shape)
    initialise(tensor)  # type: ignore[operator]
    assert what in kind_of(tensor.numpy())


def test_trained_tensors_are_left_alone() -> None:
    for seed in range(20):
        assert kind_of(trained(128, 96, seed).numpy()) == ""
    # Values like a fresh draw's, sorted: dependent, so somebody arranged them.
    values = np.sort(np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32).ravel())
    assert kind_of(values.reshape(128, 128)) == ""


def test_a_fresh_batch_norm_is_found_and_its_counter_is_not() -> None:
    state = torch.nn.BatchNorm2d(8).state_dict()
    assert look_untrained(state) == {
        "weight": "all 1",
        "bias": "all 0",
        "running_mean": "all 0",
        "running_var": "all 1",
    }


def test_small_tensors_say_too_little() -> None:
    torch.manual_seed(0)
    assert (
        look_untrained({"w": torch.randn(8, 8), "one": torch.ones(1), "i": torch.zeros(9).int()})
        == {}
    )


def test_stand_in_values_are_known_by_the_recipe() -> None:
    tensor = torch.from_numpy(stand_in_tensor(DEFAULT_SEED, "dncnn.4.weight", (4, 4, 2, 2)))
    found = look_untrained({"4.weight": tensor}, prefix="dncnn.")
    assert found == {"4.weight": f"stand-in values (seed {DEFAULT_SEED})"}
    assert look_untrained({"4.weight": tensor}, prefix="dncnn.", known=("4.weight",)) == {}


@pytest.mark.parametrize("shape", [(4, 4, 2, 2), (64,), (8, 8)])
def test_a_recipe_s_first_values_are_those_of_the_whole(shape: tuple[int, ...]) -> None:
    for name in ("a.weight", "a.bias", "a.running_var", "a.running_mean"):
        whole = stand_in_tensor("s", name, shape).reshape(-1)[:16]
        assert np.array_equal(stand_in_start("s", name, shape, 16), whole)


def test_only_checkpoints_are_looked_at(tmp_path: Path) -> None:
    module = NOISEPRINT_PP.build()
    fresh = tmp_path / "trufor.pth.tar"
    torch.save({"network": {f"dncnn.{k}": v for k, v in module.state_dict().items()}}, fresh)
    found = WeightsSource(fresh).weights_for(NOISEPRINT_PP, module)
    tensors = [n for n in module.state_dict() if not n.endswith("num_batches_tracked")]
    large = [n for n in tensors if n.endswith(".weight") or "running" in n]
    assert len(found.look_untrained) >= len(large)
    assert found.document()["look_untrained"] == found.look_untrained
    given = WeightsSource(stand_in="golden").weights_for(NOISEPRINT_PP, module)
    assert (given.look_untrained, "look_untrained" in given.document()) == ({}, False)


def test_the_published_weights_look_trained() -> None:
    beside = Path(__file__).resolve().parents[4] / "shared"
    folder = Path(os.environ.get("TRUFOR_TEST_DATA", beside)) / "data" / "weights"
    if not (folder / "noiseprint++.th").is_file():
        pytest.skip("no published weights beside the checkout (set TRUFOR_TEST_DATA)")
    tensors = load_checkpoint(folder / "noiseprint++.th").tensors
    assert look_untrained(tensors) == {}
