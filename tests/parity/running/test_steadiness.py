"""Random files are named by their operators; one that answers otherwise twice, by that."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.running.steadiness import randomness, unsteady

SCRIPT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N] x) => (float[N] y) {{ {body} }}
"""


def written(folder: Path, body: str) -> Path:
    path = folder / "file.onnx"
    onnx.save(onnx.parser.parse_model(SCRIPT.format(body=body)), path)
    return path


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("y = RandomNormalLike(x)", "RandomNormalLike"),
        ("n = RandomUniformLike(x) y = Add(x, n)", "RandomUniformLike"),
        (
            "r = Constant<value_float = 0.5>() t = Constant<value = bool {1}>() y = Dropout(x,r,t)",
            "Dropout",
        ),
    ],
)
def test_random_operators_are_named(tmp_path: Path, body: str, named: str) -> None:
    assert f"the file is random: {named}" in randomness(written(tmp_path, body))


@pytest.mark.parametrize("body", ["y = Relu(x)", "y = Dropout(x)"])
def test_a_function_of_its_input_is_not(tmp_path: Path, body: str) -> None:
    assert randomness(written(tmp_path, body)) == ""


def test_onnx_is_asked_only_where_a_name_stands_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = written(tmp_path, "y = Relu(x)")
    load = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert randomness(plain) == ""
    monkeypatch.undo()
    random = written(tmp_path, "y = RandomNormalLike(x)")
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ParityError, match="random operators, and onnx is not here"):
        randomness(random)


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(ParityError, match="not a readable ONNX file"):
        randomness(path)


def outputs(by: float = 0.0, dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {"map": (np.linspace(0.0, 1.0, 12) + by).astype(dtype)}


def test_the_same_answer_is_steady_with_nan_in_it_too() -> None:
    first = outputs()
    first["map"][3] = np.nan
    assert unsteady(first, {"map": first["map"].copy()}, "cpu") == ""
    assert unsteady({"n": np.arange(3)}, {"n": np.arange(3)}, "cpu") == ""


@pytest.mark.parametrize("second", [outputs(1e-7), {}, outputs(0.0, np.float64)])
def test_any_other_answer_on_the_cpu_is_not(second: Any) -> None:
    assert "one of two runs" in (found := unsteady(outputs(), second, "cpu")) or (
        "differs from itself" in found
    )


def test_a_gpu_may_add_up_in_another_order() -> None:
    assert unsteady(outputs(), outputs(1e-6), "cuda") == ""
    assert "differs from itself" in unsteady(outputs(), outputs(1e-4), "cuda")
    assert "differs from itself" in unsteady(outputs(), outputs(np.nan), "cuda")


def test_a_random_candidate_fails_before_it_is_compared(
    parity: Any, edited: Callable[..., Path], make_images: Callable[..., Path]
) -> None:
    make_images(2)

    def noisy(proto: onnx.ModelProto) -> None:
        name = proto.graph.output[0].name
        for node in proto.graph.node:
            node.output[:] = ["before" if one == name else one for one in node.output]
        proto.graph.node.append(helper.make_node("RandomNormalLike", ["before"], ["n"], scale=1e-9))
        proto.graph.node.append(helper.make_node("Add", ["before", "n"], [name]))

    ran = parity("--candidate", f"tiny_np={edited('tiny_np', noisy)}")
    assert ran.code == 1
    assert {row["mae"] for row in ran.rows} == {None}
    assert all("the file is random: RandomNormalLike" in row["reason"] for row in ran.rows)
