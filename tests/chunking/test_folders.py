import errno
import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.chunking.folders import folder_lock
from trufor_onnx.errors import StorageError


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
