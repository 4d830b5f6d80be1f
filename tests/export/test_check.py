"""A rebuild says: the same bytes, other bytes and where, or why it cannot compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from trufor_onnx.errors import ExportError, LockError
from trufor_onnx.export import check
from trufor_onnx.export.build import ExportedFile, export_model
from trufor_onnx.export.check import Checked, check_file, exit_code, locked_files
from trufor_onnx.export.graph.finish import toolchain
from trufor_onnx.export.lock import lock_path, read_lock, write_lock
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import stand_in_weights

Specs = dict[str, ModelSpec]
NO_CHOICE = WeightsSource()

pytestmark = pytest.mark.usefixtures("tiny_registry")


@pytest.fixture
def exported(tiny: Specs, tmp_path: Path) -> ExportedFile:
    return export_model(tiny["noiseprint_pp"], WeightsSource(stand_in="s"), tmp_path)


@pytest.fixture
def edit(exported: ExportedFile) -> Callable[[Callable[[dict[str, Any]], None]], None]:
    """Change the lock by hand."""

    def change(by: Callable[[dict[str, Any]], None]) -> None:
        document = json.loads(lock_path(exported.path).read_bytes())
        by(document)
        write_lock(exported.path, document)

    return change


def test_the_same_bytes(exported: ExportedFile) -> None:
    before = {path: path.read_bytes() for path in exported.path.parent.iterdir()}
    told: list[str] = []
    finding = check_file(exported.path, NO_CHOICE, stage=told.append)
    assert finding.outcome == 0
    assert finding.sentence == (f"noiseprint_pp.lock.json: the same bytes, {exported.sha256[:16]}")
    assert {path: path.read_bytes() for path in exported.path.parent.iterdir()} == before
    assert "tracing" in told


def test_only_the_lock_need_be_there(exported: ExportedFile) -> None:
    exported.path.unlink()
    assert check_file(exported.path, NO_CHOICE).outcome == 0


def test_a_different_initializer_is_named(exported: ExportedFile, edit: Any) -> None:
    def change(document: dict[str, Any]) -> None:
        entry = next(e for e in document["initializers"] if e["name"] == "2.folded_weight")
        entry["sha256"] = "0" * 64
        document["file"]["sha256"] = "1" * 64

    exported.path.unlink()
    edit(change)
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 1
    assert finding.sentence == (
        "noiseprint_pp.lock.json: DIFFERENT bytes from the same toolchain: initializers "
        "2.folded_weight"
    )


def first_initializer(document: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = document["initializers"][0]
    return entry


@pytest.mark.parametrize("key", ["sha256", "transform", "sources", "shape"])
def test_a_lock_whose_entry_was_changed_by_hand(
    exported: ExportedFile, edit: Any, key: str
) -> None:
    names: list[str] = []

    def change(document: dict[str, Any]) -> None:
        entry = first_initializer(document)
        names.append(entry["name"])
        entry[key] = ["strange"] if isinstance(entry[key], list) else "strange"

    edit(change)
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 1
    assert f"initializers {names[0]}" in finding.sentence


def test_an_initializer_too_many_and_one_too_few(exported: ExportedFile, edit: Any) -> None:
    def change(document: dict[str, Any]) -> None:
        first_initializer(document)["name"] = "renamed"

    edit(change)
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 1
    assert "renamed" in finding.sentence


def test_another_graph(exported: ExportedFile, edit: Any) -> None:
    edit(lambda document: document["file"].update(sha256="0" * 64, size_bytes=1))
    exported.path.unlink()
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 1
    assert "the graph; no initializer differs" in finding.sentence


def test_a_lock_that_says_other_things_of_the_same_file(exported: ExportedFile, edit: Any) -> None:
    edit(lambda document: document.update(title="Something else", least_size=7))
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 1
    assert "DIFFERENT lock, though the file is the same: least_size, title" in finding.sentence


def test_another_toolchain(exported: ExportedFile, edit: Any) -> None:
    edit(lambda document: document["toolchain"].update(torch="2.0.0"))
    edit(lambda document: document["file"].update(sha256="0" * 64))
    exported.path.unlink()
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 2
    assert f"torch {toolchain()['torch']} (locked 2.0.0)" in finding.sentence
    assert "constraints.txt" in finding.sentence


def test_another_network_version(exported: ExportedFile, edit: Any) -> None:
    edit(lambda document: document.update(network_version="0"))
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 2
    assert "locked at network version 0, this is version 1" in finding.sentence


def test_another_seed_in_the_lock(exported: ExportedFile, edit: Any) -> None:
    """The lock claims a seed that it was not made from."""
    edit(lambda document: document["weights"].update(seed="other"))
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 1
    assert "initializers 0.bias, 0.weight" in finding.sentence


def test_the_file_beside_the_lock(exported: ExportedFile) -> None:
    proto = onnx.load(exported.path)
    proto.producer_name = "somebody else"
    exported.path.write_bytes(proto.SerializeToString())
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 1
    assert "noiseprint_pp.onnx beside it is not the file that it locks" in finding.sentence


def test_a_lock_under_another_name(exported: ExportedFile) -> None:
    other = exported.path.with_name("trufor.onnx")
    lock_path(exported.path).rename(lock_path(other))
    finding = check_file(other, NO_CHOICE)
    assert finding.outcome == 1
    assert "is the lock of noiseprint_pp, under another name" in finding.sentence


def test_locks_of_a_checkpoint(tiny: Specs, tmp_path: Path) -> None:
    spec = tiny["noiseprint_pp"]
    path = tmp_path / "noiseprint++.th"
    torch.save(dict(stand_in_weights(spec, spec.build(), "trained").tensors), path)
    exported = export_model(spec, WeightsSource(path), tmp_path / "out")
    assert check_file(exported.path, WeightsSource(path)).outcome == 0
    finding = check_file(exported.path, NO_CHOICE)
    assert finding.outcome == 2
    assert "locked with noiseprint++.th (" in finding.sentence
    assert "rebuilt with stand-in weights (seed golden) (" in finding.sentence
    assert "other weights in 0.bias, 0.weight" in finding.sentence
    assert "--weights" in finding.sentence


def test_locked_files(exported: ExportedFile, tmp_path: Path) -> None:
    assert locked_files(tmp_path, []) == [exported.path]
    assert locked_files(tmp_path, ["noiseprint_pp"]) == [exported.path]
    with pytest.raises(ExportError, match=r"no lock file in .*: mit_b2\.lock\.json"):
        locked_files(tmp_path, ["noiseprint_pp", "mit_b2"])
    with pytest.raises(ExportError, match=r"no lock file in .*: \*\.lock\.json"):
        locked_files(tmp_path / "empty", [])
    with pytest.raises(ExportError, match="no network is called"):
        locked_files(tmp_path, ["nothing"])


def test_no_lock_and_no_readable_one(exported: ExportedFile) -> None:
    lock_path(exported.path).write_text("{}")
    with pytest.raises(LockError):
        check_file(exported.path, NO_CHOICE)
    lock_path(exported.path).unlink()
    with pytest.raises(ExportError, match="no lock file in"):
        check_file(exported.path, NO_CHOICE)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [([0, 0], 0), ([0, 1], 1), ([2, 1, 0], 1), ([0, 2], 2), ([2], 2), ([], 2)],
)
def test_exit_code(outcomes: list[int], expected: int) -> None:
    assert exit_code(Checked(outcome, "") for outcome in outcomes) == expected


def test_a_long_list_of_initializers_is_cut(exported: ExportedFile, edit: Any) -> None:
    def change(document: dict[str, Any]) -> None:
        for entry in document["initializers"]:
            entry["sha256"] = "0" * 64

    edit(change)
    locked = read_lock(exported.path)
    assert locked is not None
    count = len(locked["initializers"])
    assert f"and {count - check.SHOWN} more" in check_file(exported.path, NO_CHOICE).sentence
