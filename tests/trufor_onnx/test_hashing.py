import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.files import BLOCK_BYTES, sha256_bytes, sha256_file


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_file_and_buffer_agree_with_hashlib(
    tmp_path: Path, make_bytes: Callable[[int], bytes], size: int
):
    data = make_bytes(size)
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_file(tmp_path / "file") == expected
    assert sha256_bytes(memoryview(data)) == expected
