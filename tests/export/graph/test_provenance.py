"""A weight that is lost, changed or appears from nowhere is seen, wherever it hides."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.provenance import CHECKPOINT, GraphProvenance, Origin, array_digest

Make = Callable[..., Any]

TEXT = """(float[B,100] x, float[100] w, float[100] k) => (float[B,100] y) {
  s = Mul (x, w)
  y = Add (s, k)
}"""


@pytest.fixture
def graph(make: Make, draw: Any) -> tuple[Any, GraphProvenance]:
    made: tuple[Any, GraphProvenance] = make(TEXT, {"w": draw(100), "k": draw(100)})
    return made


def add_initializer(model: Any, name: str, array: Any) -> None:
    value = ir.Value(name=name, const_value=ir.Tensor(array, name=name))
    model.graph.register_initializer(value)


def test_sound(graph: tuple[Any, GraphProvenance]) -> None:
    model, provenance = graph
    provenance.require_sound(model, strict=True)
    assert provenance.covered() == {"w", "k"}


@pytest.mark.parametrize("strict", [True, False])
def test_a_lost_weight(strict: bool, graph: tuple[Any, GraphProvenance]) -> None:
    model, provenance = graph
    del model.graph.initializers["w"]
    with pytest.raises(ExportError, match=r"the graph lost 1 initializers: w"):
        provenance.require_sound(model, strict=strict)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_a_smuggled_initializer(dtype: Any, graph: tuple[Any, GraphProvenance]) -> None:
    model, provenance = graph
    add_initializer(model, "strange", np.arange(65).astype(dtype))
    with pytest.raises(ExportError, match=rf"holds strange {np.dtype(dtype)}\[65\]"):
        provenance.require_sound(model, strict=True)
    provenance.require_sound(model, strict=False)


def test_a_small_constant_is_none_of_the_weights(graph: tuple[Any, GraphProvenance]) -> None:
    model, provenance = graph
    add_initializer(model, "scale", np.ones(64, np.float32))
    provenance.require_sound(model, strict=True)
    entry = provenance.document(model, {}, digests_of(model))[1]
    assert (entry["name"], entry["transform"], entry["sources"]) == ("scale", "constant", [])


@pytest.mark.parametrize(("last", "allowed"), [(1.0, True), (1.0000001, False), (np.nan, False)])
def test_one_number_throughout_is_a_constant_of_any_size(
    last: float, allowed: bool, graph: tuple[Any, GraphProvenance]
) -> None:
    """The scale of a LayerNorm whose own was moved into the next layer."""
    model, provenance = graph
    array = np.ones(500, np.float32)
    array[-1] = last
    add_initializer(model, "scale", array)
    if allowed:
        provenance.require_sound(model, strict=True)
        return
    with pytest.raises(ExportError, match="holds scale"):
        provenance.require_sound(model, strict=True)


def test_an_empty_constant_is_one(graph: tuple[Any, GraphProvenance]) -> None:
    """The regions of a Resize that has none."""
    model, provenance = graph
    add_initializer(model, "roi", np.zeros(0, np.float32))
    provenance.require_sound(model, strict=True)


def test_a_matrix_of_one_number_is_no_constant(graph: tuple[Any, GraphProvenance]) -> None:
    """It may be a weight that somebody set to zero."""
    model, provenance = graph
    add_initializer(model, "kernel", np.zeros((5, 20), np.float32))
    with pytest.raises(ExportError, match=r"holds kernel float32\[5, 20\]"):
        provenance.require_sound(model, strict=True)


def test_a_constant_inside_of_a_node(make: Make, draw: Any) -> None:
    numbers = ", ".join(f"{number}.0" for number in range(65))
    text = f"""(float[B,65] x, float[65] w) => (float[B,65] y) {{
      c = Constant <value_floats = [{numbers}]> ()
      s = Mul (x, w)
      y = Add (s, c)
    }}"""
    model, provenance = make(text, {"w": draw(65)})
    with pytest.raises(ExportError, match="holds in Constant"):
        provenance.require_sound(model, strict=True)
    tensor = ir.tensor(np.arange(65, dtype=np.float32))
    node = next(iter(model.graph))
    node.attributes.clear()
    node.attributes.add(ir.AttrTensor("value", tensor))
    with pytest.raises(ExportError, match="holds in Constant"):
        provenance.require_sound(model, strict=True)


def test_a_constant_inside_of_a_branch(make: Make, draw: Any) -> None:
    numbers = ", ".join(f"{number}.0" for number in range(65))
    text = f"""(bool c, float[65] x, float[65] w) => (float[65] y) {{
      y = If (c) <
        then_branch = t () => (float[65] a) {{
          k = Constant <value_floats = [{numbers}]> ()
          a = Add (k, x)
        }},
        else_branch = e () => (float[65] b) {{ b = Add (x, w) }}
      >
    }}"""
    model, provenance = make(text, {"w": draw(65)})
    with pytest.raises(ExportError, match="holds in Constant"):
        provenance.require_sound(model, strict=True)


def digests_of(model: Any) -> dict[str, str]:
    return {
        name: array_digest(value.const_value.numpy())
        for name, value in model.graph.initializers.items()
    }


def test_the_document(graph: tuple[Any, GraphProvenance]) -> None:
    model, provenance = graph
    entries = provenance.document(model, {"w": "backbone.w"}, digests_of(model))
    assert [entry["name"] for entry in entries] == ["k", "w"]
    array = model.graph.initializers["w"].const_value.numpy()
    assert entries[1] == {
        "name": "w",
        "dtype": "float32",
        "shape": [100],
        "sha256": sha256(array.tobytes()).hexdigest(),
        "transform": "checkpoint",
        "sources": ["backbone.w"],
    }


def test_a_weight_that_was_changed_under_its_name(graph: tuple[Any, GraphProvenance]) -> None:
    model, provenance = graph
    digests = digests_of(model)
    changed = model.graph.initializers["w"].const_value.numpy().copy()
    changed[7] = np.nextafter(changed[7], np.float32(9))
    model.graph.initializers["w"].const_value = ir.Tensor(changed, name="w")
    with pytest.raises(ExportError, match="w in the graph is not w of the weights any more"):
        provenance.document(model, {}, digests)


def test_weights_in_another_file_have_no_content(graph: tuple[Any, GraphProvenance]) -> None:
    model, provenance = graph
    digests = digests_of(model)
    model.graph.initializers["w"].const_value = None
    with pytest.raises(ExportError, match="the initializer w has no content") as refusal:
        provenance.document(model, {}, digests)
    assert "external data" in refusal.value.hint


def test_derived_origins() -> None:
    provenance = GraphProvenance({n: Origin(CHECKPOINT, (n,)) for n in "abc"})
    provenance.derive("ab", "sum", "a", "b", "a")
    assert provenance.origins["ab"] == Origin("sum", ("a", "b"))
    provenance.derive("abc", "turn", "ab", "c")
    assert provenance.origins["abc"] == Origin("sum+turn", ("a", "b", "c"))
    provenance.derive("twice", "turn", "abc")
    assert provenance.origins["twice"].transform == "sum+turn+turn"


def test_unused_weights_are_forgotten(make: Make, draw: Any) -> None:
    text = "(float[4] x, float[4] w, float[4] unread) => (float[4] y) { y = Add (x, w) }"
    model, provenance = make(text, {"w": draw(4), "unread": draw(4)})
    provenance.forget_unused(model)
    assert list(model.graph.initializers) == list(provenance.origins) == ["w"]


def test_digests_do_not_depend_on_the_layout_in_memory() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert array_digest(array) == sha256(array.tobytes()).hexdigest()
    assert array_digest(np.asfortranarray(array)) == array_digest(array)
    assert array_digest(array.astype(">f4")) == array_digest(array)
    assert array_digest(array.T) != array_digest(array)
    assert array_digest(np.float32(3.0).reshape(())) == sha256(b"\0\0@@").hexdigest()
    assert array_digest(np.zeros((0, 3), np.float32)) == sha256(b"").hexdigest()
