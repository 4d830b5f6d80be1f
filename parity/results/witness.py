"""Is it the file, or the runtime's rounding? The same file computed in two other ways.

Where a candidate's error is too large, its graph is computed in float64 by onnx's reference
implementation, and by ONNX Runtime without graph optimisation. A file whose graph and weights are
the network's is right in float64, however its kernels round; a wrong one is as wrong there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trufor_onnx.parity.inputs.cases import Case
from trufor_onnx.parity.inputs.shapes import LARGEST_SIDE
from trufor_onnx.parity.results.tolerances import Tolerance

EPS = 2.0**-23  # the distance of float32 numbers near 1
ROUNDINGS = 1.0  # of an output itself, on the mean, in units of EPS times its size
KEY = "witnesses"  # in a model's part of the report
# Where a case itself is asked for, as a rounding of its own decides it: the largest that is drawn.
MOST_OF_CASE = 3 * LARGEST_SIDE * LARGEST_SIDE
MIDDLE = ", its middle"  # after a case's name: a crop of a larger one
# What a file may be off in float64 by a limit in the output's own units, as a share of it.
EXACT = 0.25


@dataclass(frozen=True)
class Witness:
    """What a candidate gives when it is computed in another way.

    Attributes:
        image: the case on which.
        mae: of the candidate as it was judged, against the float64 network.
        mae_source: PyTorch float32's.
        mae_float64: of the same graph in float64; None where it cannot be computed.
        mae_plain: of the same graph without optimisation, or None.
        size: root mean square of the float64 network's output.
        values: of the first input, a picture: three a pixel.
    """

    image: str
    mae: float
    mae_source: float
    mae_float64: float | None
    mae_plain: float | None
    size: float
    values: int

    def clears(self, tolerance: Tolerance) -> bool:
        """Whether the file is as near to the float64 network as PyTorch float32 is.

        Nearer, by a limit in the output's own units: what is left of such a limit is rounding.
        """
        if not self._within(self.mae_float64, tolerance):
            return False
        assert self.mae_float64 is not None
        return tolerance.relative or self.mae_float64 <= EXACT * tolerance.mae

    def speaks_of(self, image: str) -> bool:
        """Whether it was computed on a case, or on the middle of it."""
        return self.image in (image, image + MIDDLE)

    def sentence(self, tolerance: Tolerance) -> str:
        """What it says of a failure, or "" where it says nothing for the file."""
        if self.clears(tolerance):
            return (
                f"on {self.image} the same file computed in float64 is within limits (mae "
                f"{self.mae_float64:.3g} for {self.mae:.3g}): ONNX Runtime's kernels round, the "
                "file is right"
            )
        if self._within(self.mae_plain, tolerance) and self.mae_float64 is None:
            return (
                f"on {self.image} the same graph without optimisation is within limits (mae "
                f"{self.mae_plain:.3g} for {self.mae:.3g}): ONNX Runtime's optimiser, not the file"
            )
        return ""

    def _within(self, mae: float | None, tolerance: Tolerance) -> bool:
        allowed = max(tolerance.accuracy_ratio * self.mae_source, ROUNDINGS * EPS * self.size)
        return mae is not None and mae <= allowed


def find_witnesses(
    document: object, variant: str, provider: str, output: str, cases: str = ""
) -> list[Witness]:
    """The witnesses of an output out of a model's part of a report; of a group with ``cases``."""
    given = document.get(KEY) if isinstance(document, Mapping) else None
    place = {"variant": variant, "provider": provider, "output": output}
    place |= {"cases": cases} if cases else {}
    found = []
    for entry in given if isinstance(given, list) else ():
        if isinstance(entry, Mapping) and all(entry.get(k) == v for k, v in place.items()):
            mae, source, size = (_finite(entry.get(k)) for k in ("mae", "mae_source", "size"))
            others = [entry.get(key) for key in ("mae_float64", "mae_plain")]
            exact, plain = map(_finite, others)
            values = entry.get("values")
            if mae is None or source is None or size is None or type(values) is not int:
                continue
            # Each a figure, or null as one that was not computed is.
            if [exact, plain] == others and values > 0:
                image = str(entry.get("image"))
                found.append(Witness(image, mae, source, exact, plain, size, values))
    return found


def _finite(given: Any) -> float | None:
    """A figure that is finite and not negative, else None."""
    if type(given) not in (int, float) or not math.isfinite(given) or given < 0.0:
        return None
    return float(given)


def middle_of(case: Case, shape: Sequence[int]) -> Case:
    """A case as it is where it can be computed in float64, else the middle of its pictures.

    Args:
        case: a case.
        shape: (B, C, H, W) of the network's first input on it.
    """
    share = math.sqrt(MOST_OF_CASE / (math.prod(shape) or 1))
    if share >= 1.0 or len(shape) != 4:
        return case
    size = int(shape[2] * share), int(shape[3] * share)
    return replace(case, name=case.name + MIDDLE, size=size)
