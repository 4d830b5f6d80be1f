"""Every gap between a network and a checkpoint is measured and named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trufor_onnx.errors import CoverageError
from trufor_onnx.export.weights.coverage import (
    group_list,
    groups,
    measure,
    require_complete,
    signatures,
)

NETWORK = {
    "a.weight": ((100, 1000), "float32"),
    "a.bias": ((100,), "float32"),
    "b.weight": ((300, 1000), "float32"),
    "b.num_batches_tracked": ((), "int64"),
}


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
