"""Peak memory of whole processes: it must not grow with the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.chunking import load

LIMIT_KIB = 64 << 10
# VmHWM is the process's own peak. ru_maxrss would not do: it starts at the peak of the process
# that started this one, here of pytest.
CHILD = """if True:
    import sys
    from pathlib import Path
    from trufor_onnx.chunking.cli import main
    code = main(sys.argv[1:])
    status = Path("/proc/self/status").read_text().split()
    print(status[status.index("VmHWM:") + 1], file=sys.stderr)
    sys.exit(code)
"""


@pytest.fixture
def peak_kib() -> Callable[..., int]:
    def measure(*args: object) -> int:
        command = [sys.executable, "-c", CHILD, *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stderr)

    return measure


@pytest.mark.slow
def test_peak_does_not_grow_with_the_file(tmp_path: Path, peak_kib: Callable[..., int]):
    peaks = {}
    for megabytes in (64, 1024):
        path = tmp_path / f"file{megabytes}"
        with path.open("wb") as stream:
            stream.truncate(megabytes << 20)  # a hole: its pieces are one
        folder, out = tmp_path / f"file{megabytes}.chunks", tmp_path / "out"
        peaks[megabytes] = {
            "split": peak_kib("split", path),
            "merge": peak_kib("merge", folder, "--out", out),
            "merge again": peak_kib("merge", folder, "--out", out),
            "verify": peak_kib("verify", "--full", folder),
            "inspect": peak_kib("inspect", folder),
        }
        out.unlink()
    assert all(peak < LIMIT_KIB for of_size in peaks.values() for peak in of_size.values()), peaks
    for command, peak in peaks[1024].items():
        assert peak < peaks[64][command] + 4096, peaks


@pytest.mark.slow
def test_peak_with_millions_of_fields(tmp_path: Path, peak_kib: Callable[..., int]):
    """Framing that is not trusted: as many fields as fit, and then one too many."""
    for fields, method in ((1_900_000, "tensors"), (4_100_000, "fixed")):
        path = tmp_path / f"net{fields}.onnx"
        graph = b"\x48\x00" * fields  # an unknown number
        length = len(graph)
        size = bytearray()
        while length > 0x7F:
            size.append(length & 0x7F | 0x80)
            length >>= 7
        path.write_bytes(b"\x08\x08\x3a" + bytes([*size, length]) + graph)
        folder = path.with_suffix(".chunks")
        assert peak_kib("split", "--force", path) < LIMIT_KIB  # it has no nodes
        assert load(folder / "manifest.json").chunker.name == method
        assert peak_kib("inspect", folder) < LIMIT_KIB


def test_peak_of_a_small_run(model: Path, peak_kib: Callable[..., int]):
    assert peak_kib("split", model) < LIMIT_KIB
    assert peak_kib("inspect", model.with_suffix(".chunks")) < LIMIT_KIB
