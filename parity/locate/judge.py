"""Measure one part: what it creates, and what PyTorch float32 creates there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, permutations
from operator import mul
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.locate.candidate import NodeRunner
from trufor_onnx.parity.locate.replay import between, replay
from trufor_onnx.parity.locate.results import FACTOR, INPUT, LocatedPart
from trufor_onnx.parity.locate.tape import Op, Tape

if TYPE_CHECKING:
    import onnx


SAMPLES = 512
MOST_AXES = 5  # 120 permutations
CLEARLY_BETTER = 0.5
AGREES = 1e-4  # relative; nothing better is looked for
Array = npt.NDArray[Any]
# ONNX Runtime approximates these to an absolute error (measured on the CPU: 1.5e-7 for Sigmoid
# from -12 to 8), so that small results are less exact than a float32 could be. No fault of a file.
ABSOLUTE = {"sigmoid": 2.0**-23, "sigmoid_": 2.0**-23}
# A part within `FACTOR` of these; 8-bit numbers are as coarse as their largest is large.
ROUNDING = {"8 bits": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}
MOST_ELEMENTS = 1 << 22  # that a node reads or gives; onnx's own kernels are slow
# What onnx's reference evaluator may end in on a node that it does not know in float64.
FAILS = (RuntimeError, NotImplementedError, TypeError, ValueError, LookupError, AttributeError)


@dataclass(frozen=True)
class Error:
    """A difference from a reference.

    Attributes:
        rel_l2: root of the sum of squared differences, over that of the reference's squares.
        max_abs: the largest difference.
    """

    rel_l2: float
    max_abs: float


def error_of(found: Array, reference: Array) -> Error:
    """The difference of two arrays of one shape; infinite where ``found`` is not finite.

    Args:
        found: any floating-point type.
        reference: float64, finite.
    """
    if found.shape != reference.shape:
        raise ValueError(f"shapes {found.shape} and {reference.shape}")
    with np.errstate(invalid="ignore", over="ignore"):
        difference = found.astype(np.float64) - reference
        if not np.isfinite(difference).all():
            return Error(float("inf"), float("inf"))
    size = float(np.linalg.norm(reference))
    distance = float(np.linalg.norm(difference))
    relative = distance / size if size else (0.0 if distance == 0.0 else float("inf"))
    return Error(relative, float(np.abs(difference).max(initial=0.0)))


@dataclass(frozen=True)
class Layout:
    """How a reference's value lies in the candidate's tensor.

    Attributes:
        reference: permutation of the reference's axes (those of length 1 left out).
        candidate: permutation of the candidate's axes, likewise; one of the two is the identity.
    """

    reference: tuple[int, ...]
    candidate: tuple[int, ...]

    def arrange(self, reference: Array, shape: tuple[int, ...]) -> Array:
        """The reference's value as the candidate holds it, of ``shape``."""
        turned = np.transpose(_squeeze(reference), self.reference)
        axes = [n for n in shape if n != 1] or [1]
        permuted = turned.reshape([axes[i] for i in self.candidate])
        return np.transpose(permuted, np.argsort(self.candidate)).reshape(shape)


def find_layout(reference: Array, candidate: Array) -> Layout:
    """The arrangement under which two arrays of equal size agree best.

    Where several agree about equally (a faulty tensor agrees with none), one whose axes fit is
    chosen, row by row first.
    """
    source, target = _squeeze(reference), _squeeze(candidate)
    at = _sample(source.size)
    flat = target.reshape(-1)[at].astype(np.float64)
    scale = float(np.abs(flat).sum())
    best: tuple[float, Layout] | None = None
    for layout in _layouts(source.shape, target.shape):
        if layout.candidate == tuple(range(target.ndim)):
            turned = np.transpose(source, layout.reference)
            values, wanted = turned[np.unravel_index(at, turned.shape)], flat
        else:
            turned = np.transpose(target, layout.candidate)
            values = source.reshape(-1)[at]
            wanted = turned[np.unravel_index(at, turned.shape)].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            score = float(np.abs(values - wanted).sum())
        score = score if np.isfinite(score) else float("inf")
        if best is None or score < CLEARLY_BETTER * best[0]:
            best = score, layout
        if best[0] <= AGREES * scale:
            break
    assert best is not None  # the identity is always there
    return best[1]


