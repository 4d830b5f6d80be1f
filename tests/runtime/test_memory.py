"""Is there memory? Asked of the system and of the container, with both numbers in the refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from trufor_onnx.runtime import OutOfMemoryError
from trufor_onnx.runtime import detector as memory
from trufor_onnx.runtime.detector import available, estimate, require_memory

GIB = 1 << 30


def test_the_portable_file_grows_with_the_square() -> None:
    assert estimate(4000, 3000, "portable") > 20 * estimate(1000, 1000, "portable")
    assert estimate(4000, 3000, "ort") == pytest.approx(12 * estimate(1000, 1000, "ort"))


def test_a_refusal_names_both_numbers_and_the_way_out() -> None:
    with pytest.raises(OutOfMemoryError, match=r"about \d+\.\d GiB .*; 4\.0 GiB are free") as told:
        require_memory(3000, 4000, "portable", 4 * GIB)
    assert "--variant ort" in told.value.hint
    with pytest.raises(OutOfMemoryError) as told:
        require_memory(30_000, 40_000, "ort", 4 * GIB)
    assert "never resize" in told.value.hint


def test_what_fits_is_let_through() -> None:
    require_memory(256, 256, "portable", GIB)
    require_memory(256, 256, "portable", None)


def container(folder: Path, limit: str) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{3 * GIB}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {GIB}\n")


def test_a_container_with_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 99 kB\nMemAvailable:   8388608 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert available() == 8 * GIB
    container(tmp_path, "max")
    assert available() == 8 * GIB
    container(tmp_path, str(4 * GIB))
    assert available() == 2 * GIB


def test_a_system_that_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "absent")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert available() is None
    require_memory(30_000, 40_000, "portable", None)
