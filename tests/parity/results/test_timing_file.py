"""``bench.json`` is read as it was written, and believed only where it agrees with itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.timing import BenchReport, MemoryFigures, Spread, TimingOutcome
from trufor_onnx.parity.results.timing_file import file_of, from_document, json_text, read_bench
from trufor_onnx.parity.timing.contest import compared
from trufor_onnx.parity.timing.plan import Rules


@pytest.fixture
def measured(latency: Any, report: Any, contestant: Any) -> BenchReport:
    rows = compared([latency(), latency("ort", scale=2)], "portable", Rules())
    peak = MemoryFigures(contestant(), 64, 96, TimingOutcome.MEASURED, "", 50, 170)
    gone = MemoryFigures(contestant("ort"), 64, 96, TimingOutcome.NOT_RUN, "no such device")
    found: BenchReport = report(*rows, memory=(peak, gone))
    return found


def edited(report: BenchReport, change: Callable[[Any], object]) -> Any:
    document = json.loads(json_text(report))
    change(document)
    return document


def test_written_and_read_is_the_same(measured: BenchReport, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json_text(measured))
    assert read_bench(path) == measured
    assert json_text(read_bench(path)) == json_text(measured)
    document = json.loads(path.read_text())
    assert (document["schema_version"], document["outcome"]) == (1, "measured")
    assert len(document["latency"][0]["series"][0]["samples_ns"]) == 20


def test_a_file_and_what_the_network_adds(measured: BenchReport) -> None:
    portable, ort = (row.contestant for row in measured.latency)
    assert [row.added_bytes for row in measured.memory] == [120, None]
    found = file_of(measured, portable)
    assert found is not None and found.size_bytes == 123
    assert file_of(measured, ort) is None


def test_an_error_anywhere_is_an_error_and_nothing_is_no_success(
    measured: BenchReport, report: Any, latency: Any, contestant: Any
) -> None:
    assert measured.outcome is TimingOutcome.MEASURED
    failed = MemoryFigures(contestant(), 64, 96, TimingOutcome.ERROR, "no memory")
    assert report(latency(), memory=(failed,)).outcome is TimingOutcome.ERROR
    assert report().outcome is TimingOutcome.NOT_RUN


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema_version=99), "schema version 99, this tool reads 1"),
        (lambda d: d.pop("schema_version"), "schema version None"),
        (lambda d: d.update(kind="parity"), "not a benchmark"),
        (lambda d: d.pop("latency"), "missing or unknown: latency"),
        (lambda d: d.update(extra=1), "missing or unknown: extra"),
        (lambda d: d.update(outcome="error"), "its outcome is not the one"),
        (lambda d: d["latency"][0]["summary"].update(median_ns=1.0), "summary is not that of its"),
        (lambda d: d["latency"][0]["series"][0]["samples_ns"].append(5), "a sample has no round"),
        (lambda d: d["latency"][0]["series"][0]["samples_ns"].__setitem__(3, -5), "summary is not"),
        (lambda d: d["latency"][0]["series"][0]["samples_ns"].__setitem__(3, 1.5), "float instead"),
        (lambda d: d["latency"][0].update(series=[]), "measured, and has no figures"),
        (lambda d: d["latency"][0].update(summary=None), "measured, and has no figures"),
        (lambda d: d["latency"][0].update(outcome="error"), "not measured, and has figures"),
        (lambda d: d["latency"][0].update(outcome="fine"), "not a benchmark"),
        (lambda d: d["latency"][1]["ratio"].update(low=float("nan")), "not a benchmark"),
        (lambda d: d["latency"][1]["ratio"].update(low=float("inf")), "not a benchmark"),
        (lambda d: d["latency"][1]["ratio"].update(low=-1.0), "not an interval"),
        (lambda d: d["latency"][1]["ratio"].update(low=99.0), "not an interval"),
        (lambda d: d["latency"][0].update(noise_floor=0.5), "its floor is not that of its noise"),
        (lambda d: d["latency"][1].update(within_noise=True), "noise is not what its ratio says"),
        (lambda d: d["memory"][0].update(peak_bytes=None), "memory without figures"),
        (lambda d: d["memory"][0].update(peak_bytes=10), "a peak below its baseline"),
        (lambda d: d["latency"].append(d["latency"][0]), "there twice"),
        (lambda d: d["files"][0].update(size_bytes=True), "bool instead of int"),
    ],
)
def test_what_contradicts_itself_is_refused(
    measured: BenchReport, change: Callable[[Any], object], words: str
) -> None:
    with pytest.raises(ParityError, match=words) as caught:
        from_document(edited(measured, change), "bench.json")
    assert "parity bench" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"kind": 1}', None])
def test_what_is_no_benchmark_is_an_error_without_traceback(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParityError, match=r"bench\.json"):
        read_bench(path)


def test_a_number_that_is_none_never_gets_into_the_file(latency: Any, report: Any) -> None:
    strange = report(latency(noise=Spread(1.0, 0.9, float("inf"))))
    assert json.loads(json_text(strange))["latency"][0]["noise"]["high"] is None
    with pytest.raises(ParityError, match="not a benchmark"):
        from_document(json.loads(json_text(strange)), "x")


def test_reading_needs_no_framework(measured: BenchReport, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json_text(measured))
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from trufor_onnx.parity.results.timing_file import read_bench\n"
        "print(read_bench(Path(sys.argv[1])).outcome)\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'rich'} & sys.modules.keys()\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "measured\n"), done.stderr