def _layouts(source: tuple[int, ...], target: tuple[int, ...]) -> Iterator[Layout]:
    """Arrangements, those whose axes fit first, row by row before them where it fits."""
    same = tuple(range(len(source))), tuple(range(len(target)))
    found = [Layout(*same)]
    if len(source) <= MOST_AXES:
        found += [Layout(p, same[1]) for p in permutations(same[0]) if p != same[0]]
    if len(target) <= MOST_AXES:
        found += [Layout(same[0], p) for p in permutations(same[1]) if p != same[1]]

    def fits(layout: Layout) -> bool:
        left = set(accumulate((source[i] for i in layout.reference), mul))
        right = set(accumulate((target[i] for i in layout.candidate), mul))
        return left <= right or right <= left

    yield from sorted(found, key=lambda layout: not fits(layout))


def _squeeze(array: Array) -> Array:
    return array.reshape([n for n in array.shape if n != 1] or [1])


def _sample(size: int) -> npt.NDArray[np.int64]:
    if size <= SAMPLES:
        return np.arange(size)
    return np.random.default_rng(0).integers(0, size, SAMPLES)


@dataclass(frozen=True)
class Claim:
    """A tensor of the candidate, and the reference's value that it should be.

    Attributes:
        name: the tensor's.
        given: what the part makes of the reference's values.
        free: what the tensor is in the candidate's own run.
        value: the reference's.
        since: the reference's values that went in.
        nodes: operators of the part.
        anchor: how they were tied.
        half: float16 numbers took part, perhaps converted to float32 since.
        eight: 8-bit numbers took part.
        differs: numbers of the file in it that are not the network's.
    """

    name: str
    given: Array
    free: Array
    value: int
    since: frozenset[int]
    nodes: tuple[str, ...]
    anchor: str
    half: bool = False
    eight: bool = False
    differs: tuple[str, ...] = ()


class Judge:
    """Measures parts of one candidate.

    Args:
        tape: the recorded reference.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self._anchored: set[int] = set(tape.inputs.values())

    def measure(
        self, claim: Claim, exact: Callable[[], Array | None] | None = None
    ) -> tuple[LocatedPart, Array]:
        """The part, and the reference's value in the candidate's arrangement and type.

        Args:
            claim: what is to be measured.
            exact: what the part's operators make of the reference's values in float64, or None;
                called where the part is above rounding.
        """
        tape = self.tape
        reference = tape.array(claim.value)
        arranged = self._arranged(reference, claim)
        created = error_of(claim.given, arranged)
        same = claim.free.shape == arranged.shape  # else its input was of another size
        full = error_of(claim.free, arranged) if same else Error(float("inf"), float("inf"))
        own, ops = self._yardstick(claim, reference)
        self._anchored.add(claim.value)
        rounding = ROUNDING["8 bits" if claim.eight else "float16" if claim.half else "float32"]
        absolute = max((ABSOLUTE.get(op.name, 0.0) for op in ops[-1:]), default=0.0)
        ratio = _ratio(created, own, reference, rounding, absolute)
        again = None
        if not ratio <= FACTOR and exact is not None and not (claim.half or claim.eight):
            wide = exact()
            if wide is not None and wide.shape == arranged.shape:
                again = _ratio(error_of(wide, arranged), own, reference, rounding, absolute)
        producer = tape.producer.get(claim.value)
        scopes = [op.scope for op in ops] or ([producer.scope] if producer else [])
        part = LocatedPart(
            order=ops[-1].index if ops else producer.index if producer else -1,
            modules=tuple(dict.fromkeys(scopes)),
            operators=tuple(dict.fromkeys(op.name for op in ops)),
            nodes=claim.nodes,
            value=claim.name,
            anchor=claim.anchor,
            shape=tape.shapes[claim.value],
            created=created.rel_l2,
            created_max=created.max_abs,
            torch32=own.rel_l2,
            torch32_max=own.max_abs,
            ratio=ratio,
            full_run=full.rel_l2,
            place=INPUT if claim.value in tape.inputs.values() else "",
            differs=claim.differs,
            exact=again,
        )
        return part, np.ascontiguousarray(arranged.astype(claim.given.dtype))

    def operators(self, claim: Claim) -> list[Op]:
        """What the reference computes in a part."""
        if claim.since == {claim.value}:
            return []  # the candidate computes something more
        return between(self.tape, claim.value, self._frontier(claim))

    def upto(self, value: int, inputs: Mapping[int, Array]) -> Array:
        """A value of the reference for other inputs, in float32."""
        return replay(self.tape, value, frozenset(), others=inputs)

    def resized(
        self, name: str, found: Array, value: int, nodes: tuple[str, ...]
    ) -> tuple[LocatedPart, Array]:
        """An input that enters the first layer in another size, and the network's own."""
        own = self.tape.array(value)
        inf = float("inf")
        errors = (inf, inf, 0.0, 0.0, inf, inf)
        shape = self.tape.shapes[value]
        part = LocatedPart(-1, (), (), nodes, name, "next weights", shape, *errors, place=INPUT)
        return part, own.astype(found.dtype)

    def wide(self, value: int, given: Array) -> Array:
        """A value of the reference, float64, as the candidate holds it; rounded if that rounds."""
        if given.dtype.kind != "f":
            return given
        reference = self.tape.array(value)
        wide = find_layout(reference, given).arrange(reference, given.shape)
        return given.astype(np.float64) if _is_rounded(given, wide) else wide

    def rounds(self, value: int, given: Array) -> bool:
        """Whether a tensor holds a value with fewer digits (a Cast to float16 and back)."""
        reference = self.tape.array(value)
        wide = find_layout(reference, given).arrange(reference, given.shape)
        return given.dtype.kind == "f" and _is_rounded(given, wide)

    def arranged(self, other: Array, value: int, given: Array) -> Array:
        """Other numbers in a value's place, as the candidate holds it."""
        layout = find_layout(self.tape.array(value), given)
        return layout.arrange(other, given.shape)

    def _arranged(self, reference: Array, claim: Claim) -> Array:
        """The reference's value as the candidate holds it; an input as it is, where that fits."""
        if claim.value in self.tape.inputs.values() and reference.shape == claim.given.shape:
            return reference
        return find_layout(reference, claim.given).arrange(reference, claim.given.shape)

    def _yardstick(self, claim: Claim, reference: Array) -> tuple[Error, list[Op]]:
        """What PyTorch float32 makes of the same inputs, and what it computes there."""
        ops = self.operators(claim)
        if not ops:  # an input, or a value that is known already: nothing but its rounding
            return error_of(reference.astype(np.float32), reference), ops
        half = claim.half and claim.given.dtype == np.float16
        frontier = self._frontier(claim)
        again = replay(self.tape, claim.value, frontier, half=half, half_inputs=claim.half)
        return error_of(again, reference), ops

    def _frontier(self, claim: Claim) -> frozenset[int]:
        """The values that went in; where they do not suffice, all that are anchored so far."""
        tape = self.tape
        ops = between(tape, claim.value, claim.since)
        made = {value for op in ops for value in op.outputs}
        needed = {value for op in ops for value in op.data}
        if needed - made <= claim.since:
            return claim.since
        return claim.since | frozenset(self._anchored)


