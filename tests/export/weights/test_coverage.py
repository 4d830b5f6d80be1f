"""Every gap between a network and a checkpoint; parts, branches, tied tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import CoverageError
from trufor_onnx.export.build import build_file
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.coverage import (
    group_list,
    groups,
    measure,
    own_part,
    require_complete,
    signatures,
    tied_names,
)
from trufor_onnx.export.weights.sources import WeightsSource

NETWORK = {
    "a.weight": ((100, 1000), "float32"),
    "a.bias": ((100,), "float32"),
    "b.weight": ((300, 1000), "float32"),
    "b.num_batches_tracked": ((), "int64"),
}
ENCODER = ("block1.w", "extra_block1.w", "norm1.w", "extra_norm1.w", "FRMs.0.w", "FFMs.0.w")
AXES = ("batch", 3, "height", "width")


def refusal(given: dict[str, tuple[tuple[int, ...], str]]) -> str:
    with pytest.raises(CoverageError) as caught:
        require_complete(measure(NETWORK, given), "x.pth as net", hint="do this")
    assert caught.value.hint == "do this"
    return caught.value.problem


def test_complete() -> None:
    coverage = measure(NETWORK, dict(NETWORK))
    assert coverage.complete
    require_complete(coverage, "x", hint="")
    assert coverage.document() == {
        "tensors": 4,
        "tensors_set": 4,
        "parameters": 400_100,
        "parameters_set": 400_100,
    }
    assert coverage.share() == "covers 0.4 M of 0.4 M parameters (100.0 %)"


def test_a_network_without_tensors_is_not_covered() -> None:
    assert not measure({}, {}).complete
    with pytest.raises(CoverageError):
        require_complete(measure({}, {}), "x", hint="")


def test_missing_largest_first() -> None:
    given = {"a.weight": NETWORK["a.weight"]}
    assert measure(NETWORK, given).missing == ("b.weight", "a.bias", "b.num_batches_tracked")
    assert refusal(given).splitlines() == [
        "x.pth as net: covers 0.1 M of 0.4 M parameters (25.0 %)",
        "  missing 3 tensors, 0.3 M parameters, in b.* (2), a.* (1)",
        "    b.weight float32[300, 1000]",
        "    a.bias float32[100]",
        "    b.num_batches_tracked int64[]",
    ]


def test_a_missing_bias_does_not_read_as_all() -> None:
    given = {name: value for name, value in NETWORK.items() if name != "a.bias"}
    assert "(99.9 %)" in refusal(given)


def test_unexpected_largest_first() -> None:
    given = NETWORK | {"c.small": ((2,), "float32"), "c.large": ((9, 9), "float32")}
    assert refusal(given).splitlines()[1:] == [
        "  2 unexpected tensors, in c.* (2)",
        "    c.large",
        "    c.small",
    ]


def test_another_shape_and_another_dtype() -> None:
    given = NETWORK | {"a.bias": ((99,), "float32"), "b.weight": ((300, 1000), "float16")}
    assert refusal(given).splitlines()[1:] == [
        "  2 tensors of another shape or dtype:",
        "    b.weight: float16[300, 1000] in the checkpoint, float32[300, 1000] in the network",
        "    a.bias: float32[99] in the checkpoint, float32[100] in the network",
    ]


def test_equal_element_counts_do_not_make_equal_shapes() -> None:
    assert "a.weight: float32[1000, 100]" in refusal(
        NETWORK | {"a.weight": ((1000, 100), "float32")}
    )


def test_long_lists_are_cut_and_counted() -> None:
    many = {f"g{n}.w": ((n + 1,), "float32") for n in range(30)}
    with pytest.raises(CoverageError) as caught:
        require_complete(measure(many, {}), "x", hint="")
    lines = caught.value.problem.splitlines()
    assert lines[2] == "    g29.w float32[30]"
    assert lines[-1] == "    and 22 more"
    assert "and 22 more groups" in lines[1]


def test_groups() -> None:
    assert groups(["b.x", "a.x", "b.y", "cls_token"]) == "b.* (2), a.* (1), cls_token (1)"
    assert groups([]) == ""
    assert group_list({"a.x", "b.x"}, ["b.x", "b.y", "c.x", "a.x"]) == "b.*, a.*"


def test_signatures_of_torch_and_numpy_agree() -> None:
    expected = {"x": ((2, 3), "float32"), "n": ((), "int64")}
    assert signatures({"x": torch.zeros(2, 3), "n": torch.tensor(1)}) == expected
    assert signatures({"x": np.zeros((2, 3), np.float32), "n": np.int64(1)}) == expected


def tensors(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(float(n)) for n, name in enumerate(names)}


def test_a_part_of_the_whole_network() -> None:
    given = tensors("dncnn.0.w", "backbone.block1.w", "detection.0.w")
    part = own_part(NOISEPRINT_PP, given, tensors("0.w"))
    assert dict(part.tensors) == {"0.w": given["dncnn.0.w"]}
    assert dict(part.sources) == {"0.w": "dncnn.0.w"}
    assert part.left == ("backbone.block1.w", "detection.0.w")
    assert not part.one_branch


def test_the_networks_own_file_has_no_prefix() -> None:
    part = own_part(NOISEPRINT_PP, tensors("0.w", "other"), tensors("0.w"))
    assert list(part.tensors) == ["0.w", "other"]  # what is unknown stays, to be reported
    assert part.left == ()


def test_the_whole_network_leaves_nothing() -> None:
    given = tensors("dncnn.0.w", "strange")
    assert list(own_part(TRUFOR, given, tensors("dncnn.0.w")).tensors) == ["dncnn.0.w", "strange"]


def test_the_head_leaves_noiseprint() -> None:
    given = tensors("dncnn.0.w", "backbone.w")
    part = own_part(TRUFOR_HEAD, given, tensors("backbone.w"))
    assert list(part.tensors) == ["backbone.w"]
    assert part.left == ("dncnn.0.w",)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_one_branch_goes_to_both(prefix: str) -> None:
    given = tensors(f"{prefix}block1.w", f"{prefix}norm1.w", f"{prefix}head.weight")
    part = own_part(MIT_B2, given, tensors(*ENCODER))
    assert part.one_branch
    assert dict(part.sources) == {
        "block1.w": f"{prefix}block1.w",
        "norm1.w": f"{prefix}norm1.w",
        "extra_block1.w": f"{prefix}block1.w",
        "extra_norm1.w": f"{prefix}norm1.w",
    }
    assert part.left == (f"{prefix}head.weight",)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_full_checkpoint_that_lost_a_branch_is_not_taken_for_one_branch(prefix: str) -> None:
    given = tensors(*(prefix + name for name in ENCODER if not name.startswith("extra_")))
    part = own_part(MIT_B2, given, tensors(*ENCODER))
    assert not part.one_branch
    assert set(part.tensors) == {name for name in ENCODER if not name.startswith("extra_")}


def test_both_branches_are_both_taken() -> None:
    part = own_part(MIT_B2, tensors(*ENCODER), tensors(*ENCODER))
    assert not part.one_branch
    assert list(part.tensors) == list(ENCODER)


def test_a_network_of_one_branch_has_no_twins() -> None:
    single = replace(MIT_B2, second_branch="")
    assert not own_part(single, tensors("block1.w"), tensors("block1.w")).one_branch


class Shared(nn.Module):
    """One convolution in two places, and one weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.again = self.first
        self.third = nn.Conv2d(3, 3, 1, bias=False)
        self.fourth = nn.Conv2d(3, 3, 1, bias=False)
        self.fourth.weight = self.third.weight

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.fourth(self.third(self.again(torch.relu(self.first(image)))))
        return found


