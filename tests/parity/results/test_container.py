"""The file format: what was written comes back, and nothing else is taken for it."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trufor_onnx.documents import canonical
from trufor_onnx.parity.results.container import (
    END,
    LARGEST_INDEX,
    START,
    TAIL_BYTES,
    Container,
    ContainerError,
    StoredEntry,
    write_container,
)

ENTRIES = [
    StoredEntry(
        {"what": "a"}, {"said": 1}, {"x": np.arange(6.0).reshape(2, 3), "y": np.ones(3, "f4")}
    ),
    StoredEntry({"what": "b"}, {}, {"z": np.zeros((0, 4), np.float32)}),
    StoredEntry({"what": "c"}, {"only": "a document"}, {}),
]


def written(entries: list[StoredEntry] | None = None) -> bytes:
    stream = io.BytesIO()
    write_container(stream, ENTRIES if entries is None else entries)
    return stream.getvalue()


def with_index(document: object, payload: bytes = b"") -> bytes:
    """A file that is whole but for what its index says."""
    index = canonical(document).encode()
    tail = len(index).to_bytes(8, "little") + sha256(index).digest() + END
    return START + payload + index + tail


def read(path: Path, data: bytes) -> list[dict[str, Any]]:
    path.write_bytes(data)
    with Container(path) as container:
        return [container.read(item) for item in container.items]


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.ref"
    path.write_bytes(written())
    with Container(path) as container:
        for item, entry in zip(container.items, ENTRIES, strict=True):
            assert (item.key, item.document) == (entry.key, entry.document)
            found = container.read(item)
            assert list(found) == list(entry.arrays)
            for name, array in entry.arrays.items():
                assert found[name].dtype == array.dtype
                assert np.array_equal(found[name], array)
                assert found[name].shape == array.shape


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=4),
    )
)
def test_any_array_comes_back_bit_for_bit(array: np.ndarray) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (found,) = read(Path(folder) / "x", written([StoredEntry({}, {}, {"x": array})]))
    assert found["x"].tobytes() == array.tobytes()
    assert found["x"].shape == array.shape


def test_the_same_entries_give_the_same_bytes() -> None:
    assert written() == written()
    strided = StoredEntry({"what": "a"}, {}, {"x": np.arange(12.0).reshape(3, 4).T})
    straight = StoredEntry({"what": "a"}, {}, {"x": np.ascontiguousarray(strided.arrays["x"])})
    assert written([strided]) == written([straight])


@pytest.mark.parametrize("dtype", ["object", "complex64", "complex128", "S3", "M8[s]"])
def test_other_kinds_of_arrays_are_never_written(dtype: str) -> None:
    with pytest.raises(ContainerError, match="which is not compared"):
        written([StoredEntry({}, {}, {"x": np.zeros(2).astype(dtype)})])


def test_a_truth_value_that_is_none_is_damage(tmp_path: Path) -> None:
    whole = written([StoredEntry({}, {}, {"x": np.array([True, False])})])
    assert list(read(tmp_path / "x", whole)[0]["x"]) == [True, False]
    index = {
        "version": 1,
        "entries": [
            {
                "key": {},
                "document": {},
                "arrays": [
                    {
                        "name": "x",
                        "dtype": "bool",
                        "shape": [2],
                        "sha256": sha256(b"\x01\x07").hexdigest(),
                    }
                ],
            }
        ],
    }
    with pytest.raises(ContainerError, match="neither true nor false"):
        read(tmp_path / "x", with_index(index, b"\x01\x07"))


def test_every_cut_is_found(tmp_path: Path) -> None:
    whole = written()
    for length in range(len(whole)):
        with pytest.raises(ContainerError) as caught:
            read(tmp_path / "x", whole[:length])
        assert "parity reference" in caught.value.hint


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    whole = bytearray(written())
    for position in range(len(whole)):
        whole[position] ^= 1
        with pytest.raises(ContainerError):
            read(tmp_path / "x", bytes(whole))
        whole[position] ^= 1
    assert len(read(tmp_path / "x", bytes(whole))) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "object"},
        {"dtype": "|O"},
        {"shape": [1 << 62]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [-1]},
        {"shape": [True]},
        {"shape": [1.0]},
        {"shape": "1"},
        {"shape": [0] * 9},
        {"name": 3},
        {"sha256": None},
    ],
)
def test_a_hostile_index_is_refused_before_memory_is_given(
    tmp_path: Path, change: dict[str, object]
) -> None:
    payload = np.zeros(1, "<f8").tobytes()
    array = {"name": "x", "dtype": "float64", "shape": [1], "sha256": sha256(payload).hexdigest()}

    def index(array: dict[str, Any]) -> dict[str, Any]:
        return {"version": 1, "entries": [{"key": {}, "document": {}, "arrays": [array]}]}

    assert read(tmp_path / "x", with_index(index(array), payload))
    with pytest.raises(ContainerError):
        read(tmp_path / "x", with_index(index(array | change), payload))


@pytest.mark.parametrize(
    "index",
    [
        None,
        [],
        {},
        {"version": 2, "entries": []},
        {"version": 1, "entries": 5},
        {"version": 1, "entries": [{"key": {}, "document": {}}]},
        {"version": 1, "entries": [{"key": 1, "document": {}, "arrays": []}]},
        {"version": 1, "entries": [{"key": {}, "document": None, "arrays": []}]},
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, index: object) -> None:
    with pytest.raises(ContainerError):
        read(tmp_path / "x", with_index(index))


def test_a_length_beyond_the_file_is_refused(tmp_path: Path) -> None:
    for length in (1 << 63, LARGEST_INDEX + 1, 10_000):
        tail = length.to_bytes(8, "little") + bytes(32) + END
        with pytest.raises(ContainerError, match="cut off"):
            read(tmp_path / "x", START + tail)
    assert TAIL_BYTES == 48


def test_bytes_that_no_array_covers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="other sizes"):
        read(tmp_path / "x", with_index({"version": 1, "entries": []}, b"hidden"))


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "none", tmp_path / "pipe"):
        with pytest.raises(ContainerError, match="cannot be read"):
            Container(path)


def test_the_index_is_plain_json() -> None:
    data = written()
    length = int.from_bytes(data[-TAIL_BYTES:][:8], "little")
    index = json.loads(data[-TAIL_BYTES - length : -TAIL_BYTES])
    assert index["entries"][0]["arrays"][0]["shape"] == [2, 3]
