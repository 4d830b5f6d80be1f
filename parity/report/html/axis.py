"""Logarithmic axes in per cent of a chart's width, so that charts fit any page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEFT, RIGHT = 4.0, 96.0  # per cent: room for half a label at either end
MOST_TICKS = 5
LEAST, MOST = 1e-300, 1e300  # what is beyond is put at an end
STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


@dataclass(frozen=True)
class LogAxis:
    """From ``low`` to ``high``, both positive and finite, ``low < high``."""

    low: float
    high: float

    def at(self, value: float) -> str:
        """Where a value is, as a percentage; what is outside is put at the end."""
        if not value > self.low:
            return f"{LEFT}%"
        # Logarithms are taken first: the quotient may be beyond float64.
        low, high = math.log(self.low), math.log(self.high)
        place = (math.log(min(value, self.high)) - low) / (high - low)
        return f"{LEFT + (RIGHT - LEFT) * place:.2f}%"

    def ticks(self) -> list[float]:
        """Round figures within, as many as have room and at least one."""
        found: list[float] = []
        for steps in STEPS:
            more = self._round_figures(steps)
            if len(more) > MOST_TICKS:
                break
            found = more
        if not found:
            decades = self._round_figures(STEPS[0])
            found = decades[:: -(-len(decades) // MOST_TICKS)] or [self.low]
        return found

    def _round_figures(self, steps: Iterable[float]) -> list[float]:
        first, last = (math.floor(math.log10(v)) for v in (self.low, self.high))
        figures = (float(f"{s}e{d}") for d in range(first, last + 1) for s in steps)
        return [figure for figure in figures if self.low <= figure <= self.high]


def log_axis(values: Iterable[float], *, least_factor: float = 2.0) -> LogAxis | None:
    """The axis that holds all positive finite values with a little room; None where there are none.

    Args:
        values: what is shown.
        least_factor: how far apart the ends are at least, so that rounding does not look large.
    """
    shown = [value for value in values if value > 0 and math.isfinite(value)]
    if not shown:
        return None
    low, high = min(shown), max(shown)
    room = max(1.05, math.sqrt(least_factor / (high / low)))
    start = min(max(low / room, LEAST), MOST / least_factor)
    return LogAxis(start, max(min(high * room, MOST), start * least_factor))
