"""The page in a real browser: Debian's chromium without a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.conftest import show_as

pytestmark = pytest.mark.slow

PHONE, DESK = (390, 844), (1280, 900)


@pytest.fixture
def page(browser: Any, served: Any) -> Callable[..., Any]:
    """Open the page at a size, in light or dark; its console must stay empty."""

    def open_page(size: tuple[int, int] = DESK, *, dark: bool = False) -> Any:
        show_as(browser, size, dark=dark)
        browser.get(f"http://{served.host}/")
        wait(browser, lambda: shown(browser, "warning"))
        return browser

    return open_page


def wait(browser: Any, until: Callable[[], bool]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda _: until())


def element(browser: Any, name: str) -> Any:
    return browser.find_element("id", name)


def shown(browser: Any, name: str) -> bool:
    return bool(element(browser, name).is_displayed())


def upload(browser: Any, path: Path, until: str) -> None:
    element(browser, "file").send_keys(str(path))
    wait(browser, lambda: shown(browser, until))


@pytest.fixture
def photo(tmp_path: Path, draw: Callable[..., npt.NDArray[np.uint8]]) -> Path:
    path = tmp_path / "a photo.png"
    Image.fromarray(draw(64, 80)).save(path)
    return path


def test_an_image_is_analysed_and_shown(page: Any, photo: Path, detector: Any) -> None:
    browser = page()
    assert "STAND-IN WEIGHTS" in element(browser, "warning").text
    upload(browser, photo, "result")
    assert element(browser, "score").text == f"{detector.analyze(photo).score:.3f}"
    natural = "return [arguments[0].naturalWidth, arguments[0].naturalHeight]"
    for name in ("base", "layer"):
        wait(browser, lambda n=name: element(browser, n).get_property("complete"))  # type: ignore[misc]
        assert browser.execute_script(natural, element(browser, name)) == [80, 64]
    assert "a photo.png" in element(browser, "facts").get_attribute("textContent")
    # Who reads with a screen reader is taken to the result.
    assert browser.switch_to.active_element.get_attribute("id") == "result"
    assert not browser.get_log("browser")


def test_the_slider_and_the_layers_by_keyboard(page: Any, photo: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = page()
    upload(browser, photo, "result")
    slider, layer = element(browser, "strength"), element(browser, "layer")
    slider.send_keys(Keys.HOME)
    assert layer.value_of_css_property("opacity") == "0"
    assert slider.get_attribute("aria-valuetext") == "0 percent"
    slider.send_keys(Keys.END)
    assert layer.value_of_css_property("opacity") == "1"
    before = layer.get_attribute("src")
    browser.find_element("css selector", "input[value=map]").send_keys(Keys.ARROW_RIGHT)
    assert layer.get_attribute("src") != before
    assert "Reliability" in layer.get_attribute("alt")
    assert element(browser, "low").text == "0 not at all"


def test_a_dropped_file(page: Any, photo: Path) -> None:
    """What the browser does on a drop, with a file made in the page."""
    import base64

    browser = page()
    browser.execute_script(
        "const data = Uint8Array.from(atob(arguments[0]), c => c.charCodeAt(0));"
        "const moved = new DataTransfer();"
        "moved.items.add(new File([data], 'dropped.png', {type: 'image/png'}));"
        "dispatchEvent(new DragEvent('drop', {dataTransfer: moved, bubbles: true}));",
        base64.b64encode(photo.read_bytes()).decode(),
    )
    wait(browser, lambda: shown(browser, "result"))
    assert "dropped.png" in element(browser, "base").get_attribute("alt")


def test_what_is_no_image_is_said(page: Any, photo: Path, tmp_path: Path) -> None:
    browser = page()
    upload(browser, photo, "result")
    bad = tmp_path / "<b>bad.png"
    bad.write_bytes(b"no picture")
    upload(browser, bad, "problem")
    assert not shown(browser, "result")
    assert "<b>bad.png: not a picture" in element(browser, "problem").text
    browser.get_log("browser")  # the browser notes the status 422


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK, (320, 600)], ids=["phone", "desk", "narrow"])
def test_nothing_runs_out_of_the_page(
    page: Any, photo: Path, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    browser = page(size, dark=dark)
    upload(browser, photo, "result")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= size[0]
    assert browser.save_screenshot(str(tmp_path / "page.png"))
    paper = Image.open(tmp_path / "page.png").convert("L").getpixel((2, 2))
    assert (paper < 64) == dark


CONTRAST = """
const lightness = (c) => {
  const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (c !== "rgba(0, 0, 0, 0)") return c;
  }
  return "rgb(255, 255, 255)";
};
return [...document.querySelectorAll("p, label, h1, h2, dt, dd, summary, legend, span, output")]
  .filter((e) => e.textContent.trim() && e.offsetParent)
  .map((e) => {
    const [a, b] = [lightness(getComputedStyle(e).color), lightness(behind(e))];
    return [e.textContent.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_can_be_read(page: Any, photo: Path, dark: bool) -> None:
    """WCAG 2 AA: a contrast of 4.5 to 1."""
    browser = page(dark=dark)
    upload(browser, photo, "result")
    browser.execute_script("document.querySelector('details').open = true")
    found = browser.execute_script(CONTRAST)
    assert len(found) > 10
    assert [text for text, ratio in found if ratio < 4.5] == []


def test_every_control_has_a_name(page: Any, photo: Path) -> None:
    browser = page()
    upload(browser, photo, "result")
    for control in browser.find_elements("css selector", "input"):
        assert control.accessible_name
    assert browser.find_element("css selector", "html").get_attribute("lang") == "en"
    for image in browser.find_elements("css selector", "img"):
        assert image.get_attribute("alt")
