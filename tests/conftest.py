"""What every test may rely on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.beside import need

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--no-proxy-server"),
)


def pytest_configure() -> None:
    """Ctrl-C reaches the programs under test, also where a shell started pytest with `&`.

    Such a shell lets its children ignore SIGINT, and so would all of theirs.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's chromium without a window; it logs its console and what it asks the network for."""
    if not BROWSER or not DRIVER:
        pytest.skip("no chromium with chromedriver (apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # selenium's own pipes
        opened = webdriver.Chrome(options=options, service=Service(DRIVER))
        yield opened
        opened.quit()


def show_as(browser: Any, size: tuple[int, int], *, dark: bool = False, media: str = "") -> None:
    """As on a screen of this size (width, height), in light or dark, on paper or not."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with ``reference/`` and ``data/``; without it the test is skipped."""
    return need("reference")


@pytest.fixture
def names() -> Callable[[Path], list[str]]:
    """What lies in a folder."""
    return lambda folder: sorted(path.name for path in folder.iterdir())


@pytest.fixture
def open_files() -> Callable[[], int]:
    """How many descriptors this process has open."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def failing() -> Callable[[int], Callable[..., None]]:
    """A function that takes anything and raises the system's error of this number."""

    def make(number: int) -> Callable[..., None]:
        def fail(*_args: object, **_kwargs: object) -> None:
            raise OSError(number, os.strerror(number))

        return fail

    return make


@pytest.fixture
def make_bytes() -> Callable[..., bytes]:
    return lambda size, seed="": random.Random(f"{seed}/{size}").randbytes(size)
