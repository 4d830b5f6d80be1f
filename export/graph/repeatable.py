"""A network that answers one input in two ways can be no reference, and no file can equal it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError, first_few
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.outputs import leaves
from trufor_onnx.export.graph.trace import example_inputs, one_torch_thread
from trufor_onnx.export.networks.spec import ModelSpec

if TYPE_CHECKING:
    import onnx
    import torch

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
HINT = (
    "switch off what draws random numbers in evaluation mode (dropout with training=self.training, "
    "noise), or make the noise an input"
)
SIDE = 24  # pixels
SHOWN = 4  # operators that an error names


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
    walk = _GraphWalk(functions, set())
    found = walk.graph(model.graph, {}, {}, _Place("", opsets.get(STANDARD, 1)))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Place:
    """Where nodes stand: in what, for people, and at which opset."""

    inside: str
    opset: int


@dataclass(frozen=True)
class _GraphWalk:
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


def require_no_random_operators(graph: onnx.ModelProto, spec: ModelSpec) -> None:
    """Refuse a traced graph that draws random numbers.

    Raises:
        ExportError: names the operators.
    """
    found = random_operators(graph)
    if found:
        raise ExportError(
            f"{spec.name}: the network is random: {first_few(found, SHOWN)}", hint=HINT
        )


def require_repeatable(spec: ModelSpec, module: torch.nn.Module) -> None:
    """Run the network twice on one small input: both answers must be the same, bit for bit.

    A network that runs at no such input is left to those who run it: they say why.

    Args:
        spec: the network.
        module: the network with its weights, in evaluation mode; float32 or float64.

    Raises:
        ExportError: names the module that draws.
    """
    answers = ((sizes, _answer(spec, module, sizes)) for sizes in _tried(spec))
    sizes, answer = next(((s, a) for s, a in answers if a is not None), ({}, None))
    if answer is None or answer == _answer(spec, module, sizes):
        return
    first: dict[str, list[tuple[bytes, bytes]]] = {}
    second: dict[str, list[tuple[bytes, bytes]]] = {}
    _run(spec, module, sizes, first)
    _run(spec, module, sizes, second)
    culprit = next(_own_doing(first, second), "")
    named = dict(module.named_modules())
    kind = type(named.get(culprit, module)).__name__
    what = f"{culprit} ({kind})" if culprit else f"{kind}, in its own forward"
    raise ExportError(
        f"{spec.name}: the network is random: {what} gives another output for the same input",
        hint=HINT,
    )


def _tried(spec: ModelSpec) -> list[dict[str, int]]:
    """Sizes of free axes: a small height and width, and where those do not do the traced ones."""
    side = max(spec.least_size, SIDE)
    return [{}] if spec.fixed_size else [{"height": side, "width": side}, {}]


def _answer(spec: ModelSpec, module: torch.nn.Module, sizes: dict[str, int]) -> bytes | None:
    """The digest of a run's outputs; None where the network does not run."""
    try:
        with foreign(f"{spec.name}: the network", hint=HINT):
            return _run(spec, module, sizes)
    except ExportError:
        return None


def _run(
    spec: ModelSpec,
    module: torch.nn.Module,
    sizes: dict[str, int],
    calls: dict[str, list[tuple[bytes, bytes]]] | None = None,
) -> bytes:
    """The digest of a run's outputs; ``calls`` gets those of every module's calls, as they end."""
    import torch

    dtypes = [t.dtype for t in module.state_dict().values() if t.is_floating_point()]
    inputs = tuple(
        x.to(dtypes[0]) if dtypes and x.is_floating_point() else x
        for x in example_inputs(spec, sizes)
    )
    hooks = []
    if calls is not None:
        for name, part in module.named_modules():

            def note(_: Any, given: Any, made: Any, name: str = name) -> None:
                calls.setdefault(name, []).append((_digest(given), _digest(made)))

            hooks.append(part.register_forward_hook(note))
    try:
        with torch.inference_mode(), one_torch_thread():
            return _digest(module(*inputs))
    finally:
        for hook in hooks:
            hook.remove()


def _own_doing(
    first: Mapping[str, list[tuple[bytes, bytes]]], second: Mapping[str, list[tuple[bytes, bytes]]]
) -> Iterator[str]:
    """Modules that were given the same in both runs and gave something else, inner ones first."""
    for name, calls in first.items():
        for (given, made), (again, other) in zip(calls, second.get(name, []), strict=False):
            if given == again and made != other:
                yield name


def _digest(value: Any) -> bytes:
    """Of all tensors in whatever a module takes or returns, with their ways."""
    import torch

    whole = sha256()
    for way, leaf in leaves(value):
        whole.update(f"{way}\0".encode())
        if isinstance(leaf, torch.Tensor):
            whole.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
            whole.update(leaf.detach().cpu().contiguous().numpy().tobytes())
        else:
            whole.update(repr(type(leaf)).encode())
    return whole.digest()
