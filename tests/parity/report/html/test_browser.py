"""The page in a real browser: Debian's chromium without a window."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import show_as
from trufor_onnx.parity.inputs.cases import Case, ImageFile
from trufor_onnx.parity.report.html.page import DARK, LIGHT, page
from trufor_onnx.parity.results.rows import SOURCE, Report, Status
from trufor_onnx.parity.running.gallery import Gallery

pytestmark = pytest.mark.slow

PHONE, DESK = (360, 740), (1200, 900)
ALT_NAME = "<img src=x onerror=alert(1)>.png"


@pytest.fixture
def report(make: Any, build: Any, tmp_path: Path) -> Report:
    """Twelve images with pictures, one of a hostile name, one that failed, one provider absent."""
    gallery = Gallery()
    rows = []
    for number in range(12):
        name = ALT_NAME if number == 11 else f"image_{number:02d}.png"
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (64, 48), (number * 20, 90, 120)).save(path)
        status = Status.FAIL if number == 3 else Status.PASS
        reason = "mae is over its limit" if number == 3 else ""
        mae = float(7 * number % 12 + 1) * 1e-7
        row = make.row(image=name, mae=mae, status=status, reason=reason)
        rows += [make.row(image=name, backend=SOURCE, variant="source"), row]
        reference = np.random.default_rng(number).normal(size=(1, 1, 48, 64))
        found = {"map": reference + mae}
        loaded = Case(name, (ImageFile(path, name),)).load()
        gallery.see(loaded, [row], {"map": reference}, found)
    rows.append(make.row(provider="cuda", status=Status.NOT_RUN, reason="no CUDA", mae=None))
    found_report: Report = build(rows, pictures=gallery.pictures())
    return found_report


@pytest.fixture
def opened(browser: Any, report: Report, tmp_path: Path) -> Callable[..., Any]:
    """Open the page at a size, in light or dark."""
    file = tmp_path / "parity.html"
    file.write_text(page(report), encoding="utf-8")

    def open_page(size: tuple[int, int] = DESK, *, dark: bool = False, media: str = "") -> Any:
        show_as(browser, size, dark=dark, media=media)
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(file.as_uri())
        return browser

    return open_page


def rows_table(browser: Any) -> Any:
    return browser.find_element("css selector", "#rows table")


def column(browser: Any, number: int) -> list[str]:
    script = (
        "return [...arguments[0].tBodies[0].rows].filter(r => !r.hidden)"
        ".map(r => r.cells[arguments[1]].dataset.v ?? r.cells[arguments[1]].textContent)"
    )
    found: list[str] = browser.execute_script(script, rows_table(browser), number)
    return found


def background(browser: Any) -> str:
    found: str = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    return found


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"


def test_the_page_is_quiet(opened: Any) -> None:
    browser = opened()
    assert browser.get_log("browser") == []
    asked = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert asked  # its own address at least
    assert all('"url":"file:' in one or '"url":"data:' in one for one in asked)
    script = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert all(name.startswith("data:") for name in browser.execute_script(script))


def test_every_picture_is_shown(opened: Any) -> None:
    browser = opened()
    script = "return [...document.images].map(i => i.complete && i.naturalWidth)"
    sizes = browser.execute_script(script)
    assert len(sizes) == 12 and all(sizes)


def test_a_hostile_name_is_text(opened: Any) -> None:
    browser = opened()
    assert ALT_NAME in browser.find_element("css selector", "#rows").text
    assert browser.execute_script("return document.querySelectorAll('[onerror]').length") == 0


def test_columns_sort_by_click_and_by_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    head = rows_table(browser).find_elements("css selector", "thead th")[4]
    assert head.text.startswith("MAE") and head.get_attribute("aria-sort") == "none"
    button = head.find_element("tag name", "button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    upwards = column(browser, 4)
    assert upwards[-1] == ""  # what was not run comes last, whichever way
    figures = [float(value) for value in upwards[:-1]]
    assert figures == sorted(figures) and len(figures) == 12
    button.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    downwards = column(browser, 4)
    assert [float(v) for v in downwards[:-1]] == figures[::-1] and downwards[-1] == ""
    said = browser.find_element("id", "said").get_attribute("textContent")
    assert said == "sorted by MAE, descending"
    others = rows_table(browser).find_elements("css selector", "th[aria-sort=none]")
    assert len(others) == len(rows_table(browser).find_elements("css selector", "thead th")) - 1


def test_rows_can_be_searched_and_filtered(opened: Any) -> None:
    browser = opened()
    tools = browser.find_element("css selector", "#rows .tools")
    tools.find_element("tag name", "input").send_keys("IMAGE_03")
    assert column(browser, 0) == ["image_03.png"]
    tools.find_element("tag name", "input").clear()
    tools.find_element("css selector", "select option:nth-child(2)").click()
    assert len(column(browser, 0)) == 2  # the failed one, and the one that was not run


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_does_not_scroll_sideways(opened: Any, size: tuple[int, int]) -> None:
    browser = opened(size)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= size[0]


def test_light_and_dark(opened: Any) -> None:
    assert background(opened()) == rgb(LIGHT["page"])
    assert background(opened(dark=True)) == rgb(DARK["page"])


def test_print_is_light_and_whole(opened: Any) -> None:
    browser = opened(dark=True, media="print")
    assert background(browser) == rgb(LIGHT["page"])
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    for selector, name, wanted in (
        ("nav", "display", "none"),
        (".tools", "display", "none"),
        (".scroll.tall", "maxHeight", "none"),
        (".scroll.tall", "overflow", "visible"),
    ):
        assert browser.execute_script(script, selector, name) == wanted
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")


def test_the_keyboard_reaches_the_results_first_and_sees_where_it_is(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    ActionChains(browser).send_keys(Keys.TAB).perform()
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the results"
    outline = "return getComputedStyle(arguments[0]).outlineStyle"
    assert browser.execute_script(outline, focused) == "solid"
    focused.send_keys(Keys.ENTER)
    assert browser.current_url.endswith("#main")


def test_without_a_script_the_page_is_whole(opened: Any, browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened()
        assert len(browser.find_elements("css selector", "#rows tbody tr")) == 13
        assert browser.find_elements("css selector", "button, input, select") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
