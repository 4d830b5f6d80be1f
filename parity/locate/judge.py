"""Measure one part: what it creates, and what PyTorch float32 creates there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.locate.layout import find_layout
from parity.locate.measure import Error, error_of
from parity.locate.reach import between
from parity.locate.replay import replay
from parity.locate.results import FACTOR, INPUT, Part
from parity.locate.tape import Op, Tape

Array = npt.NDArray[Any]
# ONNX Runtime approximates these to an absolute error (measured on the CPU: 1.5e-7 for Sigmoid
# from -12 to 8), so that small results are less exact than a float32 could be. No fault of a file.
ABSOLUTE = {"sigmoid": 2.0**-23, "sigmoid_": 2.0**-23}
# A part within `FACTOR` of these; 8-bit numbers are as coarse as their largest is large.
ROUNDING = {"8 bits": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}


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
    ) -> tuple[Part, Array]:
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
        part = Part(
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
    ) -> tuple[Part, Array]:
        """An input that enters the first layer in another size, and the network's own."""
        own = self.tape.array(value)
        inf = float("inf")
        part = Part(-1, (), (), nodes, name, "next weights", self.tape.shapes[value], inf, inf,
                    0.0, 0.0, inf, inf, place=INPUT)  # fmt: skip
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
