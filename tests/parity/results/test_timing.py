"""What is said of times must follow from them, however they lie."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.statistics import (
    LEAST_ROUNDS,
    Spread,
    is_within_noise,
    noise_floor,
    paired_ratio,
)
from trufor_onnx.parity.results.timing import (
    BenchReport,
    MemoryFigures,
    Series,
    TimingOutcome,
    from_document,
    json_text,
    read_bench,
    round_medians,
    summarise,
)
from trufor_onnx.parity.timing.contest import compared
from trufor_onnx.parity.timing.plan import Rules

TIMES = st.integers(1, 10**12)
ROUNDS = st.lists(st.tuples(TIMES, TIMES), min_size=LEAST_ROUNDS, max_size=30)


@settings(deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=60))
def test_a_summary_is_within_its_samples_and_in_order(samples: list[int]) -> None:
    found = summarise(samples)
    assert found.samples == len(samples)
    assert found.median_ns == pytest.approx(statistics.median(samples))
    assert min(samples) == found.least_ns <= found.median_ns * (1 + 1e-12)
    assert found.median_ns <= found.p90_ns * (1 + 1e-12) <= found.p99_ns * (1 + 1e-12) ** 2
    assert found.p99_ns <= max(samples) * (1 + 1e-12)
    assert 0 <= found.mad_ns <= max(samples) - min(samples)
    assert 0 <= found.iqr_ns <= max(samples) - min(samples)
    assert found.per_second == pytest.approx(1e9 / found.median_ns)


@settings(deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=60))
def test_a_summary_does_not_depend_on_the_order(samples: list[int]) -> None:
    assert summarise(sorted(samples)) == summarise(samples[::-1]) == summarise(samples)


def test_a_summary_by_hand() -> None:
    found = summarise([10, 20, 30, 40, 50])
    assert (found.median_ns, found.iqr_ns, found.mad_ns, found.least_ns) == (30, 20, 10, 10)
    assert found.p90_ns == pytest.approx(46)


@settings(deadline=None, max_examples=50)
@given(ROUNDS, st.integers(0, 2**32 - 1))
def test_the_interval_holds_the_estimate_and_turns_over_with_the_sides(
    times: list[tuple[int, int]], seed: int
) -> None:
    first = {number: float(a) for number, (a, _) in enumerate(times)}
    second = {number: float(b) for number, (_, b) in enumerate(times)}
    found = paired_ratio(first, second, seed=seed)
    assert 0 < found.low <= found.estimate <= found.high < math.inf
    ratios = [a / b for a, b in times]
    assert min(ratios) * 0.999 <= found.low and found.high <= max(ratios) * 1.001
    assert paired_ratio(first, second, seed=seed) == found
    turned = paired_ratio(second, first, seed=seed)
    assert turned.estimate == pytest.approx(1 / found.estimate)


@settings(deadline=None, max_examples=50)
@given(st.lists(TIMES, min_size=LEAST_ROUNDS, max_size=20), st.floats(0.01, 100))
def test_a_machine_that_drifts_does_not_move_a_constant_ratio(
    drift: list[int], factor: float
) -> None:
    """Every round has another speed, the same for both sides."""
    base = {number: float(speed) for number, speed in enumerate(drift)}
    found = paired_ratio({n: factor * t for n, t in base.items()}, base, seed=0)
    for value in (found.estimate, found.low, found.high):
        assert value == pytest.approx(factor)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """200 contests of known ratio 1.1 with 10 % noise a round; 95 % is about 190."""
    numbers = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        logs = numbers.normal(math.log(1.1), 0.1, 25)
        candidate = {n: math.exp(value) for n, value in enumerate(logs)}
        found = paired_ratio(candidate, dict.fromkeys(candidate, 1.0), seed=seed)
        covered += found.low <= 1.1 <= found.high
    assert covered >= 178


def test_other_rounds_or_too_few_are_refused() -> None:
    enough = dict.fromkeys(range(LEAST_ROUNDS), 1.0)
    few = dict.fromkeys(range(LEAST_ROUNDS - 1), 1.0)
    others = dict.fromkeys(range(1, LEAST_ROUNDS + 1), 1.0)
    for pair in ((few, few), (enough, others), (enough, few), ({}, {})):
        with pytest.raises(ValueError, match="rounds"):
            paired_ratio(*pair, seed=0)


def test_a_round_s_median_is_over_all_processes() -> None:
    first = Series("a", 0, 0, (0, 0, 1), (10, 30, 100))
    second = Series("b", 0, 0, (0, 1), (20, 300))
    assert round_medians([first, second]) == {0: 20.0, 1: 200.0}


def test_the_floor_is_the_farther_end_as_a_factor() -> None:
    assert noise_floor(Spread(1.0, 0.5, 1.1)) == 2.0
    assert noise_floor(Spread(1.01, 0.99, 1.25)) == 1.25
    assert noise_floor(Spread(1.0, 1.0, 1.0)) == 1.0


@pytest.mark.parametrize(
    ("ratio", "floors", "within"),
    [
        (Spread(1.2, 1.1, 1.3), [1.05, 1.1], False),
        (Spread(1.2, 1.1, 1.3), [1.05, 1.21], True),  # two alike things differ as much
        (Spread(1.2, 0.9, 1.3), [1.0, 1.0], True),
        (Spread(0.8, 0.7, 0.9), [1.05, 1.1], False),
        (Spread(0.8, 0.7, 0.9), [1.26], True),
        (Spread(1.0, 1.0, 1.0), [1.0], True),
    ],
)
def test_what_is_no_more_than_noise(ratio: Spread, floors: list[float], within: bool) -> None:
    assert is_within_noise(ratio, floors) is within


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


def test_what_the_network_adds(measured: BenchReport) -> None:
    assert [row.added_bytes for row in measured.memory] == [120, None]


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
        "from trufor_onnx.parity.results.timing import read_bench\n"
        "print(read_bench(Path(sys.argv[1])).outcome)\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'rich'} & sys.modules.keys()\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "measured\n"), done.stderr
