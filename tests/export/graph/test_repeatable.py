"""Random networks and operators are named; what only looks like one is not."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import export_model
from trufor_onnx.export.graph.repeatable import random_operators, require_repeatable
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.sources import WeightsSource

SEED = WeightsSource(stand_in="s")
ON = "on = Constant <value_int = 1> ()\n t = Cast <to = 9> (on)"
OFF = "on = Constant <value_int = 0> ()\n t = Cast <to = 9> (on)"
TRAINED = "z = Dropout (x, r, t)\n y = Identity (z)"


class Network(nn.Module):
    """Random in none or one of several manners."""

    def __init__(self, manner: str = "") -> None:
        super().__init__()
        self.manner = manner
        self.conv = nn.Conv2d(3, 3, 1)
        self.drop = nn.Dropout(0.3)
        self.inner = nn.Sequential(
            nn.Conv2d(3, 3, 1), Jitter() if manner == "python" else nn.ReLU()
        )

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        self.drop.train(self.manner == "module")
        return self

    def forward(self, image: Tensor) -> Tensor:
        x = self.inner(self.drop(self.conv(image)))
        if self.manner == "noise":
            x = x + 0.1 * torch.randn_like(x)
        if self.manner == "seeded":
            torch.manual_seed(1)
            x = x + 0.1 * torch.rand_like(x)
        if self.manner == "function":
            x = nn.functional.dropout(x, 0.2, training=True)
        if self.manner == "bernoulli":
            x = x * torch.bernoulli(torch.full_like(x, 0.5))
        found: Tensor = x
        return found


class Jitter(nn.Module):
    """Draws in Python: a graph would hold one draw as a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + random.random())


def spec(manner: str) -> ModelSpec:
    return ModelSpec(
        name="small",
        title="",
        version="1",
        inputs=(TensorSpec("image", ("batch", 3, "height", "width"), ""),),
        outputs=(TensorSpec("result", ("batch", 3, "height", "width"), ""),),
        builder=f"{__name__}:Network",
        builder_arguments={"manner": manner},
    )


@pytest.mark.parametrize(
    ("manner", "named"),
    [
        ("module", "Dropout /drop/Dropout (training)"),
        ("function", "Dropout /Dropout (training)"),
        ("noise", "RandomNormalLike /RandomNormalLike"),
        ("seeded", "RandomUniformLike"),
        ("bernoulli", "Bernoulli"),
        ("python", "inner.1 (Jitter) gives another output for the same input"),
    ],
)
def test_the_export_names_what_draws(manner: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as refusal:
        export_model(spec(manner), SEED, tmp_path / "out")
    assert f"the network is random: {named}" in refusal.value.problem
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("manner", "named"),
    [
        ("module", "drop (Dropout)"),
        ("function", "Network, in its own forward"),
        ("noise", "Network, in its own forward"),
        ("python", "inner.1 (Jitter)"),
    ],
)
def test_two_runs_name_the_module(manner: str, named: str) -> None:
    network = spec(manner).build().double()
    with pytest.raises(ExportError, match="the network is random") as refusal:
        require_repeatable(spec(manner), network)
    assert named in refusal.value.problem


@dataclasses.dataclass
class Found:
    """What some networks return."""

    map: Tensor


class Wrapped(Network):
    """Returns its output in something else."""

    def __init__(self, manner: str, wrap: Callable[[Tensor], object]) -> None:
        super().__init__(manner)
        self.wrap = wrap

    def forward(self, image: Tensor) -> Any:
        return self.wrap(super().forward(image))


@pytest.mark.parametrize(
    "wrap", [Found, lambda x: {"map": x}, lambda x: [(x,)]], ids=["dataclass", "dict", "nested"]
)
def test_whatever_it_returns_is_looked_into(wrap: Callable[[Tensor], object]) -> None:
    require_repeatable(spec(""), Wrapped("", wrap).eval())
    with pytest.raises(ExportError, match="the network is random"):
        require_repeatable(spec(""), Wrapped("python", wrap).eval())


def test_what_repeats_is_fine() -> None:
    require_repeatable(spec(""), spec("").build())


