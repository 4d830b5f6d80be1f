"""A report says what it was made on, and nothing about who made it."""

from __future__ import annotations

import getpass
import json
import os
import platform
from pathlib import Path

import pytest

from parity import environment as module
from parity.environment import environment, processor


def test_versions_machine_and_settings() -> None:
    found = environment(threads=3, settings={"shapes": True})
    assert found["threads"] == 3
    assert found["shapes"] is True
    assert found["python"] == platform.python_version()
    assert found["logical_processors"] == os.cpu_count()
    assert found["packages"]["numpy"].count(".") >= 1
    assert found["packages"]["onnxruntime-gpu"] == "absent"
    assert found["processor"]


def test_no_host_user_path_or_time_is_told() -> None:
    text = json.dumps(environment(threads=0, settings={}))
    for secret in (platform.node(), str(Path.home()), str(Path.cwd()), getpass.getuser()):
        assert len(secret) < 4 or secret not in text
    assert environment(threads=0, settings={}) == environment(threads=0, settings={})


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor : 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name : other\n", "Some CPU @ 2 GHz"),
        ("processor : 0\n", None),
        (None, None),
    ],
)
def test_the_processor_s_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpuinfo: str | None, expected: str | None
) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)
    monkeypatch.setattr(module, "Path", lambda _: file)
    assert processor() == (expected or platform.processor() or "unknown")
