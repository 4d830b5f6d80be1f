"""Which file is used, and what is refused: damaged pieces, other networks, broken locks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from trufor_onnx.chunking import split
from trufor_onnx.runtime import Detector, ModelError
from trufor_onnx.runtime.model_files import HEAD, NOISEPRINT, cache_folder, find_model


def opened(models: Path, **options: Any) -> list[str]:
    """The variants that a detector on this folder uses."""
    with Detector(models, threads=1, **options) as detector:
        return [model.variant for model in detector.provenance.models]


def in_pieces(models: Path, name: str = HEAD) -> Path:
    """Replace a file by a folder of pieces."""
    file = models / f"{name}.onnx"
    folder = split(file, target=8192, maximum=65536).folder
    file.unlink()
    return folder


def edit(path: Path, target: Path | None = None, **metadata: str) -> None:
    """Change the metadata of a file, or of a copy."""
    model = onnx.load(path)
    for entry in model.metadata_props:
        name = entry.key.removeprefix("trufor_onnx.")
        entry.value = metadata.pop(name, entry.value)
    assert not metadata
    onnx.save(model, target or path)


def test_pieces_are_merged_into_the_cache_once(models: Path, draw: Any) -> None:
    image = draw(40, 40)
    with Detector(models, threads=1) as detector:
        expected = detector.analyze(image)
    in_pieces(models)
    with Detector(models, threads=1) as detector:
        found = detector.analyze(image)
    assert found.score == expected.score
    assert found.provenance.models == expected.provenance.models  # the lock was found too
    merged = list(cache_folder().rglob("*.onnx"))
    assert [path.name for path in merged] == ["trufor_head.onnx"]
    before = merged[0].stat()
    opened(models)
    assert merged[0].stat().st_mtime_ns == before.st_mtime_ns


def test_a_damaged_piece_is_refused(models: Path) -> None:
    folder = in_pieces(models)
    piece = sorted(folder.glob("*.chunk"))[0]
    data = bytearray(piece.read_bytes())
    data[len(data) // 2] ^= 1
    piece.write_bytes(data)
    with pytest.raises(ModelError, match="cannot be used") as refusal:
        opened(models)
    assert refusal.value.hint
    assert not list(cache_folder().rglob("*.onnx"))


def test_a_missing_piece_is_refused(models: Path) -> None:
    sorted(in_pieces(models).glob("*.chunk"))[0].unlink()
    with pytest.raises(ModelError, match="cannot be used"):
        opened(models)


def test_a_damaged_cache_is_mended(models: Path) -> None:
    in_pieces(models)
    opened(models)
    merged = next(cache_folder().rglob("*.onnx"))
    data = bytearray(merged.read_bytes())
    data[-100] ^= 1
    merged.write_bytes(data)
    opened(models)
    assert merged.read_bytes() != bytes(data)


def test_a_cache_that_cannot_be_written(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRUFOR_CACHE", str(tmp_path / "file"))
    in_pieces(models)
    with pytest.raises(ModelError, match="the cache cannot be written") as refusal:
        opened(models)
    assert "TRUFOR_CACHE" in refusal.value.hint


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"TRUFOR_CACHE": "/a"}, "/a"), ({"XDG_CACHE_HOME": "/b"}, "/b/trufor-onnx")],
)
def test_where_the_cache_is(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUFOR_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def fused_beside(models: Path) -> Path:
    """A file of the variant ``ort`` beside the portable one."""
    path = models / f"{HEAD}.ort.onnx"
    edit(models / f"{HEAD}.onnx", path, variant="ort")
    return path


def test_the_variant_for_onnxruntime_comes_first(models: Path) -> None:
    fused_beside(models)
    assert opened(models) == ["portable", "ort"]
    assert opened(models, variant="portable") == ["portable", "portable"]
    assert opened(models, variant="ort") == ["portable", "ort"]


def test_an_operator_that_is_not_there_means_the_portable_file(models: Path) -> None:
    path = fused_beside(models)
    model = onnx.load(path)
    model.graph.node[-1].domain = "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    onnx.save(model, path)
    assert opened(models) == ["portable", "portable"]
    with pytest.raises(ModelError, match="lacks an operator"):
        opened(models, variant="ort")


def test_a_damaged_variant_is_not_passed_over(models: Path) -> None:
    path = fused_beside(models)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot load it"):
        opened(models)


@pytest.mark.parametrize("network", [NOISEPRINT, HEAD])
def test_a_missing_file(models: Path, network: str) -> None:
    (models / f"{network}.onnx").unlink()
    with pytest.raises(ModelError, match=f"holds no {network}") as refusal:
        opened(models)
    assert "python -m export" in refusal.value.hint


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder of models"):
        find_model(tmp_path / "absent", HEAD)


def test_a_file_that_its_lock_does_not_describe(models: Path) -> None:
    edit(models / f"{HEAD}.onnx", weights="better weights")
    with pytest.raises(ModelError, match=r"is not the file that trufor_head\.lock\.json describes"):
        opened(models)


@pytest.mark.parametrize("text", ["", "[]", '{"file": {}}', "{" * 99, '{"file": 5}'])
def test_a_lock_that_is_none(models: Path, text: str) -> None:
    (models / f"{HEAD}.lock.json").write_text(text)
    with pytest.raises(ModelError, match="not a lock file"):
        opened(models)


def unlocked(models: Path) -> Path:
    (models / f"{HEAD}.lock.json").unlink()
    return models / f"{HEAD}.onnx"


def test_another_contract_is_refused(models: Path) -> None:
    contract = {
        "channels": "RGB",
        "layout": "NCHW",
        "dtype": "float32",
        "scale": 255.0,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    }
    edit(unlocked(models), preprocessing=json.dumps(contract))
    with pytest.raises(ModelError, match="another contract"):
        opened(models)


def test_another_network_is_refused(models: Path) -> None:
    shutil.copy(models / f"{NOISEPRINT}.onnx", unlocked(models))
    with pytest.raises(ModelError, match="are not those of trufor_head"):
        opened(models)


def test_another_name_is_refused(models: Path) -> None:
    edit(unlocked(models), model="somebody_else")
    with pytest.raises(ModelError, match="holds somebody_else, not trufor_head"):
        opened(models)


def test_a_file_that_says_nothing_of_its_weights(models: Path) -> None:
    path = unlocked(models)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with Detector(models, threads=1) as detector:
        assert detector.provenance.warning.startswith("UNKNOWN WEIGHTS")
        assert "unknown weights" in detector.provenance.weights
        assert not detector.provenance.models[1].locked


def test_trained_weights_have_no_warning(models: Path) -> None:
    for name in (NOISEPRINT, HEAD):
        path = models / f"{name}.onnx"
        (models / f"{name}.lock.json").unlink()
        known = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        origin = json.loads(known["trufor_onnx.provenance"])
        origin["weights"] |= {"stand_in": [], "label": "published weights", "kind": "checkpoint"}
        edit(path, weights="published weights", provenance=json.dumps(origin))
    with Detector(models, threads=1) as detector:
        assert detector.provenance.warning == ""
        assert detector.provenance.weights == "published weights"


def test_one_network_with_stand_in_weights_is_enough_to_warn(models: Path) -> None:
    path = unlocked(models)
    known = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    origin = json.loads(known["trufor_onnx.provenance"])
    origin["weights"] |= {"stand_in": []}
    edit(path, weights="published weights", provenance=json.dumps(origin))
    with Detector(models, threads=1) as detector:
        assert detector.provenance.warning.startswith("STAND-IN")


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x07" * 50])
def test_what_is_no_model(models: Path, data: bytes) -> None:
    unlocked(models).write_bytes(data)
    with pytest.raises(ModelError):
        opened(models)