def graph(body: str, *, opset: int = 17, inputs: str = "float[2] x", after: str = "") -> object:
    head = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1, "own" : 1]>'
    text = f"{head}\ng ({inputs}) => (float[2] y) <float r = {{0.5}}> {{\n {body}\n}}\n{after}"
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("n = RandomNormalLike (x)\n y = Add (x, n)", ["RandomNormalLike that makes n"]),
        ("n = RandomNormal <shape = [2], seed = 1.0> ()\n y = Add (x, n)", ["RandomNormal"]),
        ("n = RandomUniform <shape = [2]> ()\n y = Add (x, n)", ["RandomUniform"]),
        ("n = RandomUniformLike (x)\n y = Add (x, n)", ["RandomUniformLike"]),
        ("y = Bernoulli (x)", ["Bernoulli that makes y"]),
        (f"{ON}\n {TRAINED}", ["Dropout that makes z (training)"]),
        (f"{OFF}\n {TRAINED}", []),
        ("y = Dropout (x, r)", []),
        ("y = Dropout (x)", []),
        (f"{ON}\n y = com.microsoft.BitmaskDropout (x, r, t)", ["BitmaskDropout that makes y"]),
        ("y = Relu (x)", []),
        ("y = own.RandomNormalLike (x)", []),  # a stranger of the same name
    ],
)
def test_named_where_it_draws(body: str, named: list[str]) -> None:
    found = random_operators(graph(body))
    assert len(found) == len(named)
    for text, start in zip(found, named, strict=True):
        assert text.startswith(start)


def test_a_dropout_whose_mode_is_an_input_may_train() -> None:
    found = random_operators(graph("y = Dropout (x, r, t)", inputs="float[2] x, bool t"))
    assert found == ["Dropout that makes y (training where its input says so)"]


def test_a_dropout_that_drops_nothing_is_not_random() -> None:
    model = graph(f"zero = Constant <value_float = 0.0> ()\n {ON}\n y = Dropout (x, zero, t)")
    assert random_operators(model) == []


@pytest.mark.parametrize(
    ("opset", "attributes", "trains"),
    [(6, "", True), (6, "<is_test = 1>", False), (6, "<ratio = 0.0>", False), (11, "", False)],
)
def test_old_dropouts(opset: int, attributes: str, trains: bool) -> None:
    assert bool(random_operators(graph(f"y = Dropout {attributes} (x)", opset=opset))) == trains


def test_in_a_branch() -> None:
    branch = "float[2] {0}) {{ {0} = {1} (x) }}"
    body = (
        "c = Constant <value_int = 1> ()\n b = Cast <to = 9> (c)\n"
        f" y = If (b) <then_branch = t () => ({branch.format('p', 'RandomNormalLike')},"
        f" else_branch = e () => ({branch.format('q', 'Relu')}>"
    )
    assert random_operators(graph(body)) == ["RandomNormalLike that makes p in If"]


def test_a_branch_hides_the_name_that_is_known_outside() -> None:
    """``t`` is on outside, and inside made of the input: what is known ends there."""
    inner = "float[2] p) { i = Cast <to = 9> (m)  t = Identity (i)  p = Dropout (x, r, t) }"
    body = (
        f"{OFF}\n y = If (t) <then_branch = a () => ({inner},"
        " else_branch = e () => (float[2] q) { q = Relu (x) }>"
    )
    found = random_operators(graph(body, inputs="float[2] x, float m"))
    assert found == ["Dropout that makes p (training where its input says so) in If"]


FUNCTION = """
<domain: "own", opset_import: ["" : 17]>
drop (a, mode) => (b) {
  half = Constant <value_float = 0.5> ()
  b = Dropout (a, half, mode)
}
"""


@pytest.mark.parametrize(("mode", "named"), [(ON, 1), (OFF, 0)])
def test_in_a_function_that_gets_its_mode_from_the_call(mode: str, named: int) -> None:
    found = random_operators(graph(f"{mode}\n y = own.drop (x, t)", after=FUNCTION))
    assert found == ["Dropout that makes b (training) in the function drop"] * named


def test_a_function_that_is_not_called_draws_nothing() -> None:
    assert random_operators(graph("y = Relu (x)", after=FUNCTION)) == []


def test_a_function_that_calls_itself_ends() -> None:
    again = FUNCTION.replace("Dropout (a, half, mode)", "own.drop (a, mode)")
    again = again.replace('"" : 17', '"" : 17, "own" : 1')
    assert random_operators(graph(f"{ON}\n y = own.drop (x, t)", after=again)) == []


def test_weights_elsewhere_are_not_asked_for() -> None:
    model = graph("y = Dropout (x, r, t)", inputs="float[2] x")
    tensor = model.graph.initializer.add(name="t", data_type=onnx.TensorProto.BOOL)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    assert len(random_operators(model)) == 1
