"""Is the report whole: enough cases, all rows, and its own figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.parity.gate.conftest import of
from trufor_onnx.documents import decode, encode
from trufor_onnx.errors import ExportError
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.gate.rules.whole import cases_rule
from trufor_onnx.parity.inputs.cases import is_made
from trufor_onnx.parity.results.findings import Outcome
from trufor_onnx.parity.results.rows import Group, Row
from trufor_onnx.parity.results.summary import summarise


def test_no_cases_are_never_enough(good: Any, policy: Callable[[str], Policy]) -> None:
    def empty(document: dict[str, Any]) -> None:
        document["rows"] = document["shape_rows"] = document["summary"]["groups"] = []
        document["summary"]["counts"] = dict.fromkeys(document["summary"]["counts"], 0)
        document["summary"]["status"] = "not run"

    good.edit(empty)
    lax = policy("[cases]\nreason = 'x'\nleast_images = 1\nleast_shapes = 0\n")
    decision = good.judged(policy=lax)
    assert decision.exit_code == 1
    assert {"cases", "complete", "verdicts"} <= set(decision.stopped_by)


def test_one_image_many_times_is_one_image(good: Any) -> None:
    """Ten files of the same pixels, whatever their own digests are."""

    def same(document: dict[str, Any]) -> None:
        for look in document["models"]["tiny_np"]["data_set"]["looks"].values():
            look |= {"pixels_sha256": "0" * 64, "like": "0" * 64}

    good.edit(same)
    found = of(good.judged(), "cases")
    assert found.saw.startswith("tiny_np: 1 different image was measured, in 10 files")


@pytest.mark.parametrize("said", ["flat", "nothing", "no look"])
def test_flat_images_and_unknown_ones_are_not_counted(good: Any, said: str) -> None:
    def change(document: dict[str, Any]) -> None:
        about = document["models"]["tiny_np"]
        looks = about["data_set"]["looks"]
        for sha256 in list(looks)[:3]:
            looks[sha256] |= {"flat": True}
            if said == "no look":
                del looks[sha256]
        if said == "nothing":
            del about["data_set"]

    good.edit(change)
    left = 0 if said == "nothing" else 7
    assert of(good.judged(), "cases").saw.startswith(f"tiny_np: {left} different images were")


def test_made_pictures_are_among_the_cases(good: Any) -> None:
    """They are no shapes, and without them NaN on a black picture is not found out."""

    def without(document: dict[str, Any]) -> None:
        for part in (document["shape_rows"], document["summary"]["groups"]):
            part[:] = [
                one
                for one in part
                if not str(one.get("image")).startswith("made:") and one.get("cases") != "made"
            ]
        counts = document["summary"]["counts"]
        counts["pass"] = len(document["rows"]) + len(document["shape_rows"])

    shapes = of(good.judged(), "cases").saw
    good.edit(without)
    found = of(good.judged(), "cases")
    assert found.outcome is Outcome.FAIL
    assert found.details == ("tiny_np: made pictures were not run: black, grey, white, saturated",)
    assert "15 shapes" in shapes


def test_another_file_on_the_baseline_s_drawn_sizes(
    good: Any, tmp_path: Path, policy: Callable[[str], Policy]
) -> None:
    def set_seed(origin: str, file: str = "") -> Callable[[dict[str, Any]], None]:
        def change(document: dict[str, Any]) -> None:
            about = document["models"]["tiny_np"]
            about["seed"] = {"value": 5, "origin": origin}
            for entry in (about, *about["variants"].values()) if file else ():
                entry["file"] = entry["file"] | {"sha256": file}

        return change

    old = good.copy(tmp_path / "old")
    old.edit(set_seed("--seed"))
    good.edit(set_seed("--seed"))
    assert of(good.judged(old.report), "cases").outcome is Outcome.PASS  # the same file again
    old.edit(set_seed("--seed", "0" * 64))
    found = of(good.judged(old.report), "cases")
    assert found.outcome is Outcome.FAIL
    assert "sizes drawn with the baseline's seed, 5, for another file" in found.saw
    lax = policy("[cases]\nreason = 'x'\nfresh_seed = false\n")
    assert of(good.judged(old.report, policy=lax), "cases").outcome is Outcome.PASS
    good.edit(set_seed("the bundle"))
    assert of(good.judged(old.report), "cases").outcome is Outcome.PASS


def test_a_made_picture_without_an_answer_does_not_stop(good: Any) -> None:
    def not_judged(image: str) -> Callable[[dict[str, Any]], None]:
        def change(document: dict[str, Any]) -> None:
            figures = ("mae", "max_abs", "p99_abs", "rel_l2", "mae_torch32", "accuracy_ratio")
            rows = [row for row in document["shape_rows"] if row["image"] == image]
            for row in rows:
                row |= dict.fromkeys(figures) | {"status": "not run", "reason": "NaN there"}
            counts = document["summary"]["counts"]
            counts["pass"] -= len(rows)
            counts["not run"] += len(rows)
            found = from_rows(document)
            document["summary"]["groups"] = [encode(group) for group in found]

        return change

    good.edit(not_judged("made:grey"))
    assert good.judged().exit_code == 0
    good.edit(not_judged("shape:64x96"))
    assert good.judged().exit_code != 0


def from_rows(document: dict[str, Any]) -> list[Group]:
    parts = (("rows", "images"), ("shape_rows", "shapes"))
    return [
        group
        for part, cases in parts
        for group in summarise([decode(Row, row) for row in document[part]], cases)
    ]


def test_a_device_that_ran_before_and_does_not_now(good: Any, tmp_path: Path) -> None:
    """ "Not run" may be on a device that nobody has; not on one that the baseline had."""

    def with_cuda(status: str) -> Callable[[dict[str, Any]], None]:
        def add(document: dict[str, Any]) -> None:
            more = []
            for part in ("rows", "shape_rows"):
                added = [
                    row | {"provider": "cuda", "status": status, "reason": "no CUDA"}
                    for row in document[part]
                    if row["backend"] == "onnxruntime"
                ]
                for row in added if status != "pass" else ():
                    row |= dict.fromkeys(("mae", "max_abs", "p99_abs", "rel_l2"))
                    row |= dict.fromkeys(("mae_torch32", "accuracy_ratio")) | {"outcome": {}}
                document[part] += added
                more += added
            groups = document["summary"]["groups"]
            groups += [group | {"provider": "cuda"} for group in groups[1:2] + groups[3:4]]
            document["summary"]["counts"][status] += len(more)

        return add

    before = good.copy(tmp_path / "before")
    before.edit(with_cuda("pass"))
    good.edit(with_cuda("not run"))
    assert of(good.judged(), "complete").outcome is Outcome.PASS
    found = of(good.judged(before.report), "complete")
    assert found.outcome is Outcome.FAIL
    assert "cuda: not run: no CUDA" in found.saw


@pytest.mark.parametrize(
    ("axes", "shapes", "passes"),
    [
        ([1, 3, 48, 48], 1, True),
        (["batch", 3, 48, 48], 1, False),
        (["batch", 3, 48, 48], 2, True),
        (["batch", 3, "height", "width"], 2, False),
        (None, 2, False),
    ],
)
def test_a_network_of_a_fixed_size_is_asked_for_what_it_takes(
    good: Any,
    policy: Callable[[str], Policy],
    axes: Any,
    shapes: int,
    passes: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no --size option that would give it more: it could never pass."""
    monkeypatch.setattr("trufor_onnx.parity.inputs.shapes.FIXED_BATCHES", (1, 2))
    evidence = gather(good.report, models_dir=good.models)
    (subject,) = evidence.subjects
    assert evidence.report is not None
    others = sorted({row.image for row in evidence.report.shape_rows})
    made = [name for name in others if is_made(name)]
    names = [*made, *[name for name in others if name not in made][:shapes]]
    images = {row.image for row in evidence.report.rows}
    rows = tuple(row for row in subject.rows if row.image in {*names, *images})
    inputs = [{"name": "image", "axes": axes, "description": ""}]
    lock = {**(subject.lock or {}), "inputs": inputs}
    changed = replace(evidence, subjects=(replace(subject, rows=rows, lock=lock),))
    monkeypatch.setattr("trufor_onnx.parity.gate.rules.whole.find", refuse)  # the lock alone speaks
    found = cases_rule(changed, policy(LAX))
    assert (found.outcome is Outcome.PASS) is passes
    if not passes:
        assert found.look == "run without --no-shapes"


