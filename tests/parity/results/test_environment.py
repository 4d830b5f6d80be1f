"""A report says what it was made on; large arrays take few page faults."""

from __future__ import annotations

import getpass
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trufor_onnx.parity.results import environment as module
from trufor_onnx.parity.results.environment import VARIABLE, environment, processor, use_huge_pages
from trufor_onnx.sessions import onnxruntime_wheel, package_version

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
COUNT = """
import resource, sys
from trufor_onnx.parity.results.environment import use_huge_pages
if sys.argv[1] == "huge":
    use_huge_pages()
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(6_000_000, dtype=torch.float64)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


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


WHEELS = {
    "onnxruntime-gpu": "1.33.0",
    "onnxruntime-openvino": "1.24.1",
    "onnxruntime-directml": "1.24.4",
    "ort-nightly": "1.34.0.dev20260101",
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a wheel that provides the onnxruntime module before all others."""

    def put(name: str, version: str, *, says: bool = True, beside: str = "") -> None:
        capi = tmp_path / "site/onnxruntime/capi"
        capi.mkdir(parents=True)
        (capi.parent / "__init__.py").touch()
        if says:
            info = f"package_name = '{name}'\n__version__ = '{version}'\n"
            (capi / "build_and_package_info.py").write_text(info)
        for dist, number in ((name, version), (beside, "1.0")):
            if dist:
                folder = tmp_path / f"site/{dist.replace('-', '_')}-{number}.dist-info"
                folder.mkdir()
                (folder / "METADATA").write_text(f"Name: {dist}\nVersion: {number}\n")
                (folder / "top_level.txt").write_text("onnxruntime\n")
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
        onnxruntime_wheel.cache_clear()

    yield put
    onnxruntime_wheel.cache_clear()


@pytest.mark.parametrize("name", WHEELS)
def test_onnxruntime_under_another_wheel_s_name(wheel: Callable[..., None], name: str) -> None:
    wheel(name, WHEELS[name])
    found = environment(threads=0, settings={})["packages"]
    shown = {
        k: v for k, v in found.items() if k.startswith(("onnxruntime", "ort")) and v != "absent"
    }
    assert shown == {name: WHEELS[name]}
    assert package_version("onnxruntime") == WHEELS[name]


def test_of_two_wheels_the_one_whose_module_it_is(wheel: Callable[..., None]) -> None:
    wheel("onnxruntime-gpu", "1.33.0", beside="onnxruntime")
    found = environment(threads=0, settings={})["packages"]
    assert (found["onnxruntime-gpu"], found["onnxruntime"]) == ("1.33.0", "absent")


def test_a_wheel_that_does_not_say_its_name(wheel: Callable[..., None]) -> None:
    wheel("onnxruntime-gpu", "1.33.0", says=False)
    assert "1.33.0" in onnxruntime_wheel()


def test_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime_wheel.cache_clear()
    monkeypatch.setattr("trufor_onnx.sessions.find_spec", lambda _: None)
    assert onnxruntime_wheel() == ("onnxruntime", "absent")
    onnxruntime_wheel.cache_clear()


@pytest.mark.skipif(
    not SETTING.is_file() or "[madvise]" not in SETTING.read_text(),
    reason="this system gives huge pages always or never",
)
def test_large_arrays_take_few_page_faults() -> None:
    huge, plain = (_faults(mode) for mode in ("huge", "plain"))
    assert plain > 50_000  # 240 MB in pages of 4 KiB are 58,600
    assert huge < plain / 2  # fewer where memory is in pieces


def _faults(mode: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-c", COUNT, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


def test_the_user_s_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    use_huge_pages()
    assert os.environ[VARIABLE] == "0"
    monkeypatch.delenv(VARIABLE)
    use_huge_pages()
    assert os.environ[VARIABLE] == "1"
