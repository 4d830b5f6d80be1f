"""A release ships what its networks compute; another network's bundle is no part of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trufor_onnx.documents import DIGEST, digest_of
from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.judge import judge
from trufor_onnx.parity.release.assemble import Order, assemble
from trufor_onnx.parity.release.verify import verify_release
from trufor_onnx.parity.results import release_layout as layout
from trufor_onnx.parity.results.container import StoredEntry, write_container
from trufor_onnx.parity.results.findings import Outcome
from trufor_onnx.parity.results.release_layout import encode, parse
from trufor_onnx.parity.results.sketch import sketch

Prepare = Callable[..., Order]


def write_bundle(path: Path, *, factor: float = 1.0, version: str = "1", pictures: int = 3) -> Path:
    """A bundle of ``net`` on some pictures."""
    entries = []
    for number in range(pictures):
        what = {
            "kind": "float64",
            "network": {"model": "net", "version": version},
            "weights": "d" * 64,
            "pixels": {"sha256": f"{number:064x}", "shape": [1, 4, 4, 3]},
            "second_input": None,
        }
        array = np.arange(16.0).reshape(1, 4, 4) + number
        entries.append(StoredEntry({"what": what, "made_by": {}}, {}, {"map": array * factor}))
    with path.open("wb") as stream:
        write_container(stream, entries)
    return path


@pytest.fixture
def recorded(order: Prepare) -> Prepare:
    """What to release, its report saying what the network computes."""

    def prepare(version: str = "1.0", **changes: Any) -> Order:
        given = order(version, **changes)
        document = json.loads(given.report.read_text())
        document["models"]["net"]["reference_network"] = {
            "model": "net",
            "version": "1",
            "weights": "d" * 64,
            "second_input": None,
        }
        rows = [row for row in document["rows"] if row["backend"] == "torch32"]
        for number, row in enumerate(rows):
            array = np.arange(16.0).reshape(1, 4, 4) + number
            row["sketch"] = {"pixels": f"{number:064x}", **sketch(array)}
        document[DIGEST] = digest_of(document)
        given.report.write_text(json.dumps(document))
        return given

    return prepare


def test_the_bundle_beside_the_report_is_shipped_and_verified(
    recorded: Prepare, tmp_path: Path
) -> None:
    given = recorded()
    bundle = write_bundle(given.report.with_name(layout.REFERENCES))
    folder = assemble(given).folder
    assert folder is not None
    assert (folder / layout.REFERENCES).read_bytes() == bundle.read_bytes()
    assert layout.REFERENCES in parse((folder / layout.SUMS).read_bytes(), layout.SUMS)[0]
    assert verify_release(folder, "1.0").problems == ()
    evidence = gather(given.report, models_dir=given.models_dir, baselines=[folder])
    decision = judge(evidence, given.policy)
    (found,) = [finding for finding in decision.findings if finding.rule == "references"]
    assert found.outcome is Outcome.PASS, found
    assert len(evidence.outputs) == 2
    assert tmp_path in folder.parents


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"factor": 1.001}, "not the outputs of the report"),
        ({"version": "2"}, "no outputs of version 1 with these weights; it has version 2"),
        ({"pictures": 0}, "it has none"),
    ],
    ids=["another network", "another version", "empty"],
)
def test_a_bundle_that_is_not_of_the_report_is_refused(
    recorded: Prepare, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    bundle = write_bundle(tmp_path / "other.bundle", **changes)
    given = replace(recorded(), references=bundle)
    with pytest.raises(ParityError, match="not the references of this report") as error:
        assemble(given)
    assert why in str(error.value)
    assert not given.out.exists()


def test_another_bundle_in_a_release_is_named(recorded: Prepare, tmp_path: Path) -> None:
    """With its checksum made anew, as who changes a release can."""
    given = replace(recorded(), references=write_bundle(tmp_path / "right.bundle"))
    folder = assemble(given).folder
    assert folder is not None
    write_bundle(folder / layout.REFERENCES, factor=1.001)
    listed, _ = parse((folder / layout.SUMS).read_bytes(), layout.SUMS)
    changed = {**listed, layout.REFERENCES: sha256_file(folder / layout.REFERENCES)}
    (folder / layout.SUMS).write_bytes(encode(changed))
    problems = verify_release(folder, "1.0").problems
    assert any("references.bundle: net: not the outputs of the report" in p for p in problems)
