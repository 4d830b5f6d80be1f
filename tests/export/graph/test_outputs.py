"""What a network returns: flattened in one order, by its own names, or refused."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest
import torch

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.outputs import leaves, output_tensors
from trufor_onnx.export.graph.trace import trace
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec

AXES = ("batch", 3, "height", "width")
TWO = ModelSpec(
    name="theirs",
    title="A network of somebody else",
    version="1",
    inputs=(TensorSpec("image", AXES, "RGB"),),
    outputs=(TensorSpec("map", AXES, "a map"), TensorSpec("score", ("batch",), "a score")),
    builder=f"{__name__}:Boxed",
)
MAP, SCORE = torch.zeros(1, 3, 4, 5), torch.zeros(1)


def tensor(*shape: int, **given: Any) -> torch.Tensor:
    return torch.zeros(shape or (1, 3, 4, 5), **given)


@pytest.mark.parametrize(
    ("given", "reason", "hint"),
    [
        (None, "returns None", "a network must return tensors"),
        (0.5, "returns a float", "a network must return tensors"),
        ({"map": tensor()}, "returns 1 outputs (map), its spec names", "mend the spec's outputs"),
        (
            {"map": tensor(), "edge": tensor(1)},
            "returns map, edge, its spec names map, score",
            "by the names that the network gives them",
        ),
        ((tensor(), None), "returns 1 outputs, its spec names", "mend the spec's outputs"),
        ((tensor(), 0.5), "its output output_1 is a float", "a network must return tensors"),
        ((tensor(), ["s"]), "its output output_1.0 is a str", "a network must return tensors"),
        ((tensor(), {"s": tensor(1), "t": tensor(1)}), "returns 3 outputs", "mend the spec's"),
        (tensor(), "returns 1 outputs, its spec names", "mend the spec's outputs"),
        ((), "returns an empty tuple", "a network must return tensors"),
        ((tensor(), []), "its output output_1 is an empty list", "a network must return tensors"),
        ((tensor(), tensor(1, 2)), "score has shape (1, 2), its spec says (batch)", "axes"),
        ((tensor(1, 4, 4, 5), tensor(1)), "map has shape (1, 4, 4, 5), its spec says", "axes"),
        ((tensor(dtype=torch.complex64), tensor(1)), "map is torch.complex64", "magnitude"),
        ((tensor(dtype=torch.bfloat16), tensor(1)), "map is torch.bfloat16", ".float()"),
        ((tensor(1, 3, 4, 5).to_sparse(), tensor(1)), "map is a sparse", ".to_dense()"),
        ((tensor(device="meta"), tensor(1)), "map is on meta", "CPU"),
    ],
)
def test_what_a_network_may_not_return(given: Any, reason: str, hint: str) -> None:
    with pytest.raises(ExportError) as refusal:
        output_tensors(TWO, given)
    assert reason in refusal.value.problem
    assert hint in refusal.value.hint


def test_what_it_may() -> None:
    found = output_tensors(TWO, [tensor(), tensor(2, dtype=torch.int64)])
    assert [t.dtype for t in found] == [torch.float32, torch.int64]


@dataclasses.dataclass
class Found:
    score: torch.Tensor
    map: torch.Tensor
    more: torch.Tensor | None = None


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


@pytest.mark.parametrize(
    "given",
    [
        {"score": SCORE, "map": MAP},
        Found(SCORE, MAP),
        Pair(MAP, SCORE),
        (MAP, {"score": SCORE}),
        [[MAP], [[SCORE]]],
        {"map": MAP, "score": SCORE, "loss": None},
    ],
    ids=["dict", "dataclass", "named tuple", "dict in a tuple", "lists in lists", "None"],
)
def test_what_is_flattened(given: Any) -> None:
    found = output_tensors(TWO, given)
    assert [id(t) for t in found] == [id(MAP), id(SCORE)]


def test_what_is_left_out_is_said(caplog: pytest.LogCaptureFixture) -> None:
    output_tensors(dataclasses.replace(TWO, name="says"), Found(SCORE, MAP))
    assert "says returns None as more: left out" in caplog.text


def test_the_order_is_that_of_the_network() -> None:
    given = {"b": MAP, "a": (SCORE, {"z": MAP, "y": None}), "c": [SCORE]}
    assert [way for way, _ in leaves(given)] == ["b", "a.0", "a.1.z", "a.1.y", "c.0"]
    itself: list[Any] = []
    itself.append(itself)
    assert len(list(leaves(itself))) == 1


class Boxed(torch.nn.Module):
    """Returns a dict in a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.a(x), {"edge": self.b(x), "loss": None}


def test_the_graph_has_the_outputs_in_the_order_of_the_spec() -> None:
    outputs = (
        TensorSpec("output_1.edge", ("batch", 2, *AXES[2:]), "edges"),
        TensorSpec("output_0", ("batch", 4, *AXES[2:]), "features"),
    )
    spec = dataclasses.replace(TWO, name="boxed", outputs=outputs)
    graph = trace(spec, Boxed().eval()).graph
    assert [output.name for output in graph.output] == ["output_1.edge", "output_0"]
    weights = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "Conv"}
    assert weights == {"output_1.edge": "b.weight", "output_0": "a.weight"}