SPEC = ModelSpec(
    name="shared",
    title="",
    version="1",
    inputs=(TensorSpec("image", AXES, ""),),
    outputs=(TensorSpec("result", AXES, ""),),
    builder=f"{__name__}:Shared",
)


TIED = {
    "again.weight": "first.weight",
    "again.bias": "first.bias",
    "fourth.weight": "third.weight",
}


def test_names() -> None:
    assert tied_names(Shared()) == TIED
    assert tied_names(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))) == {}


def test_stand_in_weights_have_one_value() -> None:
    weights = WeightsSource(stand_in="s").weights_for(SPEC, SPEC.build())
    for name, first in TIED.items():
        assert weights.digests[name] == weights.digests[first]
    assert build_file(SPEC, WeightsSource(stand_in="s")).data  # the self-check compares with torch


def save(**changes: Any) -> WeightsSource:
    torch.manual_seed(0)
    state = {n: t.clone() for n, t in Shared().state_dict().items()}
    for name, value in changes.items():
        state[name.replace("_", ".")] = value
    torch.save({n: t for n, t in state.items() if t is not None}, "shared.pth")
    return WeightsSource(Path("shared.pth"))


def test_a_checkpoint() -> None:
    assert build_file(SPEC, save()).data


def test_a_checkpoint_with_two_values() -> None:
    with pytest.raises(CoverageError, match=r"has two values: again\.bias and first\.bias"):
        build_file(SPEC, save(again_bias=torch.ones(3)))


def test_a_missing_name_is_filled_with_the_value_of_the_other() -> None:
    source = save(again_bias=None)
    with pytest.raises(CoverageError, match=r"missing 1 tensors.*\n +again\.bias"):
        build_file(SPEC, source)
    filled = WeightsSource(source.path, stand_in="s")
    weights = filled.weights_for(SPEC, SPEC.build())
    assert weights.digests["again.bias"] == weights.digests["first.bias"]
    assert build_file(SPEC, filled).data
