"""Times and memory on the page: what was measured, and what was not."""

from __future__ import annotations

from trufor_onnx.parity.report.html.costs import latency_section, memory_section
from trufor_onnx.parity.report.html.elements import join
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.statistics import Spread
from trufor_onnx.parity.results.timing import (
    BenchReport,
    LatencyFigures,
    MemoryFigures,
    Series,
    TimingOutcome,
    summarise,
)

ORT = Contestant("net", "portable", "onnxruntime", "cpu")
TORCH = Contestant("net", "source", "torch32", "cpu")
SAMPLES = (2_000_000, 2_100_000, 2_200_000)


def latency(who: Contestant = ORT, **changes: object) -> LatencyFigures:
    series = tuple(Series(name, 5_000_000, 3_000_000, (0, 1, 2), SAMPLES) for name in ("a", "b"))
    given = {
        "contestant": who,
        "height": 64,
        "width": 96,
        "outcome": TimingOutcome.MEASURED,
        "series": series,
        "summary": summarise(SAMPLES * 2),
        "noise": Spread(1.0, 0.98, 1.02),
        "noise_floor": 1.02,
        "is_baseline": True,
    }
    return LatencyFigures(**(given | changes))  # type: ignore[arg-type] # any field may be changed


def bench(*rows: LatencyFigures, memory: tuple[MemoryFigures, ...] = ()) -> BenchReport:
    return BenchReport({}, {}, (), rows, memory)


def test_distributions_by_size_with_the_noise_floor() -> None:
    other = latency(TORCH, is_baseline=False, ratio=Spread(1.5, 1.4, 1.6), within_noise=False)
    text = join(latency_section(bench(latency(), other)))
    assert "net at 64 × 96: every warm call" in text
    assert text.count('<circle class="candidate"') == 13  # 6 calls of each, and the key's
    assert text.count('class="band"') == 3 and "2.0 %" in text
    assert "2.1 ms" in text and "1.500 (1.400–1.600)" in text and ">slower</td>" in text


def test_within_noise_is_no_difference() -> None:
    ratio = Spread(0.99, 0.97, 1.01)
    other = latency(TORCH, is_baseline=False, ratio=ratio, within_noise=True)
    text = join(latency_section(bench(latency(), other)))
    assert ">within noise</td>" in text and ">faster<" not in text


def test_what_was_not_measured_is_said() -> None:
    absent = LatencyFigures(ORT, 64, 96, TimingOutcome.NOT_RUN, "no CUDA")
    text = join(latency_section(bench(absent)))
    assert "no CUDA" in text and "state notrun" in text and "state pass" not in text
    assert "nothing was measured" in text
    for section in (latency_section(None), memory_section(None), memory_section(bench(latency()))):
        text = join(section)
        assert "state notrun" in text and "parity bench" in text


def test_memory_by_size() -> None:
    rows = (
        MemoryFigures(ORT, 64, 96, TimingOutcome.MEASURED, "", 50 << 20, 80 << 20),
        MemoryFigures(TORCH, 64, 96, TimingOutcome.ERROR, "killed"),
    )
    text = join(memory_section(bench(memory=rows)))
    assert text.count('<rect class="bar"') == 1
    for shown in ("80.0 MiB", "30.0 MiB", "net 64×96 · onnxruntime", "killed", "state error"):
        assert shown in text
