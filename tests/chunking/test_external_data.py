"""Tensors in a file beside the model: followed where that is safe, and digested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trufor_onnx.chunking.external_data import (
    ExternalFileError,
    external_files,
    file_document,
    same_files,
    whole_digest,
)
from trufor_onnx.errors import ExportError
from trufor_onnx.export.lock import file_entry


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """``x.onnx`` with one tensor in ``x.onnx.data``; what it says of the place can be changed."""

    def make(**said: str | None) -> Path:
        value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [300])
        tensor = numpy_helper.from_array(np.arange(300, dtype=np.float32), "w")
        node = helper.make_node("Identity", ["w"], ["y"])
        proto = helper.make_model(helper.make_graph([node], "g", [], [value], [tensor]))
        path = tmp_path / "x.onnx"
        onnx.save(proto, path, save_as_external_data=True, location="x.onnx.data", size_threshold=0)
        if said:
            proto = onnx.load(path, load_external_data=False)
            tensor = proto.graph.initializer[0]
            found = {entry.key: entry.value for entry in tensor.external_data} | said
            del tensor.external_data[:]
            for key, text in found.items():
                if text is not None:
                    tensor.external_data.add(key=key, value=text)
            path.write_bytes(proto.SerializeToString())
        return path

    return make


def test_the_digest_covers_both_files(save: Callable[..., Path]) -> None:
    path = save()
    before = file_entry(path)
    assert [entry["name"] for entry in before["external"]] == ["x.onnx.data"]
    data = path.with_name("x.onnx.data")
    changed = bytearray(data.read_bytes())
    changed[5] ^= 1
    data.write_bytes(changed)
    after = file_entry(path)
    assert after["sha256"] == before["sha256"]
    assert not same_files(after, before)
    assert whole_digest(after) != whole_digest(before)


def test_a_file_alone_has_its_own_digest(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"anything")
    document = file_document(path, {})
    assert whole_digest(document) == document["sha256"]
    assert "external" not in document


@pytest.mark.parametrize(
    "location", ["../x.data", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "c:x", "x\0y"]
)
def test_only_a_plain_name_is_followed(save: Callable[..., Path], location: str) -> None:
    with pytest.raises(ExportError, match="is no file of the same folder"):
        external_files(save(location=location))


@pytest.mark.parametrize(
    "said",
    [{"offset": "1201"}, {"length": "1204"}, {"offset": "4", "length": "1200"}],
)
def test_a_place_beyond_the_end_is_refused(save: Callable[..., Path], said: dict[str, str]) -> None:
    with pytest.raises(ExportError, match=r"beyond the end of x\.onnx\.data"):
        external_files(save(**said))


@pytest.mark.parametrize("said", [{"offset": "-1"}, {"length": "1e3"}, {"offset": "٣"}])
def test_a_place_that_is_no_number_is_refused(
    save: Callable[..., Path], said: dict[str, str]
) -> None:
    with pytest.raises(ExportError, match="begins at"):
        external_files(save(**said))


def test_a_missing_file_is_named(save: Callable[..., Path]) -> None:
    path = save()
    path.with_name("x.onnx.data").unlink()
    with pytest.raises(ExternalFileError, match=r"x\.onnx\.data, which is not there") as caught:
        external_files(path)
    assert "put it back" in caught.value.hint


def test_a_link_out_of_the_folder_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    path = save()
    data = path.with_name("x.onnx.data")
    other = tmp_path / "elsewhere"
    other.mkdir()
    data.rename(other / "blob")
    data.symlink_to(other / "blob")
    with pytest.raises(ExternalFileError, match="a link to another folder"):
        external_files(path)
    data.unlink()
    (other / "blob").rename(tmp_path / "blob")
    data.symlink_to(tmp_path / "blob")
    assert external_files(path) == {"x.onnx.data": data}
