"""Figures and states as the page shows them."""

from __future__ import annotations

import math

from parity.report.html.tags import Markup, el

# A state's sign, its words and its class. Signs differ in shape, so colour is not needed.
STATES = {
    "pass": ("✓", "passed", "pass"),
    "fail": ("✗", "failed", "fail"),
    "error": ("!", "could not compare", "error"),
    "could not compare": ("!", "could not compare", "error"),
    "not run": ("–", "not run", "notrun"),
    "not judged": ("–", "not judged", "notrun"),
    "measured": ("✓", "measured", "pass"),
    "proven": ("✓", "weights proven", "pass"),
    "as its lock says": ("!", "weights as the lock says", "error"),
    "weights unproven": ("!", "weights unproven", "error"),
    "other weights": ("✗", "other weights", "fail"),
}
UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))
ABSENT = "–"


def state(name: str) -> Markup:
    """A status as sign and words; one that is unknown is shown as it is, never as passed."""
    sign, words, kind = STATES.get(name, ("?", name, "error"))
    return el("span", el("span", sign, aria_hidden="true"), f" {words}", class_=f"state {kind}")


def error(value: float | None) -> str:
    """An error in an output's own units."""
    return ABSENT if value is None else f"{value:.2e}"


def ratio(value: float | None) -> str:
    """A ratio to three decimals; of large ones the magnitude."""
    if value is None:
        return ABSENT
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def tick(value: float) -> str:
    """A round figure at an axis, as short as it goes."""
    if value == 0 or 1e-3 < abs(value) < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    return f"{value / 10.0**exponent:.2g}e{exponent}"


def duration(nanoseconds: float | None) -> str:
    """Three digits, in the largest unit that keeps one before the point."""
    if nanoseconds is None:
        return ABSENT
    for scale, unit in UNITS:
        if nanoseconds >= scale:
            return f"{nanoseconds / scale:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def mebibytes(size: int | None) -> str:
    """Bytes in MiB."""
    return ABSENT if size is None else f"{size / 2**20:.1f} MiB"


def percent(factor: float | None) -> str:
    """A factor of 1 or more as what it is over 1."""
    return ABSENT if factor is None else f"{100 * (factor - 1):.1f} %"


def shortened(text: str, most: int = 34) -> str:
    """A name as long as a chart has room for."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def count(number: int, what: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {what}" + ("" if number == 1 else "s")
