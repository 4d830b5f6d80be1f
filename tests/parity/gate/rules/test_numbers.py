"""Errors and reference outputs held to the release before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.parity.gate.conftest import of
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.results.findings import Outcome


def test_a_larger_error_than_the_baseline_s(good: Any, tmp_path: Path) -> None:
    before = good.copy(tmp_path / "before")

    def smaller(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            if row["backend"] == "onnxruntime":
                row["mae"] /= 10.0

    before.edit(smaller)
    found = of(good.judged(before.report), "accuracy")
    small = of(good.judged(), "accuracy")
    assert small.outcome is Outcome.PASS
    document = json.loads(good.report.read_text())
    mean = max(row["mae"] for row in document["rows"])
    assert (found.outcome is Outcome.FAIL) is (mean > 2e-7)


def test_errors_on_images_that_no_baseline_has_are_not_judged(good: Any, tmp_path: Path) -> None:
    before = good.copy(tmp_path / "before")

    def others(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            row["image_sha256"] = "0" * 64

    before.edit(others)
    assert of(good.judged(before.report), "accuracy").outcome is Outcome.NOT_JUDGED
    assert of(good.judged(good.report), "accuracy").outcome is Outcome.PASS


def test_a_baseline_to_whose_outputs_nothing_can_be_held(
    good: Any, tmp_path: Path, policy: Callable[[str], Policy]
) -> None:
    """Of an earlier version of this program, or on other pictures: never a pass."""
    assert of(good.judged(), "references").outcome is Outcome.NOT_JUDGED
    assert of(good.judged(good.report), "references").outcome is Outcome.PASS
    before = good.copy(tmp_path / "before")

    def forget(document: dict[str, Any]) -> None:
        document["models"]["tiny_np"].pop("reference_network")
        for row in document["rows"] + document["shape_rows"]:
            row.pop("sketch", None)

    def others(document: dict[str, Any]) -> None:
        for row in document["rows"] + document["shape_rows"]:
            if "sketch" in row:
                row["sketch"]["pixels"] = "0" * 64

    for change, why in ((others, "no picture in common"), (forget, "does not say what")):
        before.edit(change)
        found = of(good.judged(before.report), "references")
        assert found.outcome is Outcome.COULD_NOT
        assert why in found.saw
        lax = policy("[references]\nreason = 'an old baseline'\nwhen_absent = 'allow'\n")
        found = of(good.judged(before.report, policy=lax), "references")
        assert found.outcome is Outcome.NOT_JUDGED