LAX = "[cases]\nreason = 'x'\nleast_images = 1\nleast_shapes = 5\n"


def refuse(name: str) -> None:
    raise ExportError(name)


def with_backend(**changes: str) -> Callable[[dict[str, Any]], None]:
    """The file's rows once more, of another backend."""

    def add(document: dict[str, Any]) -> None:
        counts = document["summary"]["counts"]
        for part in ("rows", "shape_rows"):
            ours = [row for row in document[part] if row["backend"] == "onnxruntime"]
            document[part] += [row | {"backend": "mybackend"} | changes for row in ours]
            counts["pass"] += len(ours)
        groups = []
        for cases in (("images",), ("shapes", "made")):  # as the rows stand
            own = [group for group in document["summary"]["groups"] if group["cases"] in cases]
            ours = [group for group in own if group["backend"] == "onnxruntime"]
            groups += [*own, *(group | {"backend": "mybackend"} | changes for group in ours)]
        document["summary"]["groups"] = groups

    return add


def test_rows_of_a_backend_that_call_themselves_the_source(good: Any) -> None:
    good.edit(with_backend(variant="source", proof="source"))
    found = of(good.judged(), "report")
    assert found.outcome is Outcome.FAIL
    assert "rows of mybackend are of source, no file of the report" in found.saw


def test_a_backend_that_the_baseline_has_and_the_report_has_not(good: Any, tmp_path: Path) -> None:
    before = good.copy(tmp_path / "before")
    before.edit(with_backend())
    assert before.judged().exit_code == 0
    found = of(good.judged(before.report), "complete")
    assert found.outcome is Outcome.FAIL
    assert "mybackend ran it in the baseline" in found.saw
