"""The page's colours, light and dark, and how far apart two are."""

from __future__ import annotations

from collections.abc import Mapping

LIGHT = {
    "page": "#ffffff",
    "panel": "#f4f6f8",
    "text": "#1b1f24",
    "muted": "#545d68",
    "line": "#cfd6de",
    "link": "#0550ae",
    "pass": "#116329",
    "fail": "#b3121d",
    "error": "#8a4600",
    "notrun": "#545d68",
    "candidate": "#0550ae",
    "source": "#9a4a00",
}
DARK = {
    "page": "#0f1318",
    "panel": "#1a2028",
    "text": "#e6e9ee",
    "muted": "#a9b2bd",
    "line": "#39424e",
    "link": "#82bcff",
    "pass": "#5fd874",
    "fail": "#ff938a",
    "error": "#f2b65c",
    "notrun": "#a9b2bd",
    "candidate": "#82bcff",
    "source": "#f2b65c",
}
BACKGROUNDS = ("page", "panel")
LEAST_CONTRAST = 4.5  # of text, WCAG 2.2 criterion 1.4.3


def css() -> str:
    """The colours as custom properties. Print is always light."""
    light, dark = (f":root{{{_properties(colours)}}}" for colours in (LIGHT, DARK))
    return f"{light}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _properties(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())
