"""Measure one part: what it creates, and what PyTorch float32 creates there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.locate.layout import find_layout
from parity.locate.measure import Error, error_of
from parity.locate.reach import between
from parity.locate.replay import replay
from parity.locate.results import Part
from parity.locate.tape import Tape

Array = npt.NDArray[Any]
# ONNX Runtime approximates these to an absolute error (measured on the CPU: 1.5e-7 for Sigmoid
# from -12 to 8), so that small results are less exact than a float32 could be. No fault of a file.
ABSOLUTE = {"sigmoid": 2.0**-23, "sigmoid_": 2.0**-23}
ROUNDING = {"float16": 2.0**-11, "float32": 2.0**-24}


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
    """

    name: str
    given: Array
    free: Array
    value: int
    since: frozenset[int]
    nodes: tuple[str, ...]
    anchor: str
    half: bool = False


class Judge:
    """Measures parts of one candidate.

    Args:
        tape: the recorded reference.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self._anchored: set[int] = set(tape.inputs.values())

    def measure(self, claim: Claim) -> tuple[Part, Array]:
        """The part, and the reference's value in the candidate's arrangement and type."""
        tape = self.tape
        reference = tape.array(claim.value)
        layout = find_layout(reference, claim.given)
        arranged = layout.arrange(reference, claim.given.shape)
        created = error_of(claim.given, arranged)
        full = error_of(claim.free, arranged)
        frontier = self._frontier(claim)
        half = claim.half and claim.given.dtype == np.float16
        again = replay(tape, claim.value, frontier, half=half, half_inputs=claim.half)
        own = error_of(again, reference)
        ops = between(tape, claim.value, frontier)
        self._anchored.add(claim.value)
        part = Part(
            order=ops[-1].index if ops else -1,
            modules=tuple(dict.fromkeys(op.scope for op in ops)),
            operators=tuple(dict.fromkeys(op.name for op in ops)),
            nodes=claim.nodes,
            value=claim.name,
            anchor=claim.anchor,
            shape=tape.shapes[claim.value],
            created=created.rel_l2,
            created_max=created.max_abs,
            torch32=own.rel_l2,
            torch32_max=own.max_abs,
            ratio=_ratio(
                created,
                own,
                reference,
                ROUNDING["float16" if claim.half else "float32"],
                max((ABSOLUTE.get(op.name, 0.0) for op in ops[-1:]), default=0.0),
            ),
            full_run=full.rel_l2,
        )
        return part, np.ascontiguousarray(arranged.astype(claim.given.dtype))

    def _frontier(self, claim: Claim) -> frozenset[int]:
        """The values that went in; where they do not suffice, all that are anchored so far."""
        tape = self.tape
        ops = between(tape, claim.value, claim.since)
        made = {value for op in ops for value in op.outputs}
        needed = {value for op in ops for value in op.data}
        if needed - made <= claim.since:
            return claim.since
        return claim.since | frozenset(self._anchored)


def _ratio(created: Error, own: Error, reference: Array, rounding: float, absolute: float) -> float:
    """How many times the yardstick was created, by the measure that shows it more."""
    largest = float(np.abs(reference).max(initial=0.0))
    typical = float(np.sqrt(np.square(reference).mean()))
    spread = max(own.rel_l2, rounding, absolute / typical if typical else 0.0)
    local = max(own.max_abs, rounding * largest, absolute)
    by_max = created.max_abs / local if local else (0.0 if created.max_abs == 0.0 else np.inf)
    return float(max(created.rel_l2 / spread, by_max))
