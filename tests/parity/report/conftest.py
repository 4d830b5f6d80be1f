"""A report with every status, unusable images and hostile names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parity.timing.conftest import (  # noqa: F401 - fixtures
    contestant_fixture,
    latency_fixture,
    report_fixture,
)
from trufor_onnx.parity.results.rows import SOURCE, Report, Row, Status
from trufor_onnx.parity.results.summary import summarise

HOSTILE = (
    "a|b`c`.png",
    "<script>alert(1)</script>.png",
    "[red]x[/red].png",
    "]]>&amp;\"'.png",
    "line\nbreak\r\ttab.png",
    "\x1b[2J\x07bell\x00.png",
    "\u202egnp.exe",
    "\udcff\ud800surrogate.png",
    "# head\n- list\n1. one **b** _i_ ~~s~~ ![i](u) <!--",
    "../../etc/passwd",
    "ünïcödé 画像.png",
    "x" * 300,
    "\ufffe\uffff.png",
)
ENVIRONMENT = {"processor": "a processor", "packages": {"torch": "2.13.0", "gone": "absent"}}


def about(label: str = "stand-in weights (seed golden)") -> dict[str, Any]:
    return {
        "weights": {"label": label},
        "file": {"name": "net.onnx", "sha256": "f" * 64},
        "proof": "proven",
        "preprocessing": {"scale": 256.0},
    }


def build(rows: list[Row], models: tuple[str, ...] = ("net",), **changes: Any) -> Report:
    groups = tuple(summarise(rows, "images"))
    given = {name: about() for name in models}
    environment = changes.pop("environment", ENVIRONMENT)
    return Report(environment, given, tuple(rows), (), groups, **changes)


@pytest.fixture(name="build")
def build_fixture() -> Any:
    return build


@pytest.fixture
def passing(make: Any) -> Report:
    return build([make.row(backend=SOURCE, variant="source"), make.row()])


@pytest.fixture
def mixed(make: Any) -> Report:
    """One group of each status, and an image that could not be read."""
    rows = [make.row(backend=SOURCE, variant="source", output=o) for o in ("map", "bad", "odd")]
    rows += [
        make.row(),
        make.row(output="bad", status=Status.FAIL, reason="mae 1 is over 0.1", mae=1.0),
        make.row(output="odd", status=Status.ERROR, reason="no shape", mae=None),
        make.row(provider="cuda", status=Status.NOT_RUN, reason="no CUDA", mae=None),
        make.row(image="gone.png", output="", backend="", status=Status.ERROR, reason="damaged"),
    ]
    return build(rows)


@pytest.fixture
def hostile(make: Any) -> Report:
    """Every hostile name as an image, a model, an output and a reason, passing and failing."""
    rows = []
    for name in HOSTILE:
        rows.append(make.row(model=name, image=name, output=name))
        rows.append(
            make.row(model=name, image=f"{name}2", output=name, status=Status.FAIL, reason=name)
        )
    return build(rows, HOSTILE)


@pytest.fixture
def hostile_names() -> tuple[str, ...]:
    return HOSTILE
