"""Charts as inline SVG that fills any width: lanes of marks over one logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trufor_onnx.parity.report.html.elements import Markup, el, shortened

LEFT, RIGHT = 4.0, 96.0  # per cent: room for half a label at either end
MOST_TICKS = 5
LEAST, MOST = 1e-300, 1e300  # what is beyond is put at an end
STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
LANE, TOP, BOTTOM = 46, 6, 24  # pixels: a lane, above the first, below the last
LABEL, MARKS = 14, 30  # pixels from a lane's top to its label's baseline and to its marks
MOST_DOTS = 240  # of one mark in one lane; of more, evenly spread over their ranks
DIAMOND = "M0 -6 6 0 0 6 -6 0Z"


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


@dataclass(frozen=True)
class Lane:
    """One line of a chart.

    Attributes:
        label: what it shows.
        dots: values as filled circles.
        diamonds: values as hollow diamonds.
        bars: values as short upright lines.
        band: a range as a shade, or None.
        text: at the lane's right end.
    """

    label: str
    dots: tuple[float, ...] = ()
    diamonds: tuple[float, ...] = ()
    bars: tuple[float, ...] = ()
    band: tuple[float, float] | None = None
    text: str = ""

    @property
    def values(self) -> tuple[float, ...]:
        """Everything in it."""
        return (*self.dots, *self.diamonds, *self.bars, *(self.band or ()))


def lanes(
    title: str,
    entries: Sequence[Lane],
    tick: Callable[[float], str],
    *,
    one: float | None = None,
    room: tuple[float, ...] = (),
) -> Markup | None:
    """The chart, or None where there is nothing to show.

    Args:
        title: what screen readers are told; the figures are in a table beside it.
        entries: the lanes, from top to bottom.
        tick: writes a value at the axis.
        one: a value with a line of its own over all lanes.
        room: values that the axis holds though no lane has them.
    """
    values = [value for lane in entries for value in lane.values]
    axis = log_axis([*values, *room])
    if axis is None or log_axis(values) is None:
        return None
    height = TOP + LANE * len(entries) + BOTTOM
    return el(
        "svg",
        el("title", title),
        _grid(axis, height, tick),
        _upright(axis, one, TOP, height - BOTTOM, "one") if one else None,
        [_lane(axis, lane, TOP + LANE * number) for number, lane in enumerate(entries)],
        role="img",
        height=height,
    )


def sign(kind: str) -> Markup:
    """A mark for a key: ``dot``, ``diamond``, ``median`` or ``band``."""
    marks = {
        "dot": el("circle", class_="candidate", cx=8, cy=8, r=5),
        "diamond": el("path", class_="source", d=DIAMOND, transform="translate(8 8)"),
        "median": el("line", class_="median", x1=8, x2=8, y1=1, y2=15),
        "band": el("rect", class_="band", width=16, height=16),
    }
    return el("svg", marks[kind], aria_hidden="true")


def key(*entries: tuple[str, str]) -> Markup:
    """What the marks of a chart mean."""
    return el("ul", (el("li", sign(kind), text) for kind, text in entries), class_="key")


def chart(title: str, content: Markup | None, *notes: Markup) -> Markup:
    """A figure with its caption; without content it says so."""
    shown = content or el("p", "No figures: nothing was measured.", class_="muted")
    return el("figure", el("figcaption", title), notes, shown, class_="chart")


def bars(title: str, entries: Sequence[tuple[str, int, int, str]]) -> Markup | None:
    """Horizontal bars from zero: label, the part below, the whole, and the figure as text."""
    most = max((whole for _, _, whole, _ in entries), default=0)
    if not most:
        return None
    height = LANE * len(entries) + TOP
    drawn = []
    for number, (label, below, whole, text) in enumerate(entries):
        top = TOP + LANE * number
        drawn += [
            el("text", shortened(label), x=0, y=top + LABEL),
            el("text", text, x="100%", y=top + LABEL, text_anchor="end"),
            el("rect", class_="bar", y=top + 20, width=f"{100 * whole / most:.2f}%", height=14),
            el(
                "rect",
                class_="bar before",
                y=top + 20,
                width=f"{100 * below / most:.2f}%",
                height=14,
            ),
        ]
    return el("svg", el("title", title), drawn, role="img", height=height)


def _lane(axis: LogAxis, lane: Lane, top: int) -> Markup:
    middle = top + MARKS
    marks: list[Markup] = []
    if lane.band and all(map(math.isfinite, lane.band)):
        low, high = (float(axis.at(value).rstrip("%")) for value in lane.band)
        marks.append(
            el(
                "rect",
                class_="band",
                x=f"{low}%",
                y=middle - 10,
                width=f"{high - low:.2f}%",
                height=20,
            )
        )
    marks += [
        el("circle", class_="candidate", cx=axis.at(value), cy=middle, r=5)
        for value in thinned(lane.dots)
    ]
    marks += [
        el("svg", el("path", class_="source", d=DIAMOND), x=axis.at(value), y=middle)
        for value in thinned(lane.diamonds)
    ]
    marks += [
        _upright(axis, value, middle - 11, middle + 11, "median")
        for value in lane.bars
        if math.isfinite(value)
    ]
    return el(
        "g",
        el("text", shortened(lane.label), x=0, y=top + LABEL),
        el("text", lane.text, x="100%", y=top + LABEL, text_anchor="end") if lane.text else None,
        marks,
        class_="dots" if len(lane.dots) > 1 else None,
    )


def thinned(values: Sequence[float]) -> list[float]:
    """Finite values in order; of very many, as many as can be told apart, both ends among them."""
    found = sorted(value for value in values if math.isfinite(value))
    if len(found) <= MOST_DOTS:
        return found
    last = len(found) - 1
    return [found[round(number * last / (MOST_DOTS - 1))] for number in range(MOST_DOTS)]


def _grid(axis: LogAxis, height: int, tick: Callable[[float], str]) -> Markup:
    ends = [
        el(
            "line",
            class_="grid",
            x1=f"{LEFT}%",
            x2=f"{RIGHT}%",
            y1=height - BOTTOM,
            y2=height - BOTTOM,
        )
    ]
    for value in axis.ticks():
        ends.append(_upright(axis, value, TOP, height - BOTTOM + 4, "grid"))
        ends.append(el("text", tick(value), x=axis.at(value), y=height - 5, text_anchor="middle"))
    return el("g", ends, class_="axis", aria_hidden="true")


def _upright(axis: LogAxis, value: float, top: int, bottom: int, kind: str) -> Markup:
    place = axis.at(value)
    return el("line", class_=kind, x1=place, x2=place, y1=top, y2=bottom)
