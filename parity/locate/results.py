"""What is found: parts of the network, what each adds to the error, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1
# A sound part is within this many times PyTorch float32's own error on the same inputs
# (docs/decisions/locate.md says what was measured).
FACTOR = 8.0


@dataclass(frozen=True)
class Part:
    """What lies between reference values that go in and one that should come out.

    Attributes:
        order: its place in network order.
        modules: the modules of the reference that it covers, in network order.
        operators: what the reference computes there (ATen names).
        nodes: what the candidate computes there (ONNX operators); empty where it has nothing.
        value: the candidate's tensor at its end.
        anchor: how its end was tied to the reference: ``weights``, ``values``, ``next weights``
            (the input of the next node with weights), ``output``.
        shape: of the reference's value at its end.
        created: relative L2 error of the part, fed the reference's values.
        created_max: its largest error.
        torch32: what PyTorch float32 makes on the same inputs, relative L2.
        torch32_max: its largest error.
        ratio: the larger of both quotients; the yardstick is at least one rounding of the output.
        full_run: relative L2 error of the candidate's tensor in the whole run.
        share: of the sum of squares of all parts' ``created``.
        creates: whether it creates error: ``ratio`` above `FACTOR`.
    """

    order: int
    modules: tuple[str, ...]
    operators: tuple[str, ...]
    nodes: tuple[str, ...]
    value: str
    anchor: str
    shape: tuple[int, ...]
    created: float
    created_max: float
    torch32: float
    torch32_max: float
    ratio: float
    full_run: float
    share: float = 0.0

    @property
    def creates(self) -> bool:
        """NaN is above every limit."""
        return not self.ratio <= FACTOR

    @property
    def name(self) -> str:
        """The modules as one name."""
        return " + ".join(self.modules)


@dataclass(frozen=True)
class Located:
    """The answer.

    Attributes:
        model: the network.
        file: the candidate: name, size, digest.
        proof: what is known of its weights as a whole, as `parity run` says it.
        weights: what the reference's weights are called.
        image: what it was run on.
        shapes: of the inputs, by name.
        origins: how many initializers were tied to the reference's weights, in which way.
        parts: in network order.
        outputs: relative L2 error of each output in the whole run of the file as it is.
        environment: versions and machine.
    """

    model: str
    file: dict[str, Any]
    proof: str
    weights: str
    image: str
    shapes: dict[str, tuple[int, ...]]
    origins: dict[str, int]
    parts: tuple[Part, ...]
    outputs: dict[str, float]
    environment: dict[str, Any]

    @property
    def faults(self) -> list[Part]:
        """Parts that create error, in network order."""
        return [part for part in self.parts if part.creates]

    def sentence(self) -> str:
        """The answer in words."""
        faults = self.faults
        if not faults:
            worst = max(self.parts, key=lambda part: part.ratio)
            return (
                f"No part creates error beyond float32 rounding: {len(self.parts)} parts, the "
                f"largest {worst.ratio:.1f}x PyTorch float32's own ({worst.name})."
            )
        first = faults[0]
        more = f" {len(faults) - 1} more parts do." if len(faults) > 1 else ""
        return (
            f"{first.name or 'the network itself'} creates the error: {first.created:.1e} "
            f"({', '.join(first.operators)}), {first.ratio:.0f}x PyTorch float32's own, "
            f"{100 * first.share:.1f} % of all that is created.{more}"
        )


def shares(created: Sequence[float]) -> list[float]:
    """Each part's square over the sum of squares; infinite ones share all."""
    squares = [value * value if math.isfinite(value) else math.inf for value in created]
    infinite = squares.count(math.inf)
    if infinite:
        return [1.0 / infinite if square == math.inf else 0.0 for square in squares]
    total = math.fsum(squares)
    return [square / total if total else 0.0 for square in squares]
