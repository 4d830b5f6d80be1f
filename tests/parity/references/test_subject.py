"""What is judged, with which weights, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.references.subject import Subject, make_subject
from trufor_onnx.parity.results.rows import PROVEN, REFUTED, UNPROVEN

GOLDEN = WeightsSource(stand_in="golden")


def subject(name: str = "tiny_np", source: WeightsSource = GOLDEN, **changes: Any) -> Subject:
    given: dict[str, Any] = {"candidates": {}, "folder": Path("onnx_models")}
    return make_subject(name, source, **given | changes)


pytestmark = pytest.mark.usefixtures("tiny")


def test_an_exported_file_is_judged_where_it_is(exported: Callable[[str], Path]) -> None:
    path = exported("tiny_np")
    found = subject(folder=path.parent)
    assert (found.candidates[0].path, found.candidates[0].identity.proof) == (path, PROVEN)
    assert found.preprocessing == found.spec.preprocessing
    assert found.network.extractor is None


def test_a_file_that_is_not_there_is_exported(
    monkeypatch: pytest.MonkeyPatch, exported_once: Callable[[str], Path], tmp_path: Path
) -> None:
    made = []

    def export(spec: ModelSpec, source: WeightsSource, folder: Path) -> SimpleNamespace:
        made.append((spec.name, source, folder))
        folder.mkdir()
        for suffix in (".onnx", ".lock.json"):
            content = exported_once("tiny_np").with_suffix(suffix).read_bytes()
            (folder / "tiny_np").with_suffix(suffix).write_bytes(content)
        return SimpleNamespace(warnings=("it decides in Python",))

    monkeypatch.setattr("trufor_onnx.parity.references.subject.export_model", export)
    said: list[str] = []
    found = subject(folder=tmp_path / "new", say=said.append)
    assert made == [("tiny_np", GOLDEN, tmp_path / "new")]
    assert found.candidates[0].identity.proof == PROVEN
    assert any("not there: exporting it" in text for text in said)
    assert "warning: it decides in Python" in said


@pytest.mark.parametrize("variant", ["portable", "ort"])
def test_a_file_in_pieces_is_merged_not_exported(
    variant: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr("trufor_onnx.parity.references.subject.export_model")
    stem = "tiny_np" if variant == "portable" else "tiny_np.ort"
    (tmp_path / f"{stem}.chunks").mkdir()
    with pytest.raises(ParityError, match="its pieces are") as caught:
        subject(folder=tmp_path, variants=(variant,))
    assert "python -m chunking merge" in caught.value.hint


def test_a_pointer_is_pulled_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "tiny_np.onnx"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    for given in ({"folder": tmp_path}, {"candidates": {"tiny_np": path}}):
        with pytest.raises(ParityError, match="git-lfs pointer") as caught:
            subject(**given)
        assert caught.value.hint == "git lfs pull"


def test_a_named_file_is_judged_and_never_exported(
    edited: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("trufor_onnx.parity.references.subject.export_model")
    path = edited("tiny_np", lambda _: None)
    found = subject(candidates={"tiny_np": path})
    assert (found.candidates[0].path, found.candidates[0].identity.proof) == (path, UNPROVEN)


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"no file .*gone") as caught:
        subject(candidates={"tiny_np": tmp_path / "gone.onnx"})
    assert "--candidate tiny_np=FILE.onnx" in caught.value.hint


def test_other_weights_than_the_reference_s_are_refuted(exported: Callable[[str], Path]) -> None:
    found = subject(source=WeightsSource(stand_in="other"), folder=exported("tiny_np").parent)
    assert found.candidates[0].identity.proof == REFUTED


def test_an_unknown_network_is_an_error() -> None:
    with pytest.raises(ExportError, match="no network is called 'tiny'"):
        subject("tiny")


@pytest.mark.parametrize("scale", [255.0, 1.0])
def test_another_pixel_scale_is_used_and_reported(
    exported: Callable[[str], Path], scale: float
) -> None:
    found = subject(folder=exported("tiny_np").parent, pixel_scale=scale)
    assert found.preprocessing.scale == scale
    assert found.document()["preprocessing"]["scale"] == scale


@pytest.mark.parametrize("scale", [0.0, -255.0, math.nan, math.inf])
def test_a_pixel_scale_that_cannot_be_is_an_error(
    exported: Callable[[str], Path], scale: float
) -> None:
    with pytest.raises(ParityError, match="--pixel-scale"):
        subject(folder=exported("tiny_np").parent, pixel_scale=scale)


def test_the_second_input_s_weights_are_told_with_their_digest(
    exported: Callable[[str], Path],
) -> None:
    found = subject("tiny_mit", folder=exported("tiny_mit").parent)
    assert found.network.extractor is not None
    told = found.document()["second_input"]["weights"]
    assert told["digest"] == found.network.extractor.weights.digest
    assert told["label"] == "stand-in weights (seed golden)"


def test_the_document_names_weights_file_and_proof(exported: Callable[[str], Path]) -> None:
    document = subject(folder=exported("tiny_np").parent).document()
    assert document["weights"]["label"] == "stand-in weights (seed golden)"
    assert document["proof"] == PROVEN
    assert len(document["file"]["sha256"]) == 64
    assert document["network_version"] == "1"
    assert "second_input" not in document
