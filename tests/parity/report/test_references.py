"""Files and references in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from trufor_onnx.parity.report.sentences import backend_name, file_lines, reference_lines
from trufor_onnx.parity.results.rows import Report


def report(**about: Any) -> Report:
    return Report({}, {"net": about}, (), (), ())


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("portable", "onnxruntime cpu"),
        ("candidate", "onnxruntime cpu"),
        ("ort", "onnxruntime cpu (ort)"),
    ],
)
def test_only_unusual_variants_are_named(make: Any, variant: str, name: str) -> None:
    assert backend_name(make.row(variant=variant)) == name
    assert backend_name(make.group(variant=variant)) == name


def test_counts_that_are_zero_are_not_said() -> None:
    counts = {"from_cache": 48, "from_bundle": 0, "computed": 2, "corrupt": 1}
    (line,) = reference_lines(report(references=counts))
    assert line == "net: references: 48 from cache, 2 computed, 1 corrupt"
    assert reference_lines(report(references=dict.fromkeys(counts, 0))) == []
    assert reference_lines(report()) == []


@pytest.mark.parametrize(("same", "said"), [(True, "on this machine"), (False, "ON ANOTHER")])
def test_a_bundle_s_machine_is_said(same: bool, said: str) -> None:
    bundle = {"sha256": "ab" * 32, "same_machine": same, "made_by": {"torch": "2.13.0"}}
    torch32 = {"processor": "A", "instructions": "AVX2", "threads": 2}
    (line,) = reference_lines(report(bundle=bundle, torch32=torch32))
    assert said in line
    assert "A, AVX2, 2 threads, torch 2.13.0" in line


def test_every_other_file_has_its_line() -> None:
    file = {"name": "net.ort.onnx", "sha256": "cd" * 32}
    variants = {"ort": {"file": file, "proof": "proven"}, "portable": {}}
    (line,) = file_lines(report(variant="portable", variants=variants))
    assert line == "net: net.ort.onnx (cdcdcdcdcdcdcdcd): proven"
