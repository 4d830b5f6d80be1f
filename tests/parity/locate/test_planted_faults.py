"""Each planted fault is located to its module, and to no other."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest

from tests.parity.locate.conftest import Array, set_weight
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.locate.results import Located

Planted = Callable[..., Located]


def node_named(proto: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in proto.graph.node if node.name == name)


def wrong_eps(proto: onnx.ModelProto, *, name: str, eps: float) -> None:
    attribute = next(a for a in node_named(proto, name).attribute if a.name == "epsilon")
    assert attribute.f != pytest.approx(eps)
    attribute.f = eps


def swapped(proto: onnx.ModelProto, *, first: str, second: str) -> None:
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    assert arrays[first].shape == arrays[second].shape
    set_weight(proto, first, lambda _: arrays[second])
    set_weight(proto, second, lambda _: arrays[first])


def tanh_gelu(proto: onnx.ModelProto, *, erf: str) -> None:
    """The erf of u becomes ``tanh(1.1283792 (u + 0.08943 u^3))``; u = x / sqrt(2)."""
    node = node_named(proto, erf)
    source, target = node.input[0], node.output[0]
    at = list(proto.graph.node).index(node)
    constants = {"c3": 0.044715 * 2.0, "c1": 2.0 / np.sqrt(np.pi)}
    for name, value in constants.items():
        array = np.array(value, dtype=np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, f"planted_{name}"))
    nodes = [
        onnx.helper.make_node("Mul", [source, source], ["planted_square"]),
        onnx.helper.make_node("Mul", ["planted_square", source], ["planted_cube"]),
        onnx.helper.make_node("Mul", ["planted_cube", "planted_c3"], ["planted_scaled"]),
        onnx.helper.make_node("Add", [source, "planted_scaled"], ["planted_sum"]),
        onnx.helper.make_node("Mul", ["planted_sum", "planted_c1"], ["planted_inner"]),
        onnx.helper.make_node("Tanh", ["planted_inner"], [target]),
    ]
    del proto.graph.node[at]
    for new in reversed(nodes):
        proto.graph.node.insert(at, new)


def missing(proto: onnx.ModelProto, *, name: str) -> None:
    node = node_named(proto, name)
    for other in proto.graph.node:
        for index, read in enumerate(other.input):
            if read == node.output[0]:
                other.input[index] = node.input[0]
    proto.graph.node.remove(node)


def wrong_resize(proto: onnx.ModelProto, *, name: str) -> None:
    attributes = {a.name: a for a in node_named(proto, name).attribute}
    assert attributes["mode"].s == b"linear"
    attributes["coordinate_transformation_mode"].s = b"align_corners"


def scaled(proto: onnx.ModelProto, *, name: str, by: float) -> None:
    set_weight(proto, name, lambda array: array * by)


def one_value(proto: onnx.ModelProto, *, name: str) -> None:
    def change(array: Array) -> Array:
        array.reshape(-1)[3] += 0.01
        return array

    set_weight(proto, name, change)


def wrong_variance(proto: onnx.ModelProto, *, name: str) -> None:
    """As if one channel's running variance were 1 % larger: its weights are 0.5 % smaller."""

    def change(array: Array) -> Array:
        array[1] *= 1.01**-0.5
        return array

    set_weight(proto, name, change)


