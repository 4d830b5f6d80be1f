"""What a graph need not carry goes; what it computes stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from trufor_onnx.export.transforms import clean

Make = Callable[..., Any]

UNTIDY = """(float[N] x, float[N] w, float[3] unread) => (float[N] y) {
  a = Identity (x)
  b = Add (a, w)
  c = Add (x, w)
  dead = Neg (b)
  y = Mul (b, c)
}"""


def test_copies_repeats_and_dead_nodes_go(make: Make, in_float64: Any, draw: Any) -> None:
    weights, x = {"w": draw(4), "unread": draw(3)}, draw(4)
    model, provenance = make(UNTIDY, weights)
    before = in_float64(model, x=x)
    assert clean.apply(model, provenance) == 3
    assert [node.op_type for node in model.graph] == ["Add", "Mul"]
    assert np.array_equal(in_float64(model, x=x)[0], before[0])
    assert list(model.graph.initializers) == list(provenance.origins) == ["w"]


def test_no_stack_traces_and_no_notes_stay(make: Make, draw: Any) -> None:
    model, provenance = make(UNTIDY, {"w": draw(4), "unread": draw(3)})
    model.graph.doc_string = "/home/somebody"
    for node in model.graph:
        node.doc_string = "File /home/somebody/network.py, line 3"
        node.metadata_props["pkg.torch.stack_trace"] = "/home/somebody/network.py"
    clean.apply(model, provenance)
    assert b"somebody" not in ir.to_proto(model).SerializeToString()


def test_a_tidy_graph_stays(make: Make, draw: Any) -> None:
    model, provenance = make(
        "(float[N] x, float[N] w) => (float[N] y) { y = Add (x, w) }", {"w": draw(4)}
    )
    assert clean.apply(model, provenance) == 0
