"""Arrays of anybody's files: numbers by name, and nothing else."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from trufor_onnx import arrays
from trufor_onnx.arrays import ONLY, read_arrays
from trufor_onnx.errors import UserError

GIVEN = {"ids": np.arange(6).reshape(2, 3), "mask": np.ones((2, 3), np.float32)}


def test_each_kind_of_file_gives_what_was_written(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **GIVEN)
    save_file(GIVEN, tmp_path / "a.safetensors")
    np.save(tmp_path / "a.npy", GIVEN["ids"])
    digests = set()
    for name in ("a.npz", "a.safetensors"):
        found, digest = read_arrays(tmp_path / name)
        digests.add(digest)
        assert found.keys() == GIVEN.keys()
        assert all(np.array_equal(found[key], GIVEN[key]) for key in GIVEN)
    found, digest = read_arrays(tmp_path / "a.npy")
    assert np.array_equal(found[ONLY], GIVEN["ids"])
    assert len({*digests, digest}) == 3


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npz", b"no zip"),
        ("a.npy", b""),
        ("a.npy", pickled()),
        ("a.safetensors", b"\xff" * 30),
        ("text.npy", None),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        np.save(path, np.array(["words"]))
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match="arrays") as refusal:
        read_arrays(path)
    assert refusal.value.hint
    with pytest.raises(UserError):
        read_arrays(tmp_path / "none.npz")


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.npy", bytes(100_000))
    monkeypatch.setattr(arrays, "LARGEST", 10_000)
    with pytest.raises(UserError, match="unpacked"):
        read_arrays(path)