FAULTS = {
    "eps of a block's norm": (
        "tiny_mit",
        partial(wrong_eps, name="/block2.0/norm2/LayerNormalization", eps=1e-5),
        "block2.0.norm2",
    ),
    "eps of an embedding's norm": (
        "tiny_mit",
        partial(wrong_eps, name="/extra_patch_embed3/norm/LayerNormalization", eps=1e-6),
        "extra_patch_embed3.norm",
    ),
    "an approximate GELU": (
        "tiny_mit",
        partial(tanh_gelu, erf="/block1.0/mlp/Erf"),
        "block1.0.mlp",
    ),
    "a scaled bias": (
        "tiny_mit",
        partial(scaled, name="extra_block3.0.attn.kv.bias", by=1.01),
        "extra_block3.0.attn.kv",
    ),
    "one value of a weight": (
        "tiny_mit",
        partial(one_value, name="block3.0.mlp.fc1.weight.T"),
        "block3.0.mlp.fc1",
    ),
    "a BatchNorm folded with a wrong variance": (
        "tiny_np",
        partial(wrong_variance, name="2.folded_weight"),
        "2 + 3",
    ),
    "a missing ReLU": ("tiny_np", partial(missing, name="/1/Relu"), "1"),
    "a missing ReLU in a fusion": (
        "tiny_mit",
        partial(missing, name="/FFMs.1/channel_emb/channel_embed/channel_embed.2/Relu"),
        "FFMs.1.channel_emb.channel_embed.2",
    ),
    "a wrong resize": (
        "tiny_head",
        partial(wrong_resize, name="/decode_head_conf/Resize"),
        "decode_head_conf",
    ),
}


# Each of a kind of which another one stays among the fast tests.
LONG = {"eps of a block's norm", "a scaled bias", "a missing ReLU in a fusion"}


def chosen(faults: Iterable[str], slow: Container[str]) -> list[Any]:
    return [pytest.param(f, marks=pytest.mark.slow if f in slow else ()) for f in faults]


@pytest.mark.parametrize("fault", chosen(FAULTS, LONG))
def test_a_fault_is_located_to_its_module(fault: str, planted: Planted) -> None:
    network, change, module = FAULTS[fault]
    found = planted(network, change)
    assert [part.name for part in found.faults] == [module]
    assert found.faults[0].share > 0.5
    assert found.sentence().startswith(f"{module} creates the error: ")


def test_swapped_weights_are_located_to_both_modules(planted: Planted) -> None:
    first, second = (f"{branch}block2.0.attn.proj" for branch in ("", "extra_"))
    change = partial(swapped, first=f"{first}.weight.T", second=f"{second}.weight.T")
    found = planted("tiny_mit", change)
    assert [part.name for part in found.faults] == [first, second]


SOUND = [
    ("tiny_np", False),
    ("tiny_np", True),
    ("tiny_mit", True),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("tiny_mit", False),
            ("tiny_head", False),
            ("tiny_head", True),
            ("tiny_trufor", False),
        )
    ),
]


@pytest.mark.parametrize(("network", "foreign"), SOUND)
def test_a_sound_file_has_none(network: str, foreign: bool, planted: Planted) -> None:
    found = planted(network, foreign=foreign)
    assert found.faults == []
    assert "No part creates error" in found.sentence()
    assert max(found.outputs.values()) < 1e-4
    assert found.origins["unknown"] == 0 or foreign
    assert found.origins["record"] == (0 if foreign else sum(found.origins.values()))


@pytest.mark.parametrize(
    ("network", "variant"),
    [
        ("tiny_mit", "ort"),
        pytest.param("tiny_head", "ort", marks=pytest.mark.slow),
        pytest.param("tiny_mit", "fp16", marks=pytest.mark.slow),
        ("tiny_head", "fp16"),
    ],
)
def test_a_sound_variant_has_none(network: str, variant: str, planted: Planted) -> None:
    """`ort` computes otherwise than the network, `fp16` with fewer digits."""
    found = planted(network, variant=variant)
    assert found.faults == []
    assert len(found.parts) > 100
    assert found.origins["unknown"] == 0


IN_VARIANTS = {
    "a folded matrix of the queries": (
        "ort",
        partial(scaled, name="block2.0.attn.q.weight.folded", by=1.01),
        "block2.0",
    ),
    "a halved feed-forward part": (
        "ort",
        partial(one_value, name="extra_block1.0.mlp.fc2.weight.folded"),
        "extra_block1.0.mlp",
    ),
    "an eps in float16": (
        "fp16",
        partial(wrong_eps, name="/FFMs.0/cross/norm1/LayerNormalization", eps=10.0),
        "FFMs.0.cross.norm1",
    ),
}


