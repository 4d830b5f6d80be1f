import errno
import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from trufor_onnx.chunking import split
from trufor_onnx.chunking.folders import JoinedPieces, folder_lock, opened
from trufor_onnx.errors import FramingError, StorageError, UnsafeFileError


def test_many_may_write(tmp_path: Path):
    with folder_lock(tmp_path, exclusive=False), folder_lock(tmp_path, exclusive=False):
        pass


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_nobody_else_while_one_prunes(tmp_path: Path, first: bool, second: bool):
    with folder_lock(tmp_path, exclusive=first):
        with (
            pytest.raises(StorageError, match="another process") as caught,
            folder_lock(tmp_path, exclusive=second),
        ):
            pass
        assert "wait" in caught.value.hint
    with folder_lock(tmp_path, exclusive=second):
        pass


def test_lock_ends_with_a_killed_process(tmp_path: Path):
    code = f"""if True:
        import time
        from pathlib import Path
        from trufor_onnx.chunking.folders import folder_lock
        with folder_lock(Path({str(tmp_path)!r}), exclusive=True):
            print("held", flush=True)
            time.sleep(600)
    """
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(StorageError), folder_lock(tmp_path, exclusive=False):
            pass
        child.kill()
    with folder_lock(tmp_path, exclusive=True):
        pass


def test_disk_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[[int], Callable[..., None]]
):
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    with folder_lock(tmp_path, exclusive=True):
        pass
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match="Input"), folder_lock(tmp_path, exclusive=True):
        pass


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
