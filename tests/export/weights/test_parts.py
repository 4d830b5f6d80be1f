"""Which tensors of a checkpoint a network takes, which it leaves, and when a branch is copied."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD
from trufor_onnx.export.weights.coverage import own_part

ENCODER = ("block1.w", "extra_block1.w", "norm1.w", "extra_norm1.w", "FRMs.0.w", "FFMs.0.w")


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
