"""Walk an ONNX graph node by node, and give it the reference's value wherever one is known.

A tensor is tied to a reference's value (an *anchor*) by its weights: the nodes since the last
anchors read exactly the tensors of the state dict that the reference reads on its way from the
same values; by its content, where that agrees; or by what follows: the next node with weights
reads what the reference's module reads. From an anchor on, the reference's value is used. So each
part's error is its own, and none is passed on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.locate.candidate import QUANTISED, NodeRunner, Opened, Output, names_read
from trufor_onnx.parity.locate.causes import epsilons_that_differ
from trufor_onnx.parity.locate.entering import Entry
from trufor_onnx.parity.locate.judge import Claim, Judge, in_float64
from trufor_onnx.parity.locate.matching import Matcher
from trufor_onnx.parity.locate.results import LocatedPart

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
# Nodes that arrange or convert; what they give is still the same value.
LAYOUT_NODES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast")
NO_DATA = ("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "TopK")  # numbers of another kind
LARGEST_SHAPE = 16  # elements


@dataclass(frozen=True)
class Held:
    """A tensor of the candidate during the walk.

    Attributes:
        given: what its readers get: the reference's value where it is known.
        free: what it is in the candidate's own run.
        value: the reference's value that it holds, or None.
        since: reference's values that it was computed from.
        params: tensors of the state dict that took part since.
        nodes: operators since.
        half: it was float16 on its way, so it has no more digits than that.
        eight: it was made with 8-bit numbers since.
        made: the node that gave it and what that read, until it is tied.
    """

    given: Array
    free: Array
    value: int | None = None
    since: frozenset[int] = frozenset()
    params: frozenset[str] = frozenset()
    nodes: tuple[str, ...] = ()
    half: bool = False
    eight: bool = False
    made: tuple[onnx.NodeProto, Mapping[str, Held]] | None = None

    @property
    def sources(self) -> frozenset[int]:
        """Reference's values that a reader is computed from."""
        return self.since if self.value is None else frozenset([self.value])


Explain = Callable[[LocatedPart, Held, int, "Output | None"], LocatedPart]


