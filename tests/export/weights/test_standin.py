"""Stand-in weights, and fresh tensors found among trained ones."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.beside import need
from trufor_onnx.export.networks.registry import NOISEPRINT_PP
from trufor_onnx.export.weights.checkpoints import load_checkpoint
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.standin import (
    DEFAULT_SEED,
    kind_of,
    look_untrained,
    stand_in_start,
    stand_in_state,
    stand_in_tensor,
    uniform,
)

KINDS = {  # one of each kind, in the whole network's names
    "dncnn.0.weight": (64, 3, 3, 3),
    "dncnn.3.weight": (64,),
    "dncnn.3.bias": (64,),
    "dncnn.3.running_mean": (64,),
    "dncnn.3.running_var": (64,),
    "dncnn.3.num_batches_tracked": (),
    "backbone.block1.0.attn.q.weight": (64, 64),
}


@pytest.fixture(scope="module")
def folder() -> Path:
    return need("reference") / "reference"


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Iterator[ModuleType]:
    """The reference's own program."""
    path = folder / "reference_weights.py"
    spec = importlib.util.spec_from_file_location("reference_weights", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


def differences(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> list[str]:
    """Names whose type, shape or bytes differ."""
    assert found.keys() == expected.keys()
    return [
        name
        for name, value in found.items()
        if value.dtype != expected[name].dtype
        or value.shape != expected[name].shape
        or value.tobytes() != expected[name].tobytes()
    ]


@pytest.mark.parametrize("seed", ["golden", "", "another, with a ü"])
def test_every_kind_bit_for_bit(seed: str, recipe: ModuleType) -> None:
    assert differences(stand_in_state(seed, KINDS), recipe.state_dict(seed, KINDS)) == []


@pytest.mark.slow
def test_the_whole_network_bit_for_bit(recipe: ModuleType, folder: Path) -> None:
    tensors = json.loads((folder / "state_dict.json").read_text())["trufor"]
    shapes = {name: tuple(shape) for name, shape in tensors.items()}
    assert len(shapes) == 952
    assert differences(stand_in_state("golden", shapes), recipe.state_dict("golden", shapes)) == []


def test_the_values_are_the_published_recipes() -> None:
    """Without the reference at hand: digests of what its program gives for seed ``golden``."""
    digest = hashlib.sha256()
    for name, value in stand_in_state("golden", KINDS).items():
        digest.update(f"{name} {value.dtype.str} {value.shape}\n".encode() + value.tobytes())
    assert digest.hexdigest() == "f46c9a4dbdd1b3aadf30eba3545f430d89eb2b1238c90ae06888b708cd2e31de"


def test_a_part_has_the_values_that_it_has_in_the_whole() -> None:
    part = stand_in_state("s", {"0.weight": (4, 3, 3, 3)}, prefix="dncnn.")
    assert list(part) == ["0.weight"]
    whole = stand_in_tensor("s", "dncnn.0.weight", (4, 3, 3, 3))
    assert np.array_equal(part["0.weight"], whole)
    assert not np.array_equal(part["0.weight"], stand_in_tensor("s", "0.weight", (4, 3, 3, 3)))


@given(st.text(max_size=8), st.text(max_size=8), st.integers(0, 50), st.integers(0, 50))
def test_draws_are_exact_and_do_not_depend_on_the_count(
    seed: str, name: str, count: int, more: int
) -> None:
    draw = uniform(seed, name, count + more)
    assert draw.dtype == np.float32
    assert ((draw >= -1) & (draw < 1)).all()
    assert (draw.astype(np.float64) * 2**23 % 1 == 0).all()
    assert np.array_equal(draw[:count], uniform(seed, name, count))


@pytest.mark.parametrize(
    ("name", "shape", "low", "high"),
    [
        ("a.running_mean", (4000,), -0.1, 0.1),
        ("a.running_var", (4000,), 0.5, 1.5),
        ("a.bias", (4000,), -0.05, 0.05),
        ("a.weight", (4000,), 0.8, 1.2),
        ("a.weight", (40, 100), -(0.03**0.5), 0.03**0.5),
        ("a.weight", (40, 25, 2, 2), -(0.06**0.5), 0.06**0.5),
    ],
)
def test_each_kind_fills_its_range(
    name: str, shape: tuple[int, ...], low: float, high: float
) -> None:
    value = stand_in_tensor("s", name, shape)
    assert value.dtype == np.float32
    assert value.shape == shape
    assert low - 1e-6 <= value.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < value.max() <= high + 1e-6


def test_counters_are_zero() -> None:
    value = stand_in_tensor("s", "a.num_batches_tracked", ())
    assert value.dtype == np.int64
    assert value == 0


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
    file = need("data/weights/noiseprint++.th") / "data" / "weights" / "noiseprint++.th"
    tensors = load_checkpoint(file).tensors
    assert look_untrained(tensors) == {}
