"""``make bench``: the inner pieces, each alone. Stored as JSON with ``--benchmark-json``.

Times of one machine at one moment: compare those of neighbouring runs only (docs/bench.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trufor_onnx.export.networks.preprocess import read_image, to_input
from trufor_onnx.export.networks.registry import MIT_B2
from trufor_onnx.files import sha256_bytes, sha256_file
from trufor_onnx.parity.inputs.cases import fit
from trufor_onnx.parity.report.formats import FORMATS, write_reports
from trufor_onnx.parity.results.comparison import judge
from trufor_onnx.parity.results.metrics import measure, percentile_99
from trufor_onnx.parity.results.rows import Report, Row, Status
from trufor_onnx.parity.results.statistics import paired_ratio
from trufor_onnx.parity.results.summary import summarise
from trufor_onnx.parity.results.tolerances import tolerance_for
from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from trufor_onnx.parity.running.journal import Journal
from trufor_onnx.providers import parse_providers

SHAPE = (1, 64, 128, 128)  # an output of MiT-B2 at 512 x 512: 1 M numbers
ROWS = 2000


@pytest.fixture(scope="module")
def arrays() -> tuple[Any, Any, Any]:
    """Candidate and source in float32, reference in float64, a rounding apart."""
    reference = np.random.default_rng(0).normal(size=SHAPE)
    noise = np.random.default_rng(1).normal(scale=1e-6, size=SHAPE)
    return (reference + noise).astype(np.float32), (reference - noise).astype(np.float32), reference


@pytest.fixture(scope="module")
def picture() -> Path:
    """A picture of the sample data set."""
    return sorted((Path(__file__).parents[1] / "sample_dataset" / "real").iterdir())[0]


def row(number: int) -> Row:
    """A row as a run makes it."""
    figures = {"mae": 1e-6, "max_abs": 1e-5, "p99_abs": 5e-6, "rel_l2": 1e-6}
    return Row(
        model="noiseprint_pp",
        variant="portable",
        weights="stand-in weights (seed golden)",
        proof="proven",
        backend="onnxruntime" if number % 2 else "torch32",
        provider="cpu",
        image=f"image_{number // 2:05d}.png",
        image_sha256="f" * 64,
        label="",
        shape=(1, 3, 512, 512),
        output="noiseprint",
        status=Status.PASS,
        mae_torch32=2e-6,
        accuracy_ratio=1.0,
        **figures,
    )


def test_metrics(benchmark: Any, arrays: Any) -> None:
    """Four error measures of 1 M numbers."""
    candidate, _, reference = arrays
    assert benchmark(measure, candidate, reference).mae < 1e-5


def test_percentile(benchmark: Any, arrays: Any) -> None:
    """The 99th percentile of 1 M numbers."""
    assert benchmark(percentile_99, np.abs(arrays[2]).ravel()) > 2


def test_judging(benchmark: Any, arrays: Any) -> None:
    """All checks of one output, as a run makes them."""
    candidate, source, reference = arrays
    tolerance = tolerance_for("mit_b2", "portable", "fused_0")
    assert benchmark(judge, candidate, reference, source, tolerance).errors is not None


def test_decoding(benchmark: Any, picture: Path) -> None:
    """A picture from its file, upright and in RGB."""
    assert benchmark(read_image, picture).rgb.dtype == np.uint8


def test_preprocessing(benchmark: Any, picture: Path) -> None:
    """A 512 x 512 picture as MiT-B2 takes it."""
    pixels = fit(read_image(picture).rgb, (512, 512))
    assert benchmark(to_input, pixels, MIT_B2.preprocessing).shape == (1, 3, 512, 512)


def test_hashing(benchmark: Any, tmp_path: Path) -> None:
    """SHA-256 of a 32 MiB file."""
    data = np.random.default_rng(0).bytes(32 << 20)
    (tmp_path / "file").write_bytes(data)
    assert benchmark(sha256_file, tmp_path / "file") == sha256_bytes(data)


def test_summaries(benchmark: Any) -> None:
    """2,000 rows as groups."""
    rows = [row(number) for number in range(ROWS)]
    assert len(list(benchmark(summarise, rows, "images"))) == 2


def test_journal(benchmark: Any, tmp_path: Path) -> None:
    """One finished case kept."""
    rows = [row(0), row(1)]
    numbers = iter(range(10**9))
    with Journal(tmp_path) as journal:
        benchmark(lambda: journal.add(f"{next(numbers):064x}", rows))
        assert journal.added > 0


@pytest.mark.parametrize("name", FORMATS)
def test_report(benchmark: Any, tmp_path: Path, name: str) -> None:
    """A report of 2,000 rows in one format."""
    rows = tuple(row(number) for number in range(ROWS))
    weights = {"label": "stand-in weights (seed golden)"}
    about = {
        "weights": weights,
        "file": {"name": "noiseprint_pp.onnx", "sha256": "f" * 64},
        "proof": "proven",
        "preprocessing": {"scale": 256.0},
    }
    report = Report({}, {"noiseprint_pp": about}, rows, (), tuple(summarise(rows, "images")))
    (path,) = benchmark(write_reports, report, tmp_path, [name])
    assert path.stat().st_size > 0


def test_bootstrap(benchmark: Any) -> None:
    """The interval of a ratio of 50 rounds."""
    times = {number: 1.0 + number % 7 / 100 for number in range(50)}
    assert benchmark(paired_ratio, times, times, seed=0).estimate == 1.0


def test_session(benchmark: Any, tmp_path: Path) -> None:
    """A session of a net of one node: what ONNX Runtime and the proofs cost."""
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "x.onnx")
    (cpu,) = parse_providers("cpu")

    def open_and_close() -> list[str]:
        with OnnxRuntimeRunner(tmp_path / "x.onnx", cpu, threads=1) as runner:
            return runner.input_names()

    assert benchmark(open_and_close) == ["x"]