class Walk:
    """One walk through a graph.

    Args:
        opened: the candidate.
        matcher: ties tensors to the reference's values.
        judge: measures parts.
        progress: told which node of how many is next.
        explain: says in words what was done to an input or an output.
        differs: initializers with numbers that are not the network's, and which.
        half: the file is meant to compute in float16; in any other float16 is a fault.
        untied: tensors that are no value of the reference, as an earlier walk has shown.

    Attributes:
        stopped: why it ended before the last node, or "".
    """

    def __init__(
        self,
        opened: Opened,
        matcher: Matcher,
        judge: Judge,
        progress: Callable[[int, int], None],
        *,
        explain: Explain,
        differs: Mapping[str, str],
        half: bool = False,
        untied: Collection[str] = (),
    ) -> None:
        self.stopped = ""
        self._opened = opened
        self._proto = opened.proto
        self._matcher = matcher
        self._judge = judge
        self._progress = progress
        self._explain = explain
        self._differs = differs
        self._half = half
        self._untied = untied
        self._fixed = opened.arrays
        self._held: dict[str, Held] = {}
        self._parts: list[LocatedPart] = []
        self._gaps: set[tuple[str, int]] = set()
        graph = opened.proto.graph
        self._left = Counter(name for node in graph.node for name in names_read(node))
        self._left.update(output.name for output in graph.output)

    def run(
        self, inputs: Mapping[str, tuple[int, Entry]], outputs: Sequence[Output]
    ) -> list[LocatedPart]:
        """All parts, in network order.

        Args:
            inputs: the reference's value of every input of the graph, and what it is fed.
            outputs: what every output should be, in the graph's order.
        """
        for name, (value, entry) in inputs.items():
            array = entry.array
            if entry.same_numbers:
                self._held[name] = Held(array, array, value)
            else:  # the file's own nodes make the network's input of it
                self._held[name] = Held(array, array, None, frozenset([value]))
        nodes = self._proto.graph.node
        try:
            for index, node in enumerate(nodes):
                self._progress(index, len(nodes))
                self._node(node)
            for output, wanted in zip(self._proto.graph.output, outputs, strict=True):
                self._end(output.name, wanted)
        except ParityError as error:
            self.stopped = error.problem
        return sorted(self._parts, key=lambda part: part.order)

    def _node(self, node: onnx.NodeProto) -> None:
        reads = names_read(node)
        held = {name: self._held[name] for name in reads if name in self._held}
        fixed = {name: self._fixed[name] for name in reads if name in self._fixed}
        held.update(self._expected(node, held))
        # Shapes as constants: with a shape that is an input, some nodes do not load alone.
        shapes = {n: one.given for n, one in held.items() if _is_shape(one.given)}
        fixed |= shapes
        given = {name: one.given for name, one in held.items() if name not in shapes}
        free = {name: one.free for name, one in held.items() if name not in shapes}
        runner = NodeRunner(self._proto, node, fixed, given)
        forced = runner.run(given)
        same = all(given[name] is free[name] for name in given)
        alone = forced if same else runner.run(free)
        for name, array in forced.items():
            self._held[name] = self._known(node, name, array, alone[name], held)
        for name in (*reads, *forced):
            self._left[name] -= name in reads
            if self._left[name] <= 0:
                self._held.pop(name, None)

    def _known(
        self, node: onnx.NodeProto, name: str, forced: Array, free: Array, held: dict[str, Held]
    ) -> Held:
        """What a node's output is, tied to a reference's value if it can be."""
        computed = [one for one in held.values() if one.sources and not _is_shape(one.given)]
        if forced.dtype.kind != "f" and not _carries(node, forced, computed):
            return Held(forced, free)
        kinds = [forced.dtype, *(self._opened.stored(n) for n in node.input if n in self._fixed)]
        rounded = np.float16 in kinds or any(one.half for one in computed)
        half = self._half and rounded
        eight = node.op_type in QUANTISED or any(one.eight for one in computed)
        eight = eight or any(self._opened.dequantised(n) for n in node.input if n in self._fixed)
        first = held.get(node.input[0]) if node.input else None
        arranges = node.op_type in LAYOUT_NODES and first is not None
        keeps = arranges and forced.dtype.kind == "f" and not self._loses(first, forced)
        if first is not None and keeps and first.value is not None:
            return replace(first, given=forced, free=free, half=half)
        params = self._matcher.params(node).union(
            *(one.params for one in computed if one.value is None)
        )
        since = frozenset().union(*(one.sources for one in computed))
        before = [n for one in computed if one.value is None for n in one.nodes]
        nodes = (*dict.fromkeys([*before, node.op_type]),)
        found = Held(forced, free, None, since, params, nodes, half, eight, (node, held))
        if arranges or not since or forced.dtype.kind != "f" or name in self._untied:
            return found
        match = self._matcher.match(forced, since, params, half=half, eight=eight)
        return found if match is None else self._tie(name, found, *match)

    def _loses(self, one: Held | None, made: Array) -> bool:
        """Whether an input of the network is rounded to float16: a fault of what enters."""
        enters = one is not None and one.value in self._judge.tape.inputs.values()
        return enters and made.dtype == np.float16 and not self._half

    def _expected(
        self, node: onnx.NodeProto, held: Mapping[str, Held]
    ) -> Iterator[tuple[str, Held]]:
        """The data input of a node with weights, where it is not what the reference reads."""
        expected = self._matcher.input_of(node)
        if expected is None or expected[0] in self._untied:
            return
        name, value = expected
        one = held.get(name)
        if one is None or one.value == value or not one.sources:
            return
        enters = value in self._judge.tape.inputs.values()
        if one.given.size != self._judge.tape.size(value) and not enters:
            return
        if one.value is None:  # for all who read it
            tied = self._tie(name, one, value, "next weights")
            self._held[name] = tied
        else:  # the reference computes something between the two, and the candidate does not
            gap = Held(one.given, one.free, None, frozenset([one.value]), half=one.half)
            known = (name, value) in self._gaps
            self._gaps.add((name, value))
            tied = self._tie(name, gap, value, "next weights", silent=known)
        yield name, tied

    def _end(self, name: str, wanted: Output) -> None:
        one = self._held.get(name)
        if one is None:
            array = self._fixed[name]
            one = Held(array, array)
        value, tape = wanted.value, self._judge.tape
        if one.given.size != tape.size(value):
            raise ParityError(
                f"the output {name} is {one.given.shape}; the reference's is {wanted.shape}",
                hint="it is another network's file, or its outputs stand in another order",
            )
        rounded = not self._half and one.value == value and self._judge.rounds(value, one.given)
        if one.value == value and one.given.shape == wanted.shape and not rounded:
            return
        if one.value is not None:
            one = Held(one.given, one.free, None, frozenset([one.value]), half=one.half)
        self._tie(name, one, value, "output", wanted=wanted)

    def _tie(
        self,
        name: str,
        one: Held,
        value: int,
        anchor: str,
        *,
        silent: bool = False,
        wanted: Output | None = None,
    ) -> Held:
        """Measure the part that ends here; from here on the reference's value is used."""
        tape = self._judge.tape
        own = _nodes_of(one)
        if one.given.size != tape.size(value):  # an input of another size
            part, given = self._judge.resized(name, one.given, value, one.nodes)
        else:
            claim = Claim(
                name, one.given, one.free, value, one.since, one.nodes, anchor, one.half, one.eight
            )
            differs = self._differences(claim, own)
            if wanted is not None and one.given.shape != wanted.shape:
                differs = (
                    *differs,
                    f"its shape is {one.given.shape}, the network's {wanted.shape}",
                )
            claim = replace(claim, differs=differs)
            part, given = self._judge.measure(claim, lambda: self._exact(name, one))
        if part.creates and not silent:
            part = self._explain(part, one, value, wanted)
        if not silent:
            self._parts.append(part)
        return Held(given, one.free, value, half=self._half and given.dtype == np.float16)

    def _differences(self, claim: Claim, nodes: Sequence[onnx.NodeProto]) -> tuple[str, ...]:
        """Numbers of a part that are not the network's."""
        read = dict.fromkeys(name for node in nodes for name in names_read(node))
        found = [self._differs[name] for name in read if name in self._differs]
        ops = self._judge.operators(claim)
        return (*found, *epsilons_that_differ(nodes, ops, self._fixed.get))

    def _exact(self, name: str, one: Held) -> Array | None:
        """What the operators of a part make of the reference's values in float64."""
        if one.value is not None or one.made is None:
            return self._judge.wide(one.value, one.given) if one.value is not None else one.given
        node, held = one.made
        given: dict[str, Array] = {n: self._fixed[n] for n in names_read(node) if n in self._fixed}
        for read, inner in held.items():
            array = self._exact(read, inner)
            if array is None:
                return None
            given[read] = array
        found = in_float64(self._proto, node, given)
        return None if found is None else found.get(name)


def _nodes_of(one: Held) -> list[onnx.NodeProto]:
    """The nodes of a part."""
    found: dict[int, onnx.NodeProto] = {}
    ahead = [one]
    while ahead:
        current = ahead.pop()
        if current.made is not None and id(current.made[0]) not in found:
            node, held = current.made
            found[id(node)] = node
            ahead += held.values()
    return list(found.values())


def _carries(node: onnx.NodeProto, made: Array, computed: Sequence[Held]) -> bool:
    """Whether integers are data: 8-bit numbers, or what is computed from some."""
    if not computed or _is_shape(made):
        return False
    if node.op_type in QUANTISED or (node.op_type == "Cast" and made.dtype in (np.int8, np.uint8)):
        return True
    return node.op_type not in NO_DATA and any(one.given.dtype.kind in "iu" for one in computed)


def _is_shape(array: Array) -> bool:
    """Numbers of axes, not data: they are the same in both runs."""
    return array.dtype == np.int64 and array.ndim <= 1 and array.size <= LARGEST_SHAPE
