"""Operators of a graph that draw random numbers: a file with one answers anew at every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

STANDARD, MICROSOFT = "", "com.microsoft"
# A fixed seed does not help: ONNX Runtime draws on from it, so that a second run differs.
ALWAYS = {
    STANDARD: (
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    ),
    MICROSOFT: ("Sampling",),
}
# Random where they train; the positions of the inputs ratio and training_mode.
DROPOUTS = {
    (STANDARD, "Dropout"): (1, 2),
    (MICROSOFT, "BitmaskDropout"): (1, 2),
    (MICROSOFT, "BiasDropout"): (3, 4),
    (MICROSOFT, "BitmaskBiasDropout"): (3, 4),
}
ATTRIBUTE_UNTIL = 6  # the last opset at which Dropout trains unless an attribute says is_test
INFERENCE_UNTIL = 11  # from the next one it trains where its third input says so
RATIO = 0.5  # where a Dropout says none

Key = tuple[str, str, str]
Known = Mapping[str, float]  # what is known of tensors of one element, by name


def random_operators(model: onnx.ModelProto) -> list[str]:
    """The operators that draw random numbers, also in subgraphs and in functions that are called.

    Args:
        model: an ONNX model; its weights may be elsewhere.

    Returns:
        A text for each, such as ``Dropout /drop/Dropout (training)``; none where a run of the
        graph depends on its inputs only.
    """
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    opsets = {_domain(opset.domain): opset.version for opset in model.opset_import}
    walk = _Walk(functions, set())
    found = walk.graph(model.graph, {}, {}, _Place("", opsets.get(STANDARD, 1)))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Place:
    """Where nodes stand: in what, for people, and at which opset."""

    inside: str
    opset: int


@dataclass(frozen=True)
class _Walk:
    """One look through a model; a function is looked into once for each set of known inputs."""

    functions: Mapping[Key, onnx.FunctionProto]
    seen: set[tuple[object, ...]]

    def graph(
        self,
        graph: onnx.GraphProto,
        outer: Known,
        attributes: Mapping[str, onnx.AttributeProto],
        place: _Place,
    ) -> Iterator[str]:
        known = dict(outer)
        for value in (*graph.input, *(o for node in graph.node for o in _named(node.output))):
            known.pop(value if isinstance(value, str) else value.name, None)  # hides the outer one
        for tensor in graph.initializer:
            _learn(known, tensor.name, _scalar(tensor))
        yield from self.nodes(graph.node, known, attributes, place)

    def nodes(
        self,
        nodes: Iterable[onnx.NodeProto],
        known: dict[str, float],
        attributes: Mapping[str, onnx.AttributeProto],
        place: _Place,
    ) -> Iterator[str]:
        for node in nodes:
            given = {a.name: attributes.get(a.ref_attr_name, a) for a in node.attribute}
            domain = _domain(node.domain)
            function = self.functions.get((node.domain, node.op_type, node.overload))
            if function is not None:
                yield from self.function(function, node, known, given, place)
                continue
            if domain == STANDARD and node.op_type == "Constant":
                _learn(known, node.output[0], _constant(given))
            elif domain == STANDARD and node.op_type in ("Identity", "Cast") and node.input:
                _learn(known, node.output[0], known.get(node.input[0]))
            reason = _random(node, domain, known, given, place.opset)
            if reason is not None:
                name = node.name or f"that makes {next(_named(node.output), 'nothing')}"
                yield f"{node.op_type} {name}{reason}{place.inside}"
            for attribute in given.values():
                for graph in (attribute.g, *attribute.graphs):
                    inside = f" in {node.op_type} {node.name}".rstrip() + place.inside
                    yield from self.graph(graph, known, attributes, _Place(inside, place.opset))

    def function(
        self,
        function: onnx.FunctionProto,
        node: onnx.NodeProto,
        known: Known,
        given: Mapping[str, onnx.AttributeProto],
        place: _Place,
    ) -> Iterator[str]:
        inputs = {
            formal: known[actual]
            for formal, actual in zip(function.input, node.input, strict=False)
            if actual in known  # a call may leave out the last inputs
        }
        defaults = {a.name: a for a in function.attribute_proto}
        values = tuple((n, a.SerializeToString(deterministic=True)) for n, a in given.items())
        call = (id(function), tuple(inputs.items()), values)
        if call in self.seen:
            return
        self.seen.add(call)
        opsets = {_domain(opset.domain): opset.version for opset in function.opset_import}
        inside = f" in the function {function.name}"
        inner = _Place(inside, opsets.get(STANDARD, place.opset))
        yield from self.nodes(function.node, dict(inputs), {**defaults, **given}, inner)


def _random(
    node: onnx.NodeProto,
    domain: str,
    known: Known,
    given: Mapping[str, onnx.AttributeProto],
    opset: int,
) -> str | None:
    """Why a node is random, as an addition to its name ("": it always is); None: it is not."""
    if node.op_type in ALWAYS.get(domain, ()):
        return ""
    positions = DROPOUTS.get((domain, node.op_type))
    if positions is None:
        return None
    if domain == STANDARD and opset <= INFERENCE_UNTIL:
        ratio = given["ratio"].f if "ratio" in given else RATIO
        trains: float | None = 0.0
        if opset <= ATTRIBUTE_UNTIL:
            trains = 0.0 if "is_test" in given and given["is_test"].i else 1.0
    else:
        ratio_known, trains = (_input(node, known, n) for n in positions)
        absent = len(node.input) <= positions[0] or not node.input[positions[0]]
        ratio = RATIO if absent or ratio_known is None else ratio_known
        if len(node.input) <= positions[1] or not node.input[positions[1]]:
            trains = 0.0
    if ratio == 0.0 or trains == 0.0:
        return None
    return " (training)" if trains is not None else " (training where its input says so)"


def _input(node: onnx.NodeProto, known: Known, position: int) -> float | None:
    return known.get(node.input[position]) if position < len(node.input) else None


def _constant(given: Mapping[str, onnx.AttributeProto]) -> float | None:
    """The value of a Constant of one element, else None."""
    if "value" in given:
        return _scalar(given["value"].t)
    if "value_float" in given:
        return float(given["value_float"].f)
    return float(given["value_int"].i) if "value_int" in given else None


def _scalar(tensor: onnx.TensorProto) -> float | None:
    """The value of a tensor of one number that is in the file, else None."""
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL or any(d != 1 for d in tensor.dims):
        return None
    if tensor.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        return None
    try:
        values = onnx.numpy_helper.to_array(tensor).reshape(-1)
    except (ValueError, TypeError, KeyError):
        return None  # damaged; the runtime says so
    return float(values[0].real) if values.size == 1 else None


def _learn(known: dict[str, float], name: str, value: float | None) -> None:
    if value is None:
        known.pop(name, None)
    else:
        known[name] = value


def _named(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if name)


def _domain(domain: str) -> str:
    return STANDARD if domain == "ai.onnx" else domain
