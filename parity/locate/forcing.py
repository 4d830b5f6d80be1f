"""Walk an ONNX graph node by node, and give it the reference's value wherever one is known.

A tensor is tied to a reference's value (an *anchor*) by its weights: the nodes since the last
anchors read exactly the tensors of the state dict that the reference reads on its way from the
same values; by its content, where that agrees; or by what follows: the next node with weights
reads what the reference's module reads. From an anchor on, the reference's value is used. So each
part's error is its own, and none is passed on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parity.errors import ParityError
from parity.locate.judge import Claim, Judge
from parity.locate.matching import Matcher
from parity.locate.nodes import NodeRunner, names_read
from parity.locate.results import Part

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
# Nodes that arrange or convert; what they give is still the same value.
LAYOUT_NODES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast")
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
    """

    given: Array
    free: Array
    value: int | None = None
    since: frozenset[int] = frozenset()
    params: frozenset[str] = frozenset()
    nodes: tuple[str, ...] = ()
    half: bool = False

    @property
    def sources(self) -> frozenset[int]:
        """Reference's values that a reader is computed from."""
        return self.since if self.value is None else frozenset([self.value])


class Walk:
    """One walk through a graph.

    Args:
        proto: the candidate.
        arrays: its initializers.
        matcher: ties tensors to the reference's values.
        judge: measures parts.
        progress: told which node of how many is next.
        half: the file is meant to compute in float16; in any other float16 is a fault.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        arrays: Mapping[str, Array],
        matcher: Matcher,
        judge: Judge,
        progress: Callable[[int, int], None],
        *,
        half: bool = False,
    ) -> None:
        self._proto = proto
        self._matcher = matcher
        self._judge = judge
        self._progress = progress
        self._half = half
        self._fixed = arrays
        self._held: dict[str, Held] = {}
        self._parts: list[Part] = []
        self._gaps: set[tuple[str, int]] = set()
        self._left = Counter(name for node in proto.graph.node for name in names_read(node))
        self._left.update(output.name for output in proto.graph.output)

    def run(self, inputs: Mapping[str, tuple[int, Array]], outputs: Sequence[int]) -> list[Part]:
        """All parts, in network order.

        Args:
            inputs: the reference's value and the array of every input of the graph.
            outputs: the reference's value of every output, in the graph's order.

        Raises:
            ParityError: a node does not run, or an output has another size than the reference's.
        """
        for name, (value, array) in inputs.items():
            self._held[name] = Held(array, array, value)
        nodes = self._proto.graph.node
        for index, node in enumerate(nodes):
            self._progress(index, len(nodes))
            self._node(node)
        for output, value in zip(self._proto.graph.output, outputs, strict=True):
            self._end(output.name, value)
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
        if forced.dtype.kind != "f":
            return Held(forced, free)
        computed = [one for one in held.values() if one.given.dtype.kind == "f"]
        read = [forced, *(self._fixed[n] for n in node.input if n in self._fixed)]
        rounded = any(a.dtype == np.float16 for a in read) or any(one.half for one in computed)
        half = self._half and rounded
        first = held.get(node.input[0]) if node.input else None
        arranges = node.op_type in LAYOUT_NODES and first is not None
        if first is not None and arranges and first.value is not None:
            return replace(first, given=forced, free=free, half=half)
        params = self._matcher.params(node).union(
            *(one.params for one in computed if one.value is None)
        )
        since = frozenset().union(*(one.sources for one in computed))
        before = [n for one in computed if one.value is None for n in one.nodes]
        nodes = (*dict.fromkeys([*before, node.op_type]),)
        found = Held(forced, free, None, since, params, nodes, half)
        if arranges or not since:
            return found
        match = self._matcher.match(forced, since, params, half=half)
        return found if match is None else self._tie(name, found, *match)

    def _expected(
        self, node: onnx.NodeProto, held: Mapping[str, Held]
    ) -> Iterator[tuple[str, Held]]:
        """The data input of a node with weights, where it is not what the reference reads."""
        expected = self._matcher.input_of(node)
        if expected is None:
            return
        name, value = expected
        one = held.get(name)
        if one is None or one.value == value or not one.sources:
            return
        if one.given.size != self._judge.tape.size(value):
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

    def _end(self, name: str, value: int) -> None:
        one = self._held[name]
        if one.value == value:
            return
        if one.given.size != self._judge.tape.size(value):
            shape = self._judge.tape.shapes[value]
            raise ParityError(
                f"the output {name} is {one.given.shape}; the reference's is {shape}",
                hint="it is another network's file, or its outputs stand in another order",
            )
        if one.value is not None:
            one = Held(one.given, one.free, None, frozenset([one.value]), half=one.half)
        self._tie(name, one, value, "output")

    def _tie(self, name: str, one: Held, value: int, anchor: str, *, silent: bool = False) -> Held:
        """Measure the part that ends here; from here on the reference's value is used."""
        claim = Claim(name, one.given, one.free, value, one.since, one.nodes, anchor, one.half)
        part, given = self._judge.measure(claim)
        if not silent:
            self._parts.append(part)
        return Held(given, one.free, value, half=self._half and given.dtype == np.float16)


def _is_shape(array: Array) -> bool:
    """Numbers of axes, not data: they are the same in both runs."""
    return array.dtype == np.int64 and array.ndim <= 1 and array.size <= LARGEST_SHAPE
