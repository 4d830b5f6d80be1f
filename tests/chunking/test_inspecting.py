from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from trufor_onnx.chunking import ManifestError, inspect, split
from trufor_onnx.chunking import inspecting as tensor_map_module

Make = Callable[..., bytes]


def test_every_tensor_is_in_the_pieces_that_hold_it(model: Path):
    made = split(model, target=9000, maximum=20_000)
    found = inspect(made.folder)
    assert found.gap == ""
    assert found.tensors[0] == found.tensors[-1] == ()  # the head and the tail
    names = [tensor.name for tensor in onnx.load(model).graph.initializer]
    assert [name for names in found.tensors for name in names] == names
    assert found.release_id == made.release_id
    assert found.sharing is None


def test_a_tensor_that_is_cut_is_in_each_of_its_pieces(tmp_path: Path, make_model: Make):
    (tmp_path / "net.onnx").write_bytes(make_model({"a": b"1", "huge": bytes(5000), "b": b"2"}))
    made = split(tmp_path / "net.onnx", target=1000, maximum=1500)
    holders = [index for index, names in enumerate(inspect(made.folder).tensors) if "huge" in names]
    assert len(holders) >= 4
    assert holders == list(range(holders[0], holders[-1] + 1))


def test_other_files_have_no_tensors(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"text" * 100)
    found = inspect(split(tmp_path / "file", target=100).folder)
    assert set(found.tensors) == {()}
    assert found.gap


def test_missing_pieces_leave_a_gap(model: Path):
    made = split(model, target=9000, maximum=20_000)
    (made.folder / made.manifest.chunks[2].file_name).unlink()
    found = inspect(made.folder)
    assert "piece 2" in found.gap
    assert found.tensors[1]
    assert found.tensors[3] == ()


def test_number_of_names_is_bounded(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensor_map_module, "MAX_ENTRIES", 3)
    found = inspect(split(model).folder)
    assert found.gap == "more than 3 tensors"
    assert sum(map(len, found.tensors)) == 3


def test_a_retrained_head_keeps_every_piece_of_the_encoder(
    tmp_path: Path, make_model: Make, make_bytes: Make
):
    encoder = {f"encoder.{index}": make_bytes(1000, f"{index}") for index in range(30)}
    releases = []
    for seed in ("old", "new"):
        decoder = {f"decoder.{index}": make_bytes(1000, f"{seed}{index}") for index in range(8)}
        (tmp_path / seed).mkdir()
        path = tmp_path / seed / "net.onnx"
        path.write_bytes(make_model({**encoder, **decoder}))
        releases.append(split(path, target=3000, maximum=6000))
    older, newer = releases
    found = inspect(newer.folder, against=older.folder)
    assert found.sharing is not None
    assert found.sharing.against == older.release_id
    for names, is_new in zip(found.tensors, found.sharing.is_new, strict=True):
        touched = any(name.startswith("decoder") for name in names)
        assert is_new == touched
    new_bytes = sum(
        piece.size
        for piece, is_new in zip(newer.manifest.chunks, found.sharing.is_new, strict=True)
        if is_new
    )
    assert found.sharing.new_bytes == found.sharing.gone_bytes == new_bytes
    assert found.sharing.shared_bytes == newer.manifest.file.size - new_bytes
    assert found.sharing.new_share == pytest.approx(8 / 38, abs=0.06)


def test_against_itself_and_against_another_file(model: Path, tmp_path: Path):
    made = split(model, target=9000)
    same = inspect(made.folder, against=made.folder / "manifest.json").sharing
    assert same is not None
    assert (same.new_share, same.new_bytes, same.gone_bytes) == (0.0, 0, 0)
    (tmp_path / "file").write_bytes(b"other")
    other = inspect(made.folder, against=split(tmp_path / "file").folder).sharing
    assert other is not None
    assert (other.new_share, other.shared_bytes, other.gone_bytes) == (1.0, 0, 5)


def test_empty_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    made = split(tmp_path / "file")
    found = inspect(made.folder, against=made.folder)
    assert found.sharing is not None
    assert found.sharing.new_share == 0.0
    assert found.tensors == ()


def test_against_nothing(model: Path, tmp_path: Path):
    with pytest.raises(ManifestError):
        inspect(split(model).folder, against=tmp_path)