def _is_rounded(given: Array, wide: Array) -> bool:
    """Whether numbers have lost more than a rounding to float32."""
    limit = 2.0 * ROUNDING["float32"] * float(np.abs(wide).max(initial=0.0))
    return not float(np.abs(given - wide).max(initial=0.0)) <= limit


def _ratio(created: Error, own: Error, reference: Array, rounding: float, absolute: float) -> float:
    """How many times the yardstick was created, by the measure that shows it more."""
    largest = float(np.abs(reference).max(initial=0.0))
    typical = float(np.sqrt(np.square(reference).mean()))
    spread = max(own.rel_l2, rounding, absolute / typical if typical else 0.0)
    local = max(own.max_abs, rounding * largest, absolute)
    by_max = created.max_abs / local if local else (0.0 if created.max_abs == 0.0 else np.inf)
    return float(max(created.rel_l2 / spread, by_max))


def in_float64(
    proto: onnx.ModelProto, node: onnx.NodeProto, given: Mapping[str, Array]
) -> dict[str, Array] | None:
    """A node's outputs with every float32 number as float64, or None where nothing computes that.

    Args:
        proto: the model that the node is of.
        node: the node.
        given: what it reads, float32 or float64.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    wide = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in given.items()}
    if any(array.size > MOST_ELEMENTS for array in wide.values()):
        return None
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
            attribute.i = onnx.TensorProto.DOUBLE
    names = [name for name in copy.output if name]
    try:
        return NodeRunner(proto, copy, {}, wide).run(wide)
    except ParityError:
        pass
    graph = onnx.helper.make_graph(
        [copy],
        "node",
        [onnx.ValueInfoProto(name=name) for name in wide],
        [onnx.ValueInfoProto(name=name) for name in names],
    )
    model = onnx.helper.make_model(graph, opset_imports=proto.opset_import)
    try:
        found = ReferenceEvaluator(model).run(None, wide)
    except FAILS:
        return None
    return {name: np.asarray(array) for name, array in zip(names, found, strict=True)}
