"""A lock comes back as it was written, and whatever else lies there is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trufor_onnx.documents import canonical
from trufor_onnx.errors import LockError
from trufor_onnx.export.build import Built
from trufor_onnx.export.lock import (
    LARGEST_LOCK,
    LOCK_VERSION,
    encode,
    file_entry,
    lock_path,
    read_lock,
    write_lock,
)


@pytest.fixture
def document(built: Callable[..., Built]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(built("noiseprint_pp").document))
    return copy


def put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "m.onnx"
    lock_path(path).write_bytes(data)
    return path


def test_round_trip(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "m.onnx"
    written = write_lock(path, document)
    assert written == tmp_path / "m.lock.json"
    assert read_lock(path) == document
    assert written.read_bytes() == encode(document)


def test_one_document_has_one_encoding(document: dict[str, Any]) -> None:
    backwards = dict(reversed(document.items()))
    assert encode(backwards) == encode(document)
    text = encode(document).decode("ascii")
    assert json.loads(text) == document
    assert text.endswith("\n")
    for entry in document["initializers"]:  # a line each: a change shows as one line
        assert f"\n  {canonical(entry)}" in text


def test_nan_is_never_written(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode({**document, "least_size": float("nan")})


def test_names_with_dots() -> None:
    assert lock_path(Path("x/timm_resnet18.a1_in1k.onnx")) == Path(
        "x/timm_resnet18.a1_in1k.lock.json"
    )


def test_no_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "m.onnx") is None
    (tmp_path / "m.lock.json").mkdir()
    assert read_lock(tmp_path / "m.onnx") is None


def test_the_files_entry(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"abc")
    assert file_entry(path) == {
        "name": "m.onnx",
        "size_bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        b"<<<<<<< HEAD\n",
        b"[" * 100_000,
        b'{"lock_version": 1, "lock_version": 1}',
        b"9" * 10_000,
    ],
)
def test_no_lock_file(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(LockError, match=r"m\.lock\.json: not a lock file") as refusal:
        read_lock(put(tmp_path, data))
    assert refusal.value.hint == "export again: python -m export m"


def test_another_version(tmp_path: Path, document: dict[str, Any]) -> None:
    path = put(tmp_path, encode({**document, "lock_version": LOCK_VERSION + 1}))
    with pytest.raises(LockError, match="lock version 2, this tool reads 1"):
        read_lock(path)


def test_too_large(tmp_path: Path) -> None:
    path = put(tmp_path, b"")
    with lock_path(path).open("wb") as stream:
        stream.truncate(LARGEST_LOCK + 1)
    with pytest.raises(LockError, match="too large"):
        read_lock(path)


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        (("file",), None, "file is no object"),
        (("file", "sha256"), 3, "file.sha256 is no str"),
        (("file", "size_bytes"), "3", "file.size_bytes is no int"),
        (("opset",), True, "opset is no int"),
        (("opset",), 17.0, "opset is no int"),
        (("model",), ["trufor"], "model is no str"),
        (("model",), "trufor\x1b[2J", "model is not printable"),
        (("model",), "\ud800", "model is not printable"),
        (("weights", "label"), "a\nb", "weights.label is not printable"),
        (("weights", "seed"), None, "weights.seed is no str"),
        (("toolchain",), [], "toolchain is no object"),
        (("toolchain", "torch"), 2, "toolchain.torch is no str"),
        (("initializers",), {}, "initializers is no list"),
        (("initializers", 1), "w", r"initializers\[1\] is no object"),
        (("initializers", 0, "sha256"), None, r"initializers\[0\].sha256 is no str"),
        (("initializers", 0, "sources"), "w", r"initializers\[0\].sources is no list"),
        (("lock_version",), "1", "lock_version is no int"),
    ],
)
def test_wrong_types(
    place: tuple[Any, ...], value: object, fault: str, tmp_path: Path, document: dict[str, Any]
) -> None:
    inner: Any = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(LockError, match=fault):
        read_lock(put(tmp_path, json.dumps(document).encode()))


@pytest.mark.parametrize("key", ["file", "weights", "initializers", "opset", "variant", "model"])
def test_missing_keys(key: str, tmp_path: Path, document: dict[str, Any]) -> None:
    del document[key]
    with pytest.raises(LockError, match=rf"\({key} is absent\)"):
        read_lock(put(tmp_path, json.dumps(document).encode()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(
    data: st.DataObject, tmp_path: Path, built: Callable[..., Built]
) -> None:
    document: Any = json.loads(json.dumps(built("noiseprint_pp").document))
    inner: Any = document
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        deeper = isinstance(inner[key], dict | list) and inner[key] and data.draw(st.booleans())
        if not deeper:
            inner[key] = data.draw(JSON)
            break
        inner = inner[key]
    path = put(tmp_path, json.dumps(document).encode())
    try:
        assert read_lock(path) == document
    except LockError as refusal:
        assert "m.lock.json" in str(refusal)
