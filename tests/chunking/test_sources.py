from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from trufor_onnx.chunking import split
from trufor_onnx.chunking.sources import JoinedPieces, opened
from trufor_onnx.errors import FramingError, StorageError, UnsafeFileError


@pytest.fixture
def data(make_bytes: Callable[[int], bytes]) -> bytes:
    return make_bytes(1000)


@pytest.fixture
def joined(tmp_path: Path, data: bytes) -> Iterator[JoinedPieces]:
    (tmp_path / "file").write_bytes(data)
    result = split(tmp_path / "file", target=100, maximum=100)
    with closing(JoinedPieces(result.folder, result.manifest)) as source:
        yield source


@pytest.mark.parametrize(
    ("offset", "count"), [(0, 1000), (0, 100), (99, 2), (150, 700), (999, 5), (1000, 1), (0, 0)]
)
def test_pieces_read_like_the_file(joined: JoinedPieces, data: bytes, offset: int, count: int):
    assert joined.size == 1000
    assert joined.read_at(offset, count) == data[offset : offset + count]


def test_gap(joined: JoinedPieces, tmp_path: Path, data: bytes, open_files: Callable[[], int]):
    missing = tmp_path / "file.chunks" / joined._pieces[3].file_name
    content = missing.read_bytes()
    missing.unlink()
    before = open_files()
    with pytest.raises(FramingError, match="piece 3 cannot be read"):
        joined.read_at(250, 100)
    missing.symlink_to("/etc/passwd")
    with pytest.raises(FramingError, match="piece 3 cannot be read"):
        joined.read_at(300, 1)
    missing.unlink()
    missing.write_bytes(content[:40])
    with pytest.raises(FramingError, match="piece 3 is too short"):
        joined.read_at(330, 20)
    assert joined.read_at(330, 10) == data[330:340]
    joined.close()
    assert open_files() == before


def test_open_for_the_block_only(tmp_path: Path, open_files: Callable[[], int]):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    before = open_files()
    with opened(path) as source:
        assert (source.path, source.size) == (path, 7)
    assert open_files() == before
    with pytest.raises(StorageError, match="No such file"), opened(tmp_path / "none"):
        pass
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(UnsafeFileError), opened(tmp_path / "link"):
        pass
    with opened(tmp_path / "link", follow_link=True) as source:
        assert source.size == 7