@pytest.mark.parametrize("fault", chosen(IN_VARIANTS, {"a halved feed-forward part"}))
def test_a_fault_in_a_variant(fault: str, planted: Planted) -> None:
    variant, change, module = IN_VARIANTS[fault]
    found = planted("tiny_mit", change, variant=variant)
    assert [part.name for part in found.faults] == [module]


def test_float16_is_a_fault_in_a_file_that_is_not_meant_to_have_it(planted: Planted) -> None:
    def there_and_back(proto: onnx.ModelProto) -> None:
        node = node_named(proto, "/block2.0/mlp/fc2/MatMul")
        kinds = (onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT)
        names = [node.input[0], "planted_half", "planted_float"]
        at = list(proto.graph.node).index(node)
        for kind, read, name in zip(kinds, names[:2], names[1:], strict=True):
            cast = onnx.helper.make_node("Cast", [read], [name], to=kind)
            proto.graph.node.insert(at, cast)
            at += 1
        node.input[0] = "planted_float"

    found = planted("tiny_mit", there_and_back)
    assert [part.name for part in found.faults] == ["block2.0.mlp.fc2"]


def test_other_pieces_must_be_the_same_network(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trufor_onnx.export.models import ort_block

    original = ort_block._biased
    monkeypatch.setattr(ort_block, "_biased", lambda *given: original(*given) * 1.001)
    with pytest.raises(ParityError, match=r"variant ort it is \d.* off itself"):
        planted("tiny_mit", variant="ort")


def test_two_faults_are_both_named_the_first_first(planted: Planted) -> None:
    def change(proto: onnx.ModelProto) -> None:
        scaled(proto, name="block2.0.attn.q.bias", by=1.01)
        wrong_eps(proto, name="/norm1/LayerNormalization", eps=1e-5)

    found = planted("tiny_mit", change)
    assert [part.name for part in found.faults] == ["norm1", "block2.0.attn.q"]
    assert "1 more parts do" in found.sentence()


def test_error_that_is_passed_on_is_not_created(planted: Planted) -> None:
    found = planted("tiny_np", partial(scaled, name="0.bias", by=2.0))
    assert [part.name for part in found.faults] == ["0"]
    after = [part for part in found.parts if part.order > found.faults[0].order]
    assert after
    assert all(part.full_run > 1e3 * part.created for part in after)


def test_nan_in_a_weight_is_a_fault(planted: Planted) -> None:
    found = planted("tiny_np", partial(scaled, name="5.weight", by=float("nan")))
    assert [part.name for part in found.faults] == ["5"]


FOREIGN = ["eps of a block's norm", "an approximate GELU", "a scaled bias",
           "a BatchNorm folded with a wrong variance"]  # fmt: skip


@pytest.mark.parametrize("fault", chosen(FOREIGN, FOREIGN[:3]))
def test_a_fault_in_a_file_without_a_record(fault: str, planted: Planted) -> None:
    network, change, module = FAULTS[fault]
    found = planted(network, change, foreign=True)
    assert [part.name for part in found.faults] == [module]


def shapes_of(found: Located) -> Iterator[tuple[str, ...]]:
    yield from (part.nodes for part in found.parts)


def test_parts_are_small_and_in_network_order(planted: Planted) -> None:
    found = planted("tiny_mit")
    orders = [part.order for part in found.parts]
    assert orders == sorted(orders)
    # The longest is a context, whose sums a file has in two parts.
    longest, *others = sorted((nodes for nodes in shapes_of(found)), key=len, reverse=True)
    assert len(longest) == 7
    assert "Round" in longest
    assert max(len(nodes) for nodes in others if "Round" not in nodes) <= 6
    assert sum(part.share for part in found.parts) == pytest.approx(1.0)
