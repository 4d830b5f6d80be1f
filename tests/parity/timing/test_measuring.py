"""``python -m parity bench`` from its options to its files, on tiny networks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.cli import main
from trufor_onnx.parity.inputs.cases import ImageFile, fit
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.results.timing import BenchReport, TimingOutcome, read_bench
from trufor_onnx.parity.timing import measuring
from trufor_onnx.parity.timing import measuring as files
from trufor_onnx.parity.timing import measuring as inputs
from trufor_onnx.parity.timing.measuring import find_files, write_inputs
from trufor_onnx.parity.timing.plan import BenchPlan
from trufor_onnx.providers import Provider

FAST = ("--repeats", "5", "--min-seconds", "0", "--threads", "1", "--seed", "1")


@pytest.fixture
def bench(tiny: Any, tmp_path: Path, make_images: Any, monkeypatch: Any) -> Any:
    """Runs the command on tiny networks; gives its exit code and what it wrote."""
    make_images(1)
    for module in (inputs, measuring):
        monkeypatch.setattr(module, "NOISEPRINT_PP", tiny["tiny_np"])

    def run(*words: object) -> tuple[int, BenchReport | None]:
        given = ["bench", *FAST, "--images", "images", "--out", "out", *map(str, words)]
        code = main(given)
        written = tmp_path / "out" / "bench.json"
        return code, read_bench(written) if written.is_file() else None

    return run


def test_two_inputs_two_files_memory_and_the_noise(
    bench: Any, exported: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    candidate, _ = exported("tiny_mit"), exported("tiny_np")
    code, report = bench(
        *("--models", "tiny_mit", "--size", "32x40", "--candidate", f"tiny_mit={candidate}")
    )
    assert code == 0 and report is not None
    assert [row.contestant.name for row in report.latency] == [
        "portable onnxruntime cpu",
        "candidate onnxruntime cpu",
    ]
    base, other = report.latency
    assert (base.height, base.width, base.is_baseline) == (32, 40, True)
    assert other.ratio is not None and other.within_noise is not None
    assert [row.outcome for row in report.memory] == [TimingOutcome.MEASURED] * 2
    assert {file.variant for file in report.files} == {"portable", "candidate"}
    assert len({file.sha256 for file in report.files}) == 1
    assert report.settings["picture"]["name"] == "image_0000.png"
    assert (report.settings["seed"], report.settings["spinning"]) == (1, False)
    printed = capsys.readouterr()
    assert "Latency, warm" in printed.out and "A/A floor" in printed.out
    assert "measured: out/bench.json, out/bench.md" in printed.err


def test_without_memory_and_where_a_device_is_absent(
    bench: Any, exported: Callable[[str], Path]
) -> None:
    exported("tiny_np")
    words = ("--models", "tiny_np", "--size", "16", "--no-memory", "--providers")
    code, report = bench(*words, "auto")
    assert code == 0 and report is not None and report.memory == ()
    outcomes = {row.contestant.provider: row.outcome for row in report.latency}
    assert outcomes == {"cpu": TimingOutcome.MEASURED, "cuda": TimingOutcome.NOT_RUN}
    code, report = bench(*words, "cuda")
    assert code == 2 and report is not None
    assert "CUDAExecutionProvider did not load" in report.latency[0].reason


def test_wrong_usage_writes_nothing(
    bench: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, problem in (
        (("--models", "tiny_mit", "--size", "16"), "16 x 16 pixels are fewer than tiny_mit"),
        (("--models", "none"), "no network is called 'none'"),
        (("--models", "tiny_np", "--candidate", "tiny_np=gone.onnx"), "no file gone.onnx"),
        (("--models", "tiny_np", "--images", "nowhere"), "no folder nowhere"),
        (("--models", "tiny_np", "--variant", "none"), "no variant 'none'"),
    ):
        (tmp_path / "onnx_models").mkdir(exist_ok=True)
        (tmp_path / "onnx_models" / "tiny_np.onnx").touch()
        assert bench(*words) == (2, None)
        assert problem in capsys.readouterr().err


def test_a_file_that_is_missing_is_exported(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = []

    def export(spec: Any, source: Any, folder: Path, *, variant: str) -> None:
        made.append((spec.name, source.stand_in, variant))
        folder.mkdir()
        (folder / f"{spec.name}.{variant}.onnx").write_bytes(b"x")

    monkeypatch.setattr("trufor_onnx.export.build.export_model", export)
    source = WeightsSource(stand_in="golden")
    cpu = (Provider("cpu", required=True),)
    plan = BenchPlan(("tiny_np",), source, cpu, ("plain",), folder=tmp_path / "new")
    for _ in range(2):
        found = find_files(plan, tiny["tiny_np"])
        assert found == {"plain": tmp_path / "new" / "tiny_np.plain.onnx"}
    assert made == [("tiny_np", "golden", "plain")]

    def refuse(*_: object, **__: object) -> None:
        raise ExportError("no weights", hint="get some")

    monkeypatch.setattr("trufor_onnx.export.build.export_model", refuse)
    (tmp_path / "new" / "tiny_np.plain.onnx").unlink()
    with pytest.raises(ExportError, match=r"tiny_np.plain.onnx is not there, and .* no weights"):
        find_files(plan, tiny["tiny_np"])


def test_a_file_that_cannot_be_read_is_an_error(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="cannot be read"):
        files.describe_file(tiny["tiny_np"], "portable", tmp_path / "none.onnx")


def test_the_input_is_a_real_picture_cut_to_size_and_its_noiseprint(
    bench: Any, tiny: Any, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    assert callable(bench)
    (picture,) = find_images(tmp_path / "images")
    assert type(picture) is ImageFile
    out = tmp_path / "inputs.npz"
    count = write_inputs(tiny["tiny_mit"], picture.held(), (33, 70), exported("tiny_np"), out)
    with np.load(out) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    assert {name: array.shape for name, array in found.items()} == {
        "rgb": (1, 3, 33, 70),
        "np": (1, 3, 33, 70),
    }
    assert count == sum(array.nbytes for array in found.values())
    spec = tiny["tiny_mit"]
    mean, std = (
        np.array(v)[:, None, None] for v in (spec.preprocessing.mean, spec.preprocessing.std)
    )
    pixels = fit(picture.load()[0], (33, 70)).transpose(2, 0, 1) / 256.0
    assert np.abs(found["rgb"][0] - (pixels - mean) / std).max() < 1e-6
    assert np.ptp(found["np"]) > 0 and (found["np"][:, :1] == found["np"]).all()


@pytest.mark.slow
def test_pytorch_and_onnxruntime_at_full_size(tmp_path: Path) -> None:
    """The real Noiseprint++, exported because it is not there."""
    from PIL import Image

    ramp = np.add.outer(np.arange(80), np.arange(90))[..., None] * (1, 2, 3) % 256
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "ramp.png")
    command = ["bench", *FAST, "--models", "noiseprint_pp", "--stand-in", "golden"]
    command += ["--backends", "onnxruntime,torch32", "--compare-to", "torch32", "--size", "64"]
    assert main([*command, "--images", "ramp.png", "--out", "out"]) == 0
    report = read_bench(tmp_path / "out" / "bench.json")
    assert [row.contestant.name for row in report.latency] == [
        "portable onnxruntime cpu",
        "source torch32 cpu",
    ]
    assert report.latency[0].ratio is not None and report.latency[1].is_baseline
    assert all(row.added_bytes and row.added_bytes > 0 for row in report.memory)
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["files"][0]["size_bytes"] > 2e6


SCRIPT = """
import sys
from pathlib import Path
from trufor_onnx.parity.timing.contest import hold_contest
from trufor_onnx.parity.timing.plan import Rules, Task
from trufor_onnx.parity.results.contestant import Contestant
task = Task("onnxruntime", sys.argv[1], path=sys.argv[2], threads=1)
contestant = Contestant("net", "portable", "onnxruntime", "cpu")
rules = Rules(min_seconds=1e6, most_rounds=10**9, turn_ms=1.0)
hold_contest({contestant: task}, (8, 8), rules, lambda text: print(text, flush=True))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_parent_ends_its_workers(task: Any, how: signal.Signals) -> None:
    given = task()
    command = [sys.executable, "-c", SCRIPT, given.inputs, given.path]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        while "round 3" not in parent.stdout.readline():
            assert parent.poll() is None
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) == 2
        parent.send_signal(how)
        parent.stdout.close()
    assert parent.returncode != 0
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
