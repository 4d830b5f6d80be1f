"""Everything can be read, light and dark."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from trufor_onnx.parity.report.html.page import (
    BACKGROUNDS,
    DARK,
    LEAST_CONTRAST,
    LIGHT,
    contrast,
    css,
)

DECORATION = {"line"}  # borders that no meaning hangs on


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WebAIM's example
    assert contrast("#123456", "#123456") == 1.0


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_text_colour_on_every_background(colours: dict[str, str], background: str) -> None:
    for name in colours.keys() - DECORATION - set(BACKGROUNDS):
        found = contrast(colours[name], colours[background])
        assert found >= LEAST_CONTRAST, f"{name} on {background}: {found:.2f}"


def test_light_and_dark_have_the_same_names() -> None:
    assert LIGHT.keys() == DARK.keys()


def test_the_style_uses_these_colours_only() -> None:
    style = (resources.files("trufor_onnx.parity.report.html") / "page.css").read_text(
        encoding="utf-8"
    )
    assert set(re.findall(r"var\(--(\w+)\)", style)) <= LIGHT.keys()
    assert not re.findall(r"#[0-9a-f]{3,8}\b|rgba?\(", style)
    assert css().count("prefers-color-scheme:dark") == 1
