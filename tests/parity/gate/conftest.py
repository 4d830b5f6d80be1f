"""A release of a tiny network, made by the real export and the real run."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from trufor_onnx.documents import DIGEST, digest_of
from trufor_onnx.export.build import export_model
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.files import atomic_write, sha256_file
from trufor_onnx.parity.cli import main
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.judge import judge
from trufor_onnx.parity.gate.policy import Policy, load_policy
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.findings import Decision, Finding
from trufor_onnx.parity.results.statistics import noise_floor, paired_ratio
from trufor_onnx.parity.results.timing import (
    BenchReport,
    LatencyFigures,
    MemoryFigures,
    Series,
    TimedFile,
    TimingOutcome,
    round_medians,
    summarise,
)

IMAGES = 10


@dataclass
class Release:
    """Files of a release: what the gate looks at.

    Attributes:
        report: ``parity.json``.
        models: the folder of ONNX files, locks and pieces.
        weights: the checkpoint that they were made of.
    """

    report: Path
    models: Path
    weights: Path

    def judged(self, *baselines: Path, policy: Policy | None = None, **given: Any) -> Decision:
        evidence = gather(self.report, models_dir=self.models, baselines=baselines, **given)
        return judge(evidence, policy or load_policy())

    @property
    def sha256(self) -> str:
        return sha256_file(self.models / "tiny_np.onnx")

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the report and make its digest anew, as who edits on purpose can."""
        document = json.loads(self.report.read_text())
        change(document)
        document[DIGEST] = digest_of(document)
        atomic_write(self.report, json.dumps(document).encode())

    def copy(self, folder: Path) -> Release:
        shutil.copytree(self.models, folder / "models")
        shutil.copy(self.report, folder / "parity.json")
        return Release(folder / "parity.json", folder / "models", self.weights)


def write_checkpoint(spec: ModelSpec, path: Path, **scaled: float) -> Path:
    """A checkpoint with the values of the stand-in recipe, some tensors scaled."""
    weights = WeightsSource(stand_in="trained").weights_for(spec, spec.build())
    tensors = {
        name: tensor * scaled.get(name.replace(".", "_"), 1.0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in weights.tensors.items()
    }
    torch.save({"network": tensors}, path)
    return path


def bench_document(
    *,
    slower: float = 1.0,
    drift: float = 1.0,
    seed: int = 0,
    rounds: int = 20,
    noise: float = 0.08,
    processor: str = "a processor",
    peak: int = 100 << 20,
    old_peak: int = 0,
    size: int = 256,
    with_torch: bool = True,
    sha256: str = "f" * 64,
    old: str = "",
) -> dict[str, Any]:
    """A ``bench.json`` of one network, its times drawn.

    Args:
        slower: by which factor the file is slower.
        drift: by which factor the whole machine is, on average.
        seed: of the draws.
        noise: spread of a round's machine speed, and a third of it for each call.
        sha256: the file's digest.
        peak: bytes of memory of each.
        old_peak: of the baseline's file, where it is another.
        size: height and width.
        old: the digest of the baseline's file, timed in turns with the new one.
    """
    draw = random.Random(seed)
    speeds = [drift * math.exp(draw.gauss(0.0, noise)) for _ in range(rounds)]

    def row(variant: str, backend: str, base_ns: float) -> LatencyFigures:
        def times() -> tuple[int, ...]:
            return tuple(
                int(base_ns * speed * math.exp(draw.gauss(0.0, noise / 3.0))) for speed in speeds
            )

        series = tuple(
            Series(name, 10_000_000, 5_000_000, tuple(range(rounds)), times()) for name in "ab"
        )
        first, second = (round_medians([one]) for one in series)
        ratio = paired_ratio(first, second, seed=0)
        return LatencyFigures(
            Contestant("tiny_np", variant, backend, "cpu"),
            *(size, size),
            TimingOutcome.MEASURED,
            series=series,
            summary=summarise([ns for one in series for ns in one.samples_ns]),
            noise=ratio,
            noise_floor=noise_floor(ratio),
        )

    contestants = [row("portable", "onnxruntime", 4e6 * slower)]
    files = [TimedFile("tiny_np", "portable", "tiny_np.onnx", 1000, sha256)]
    if old:
        contestants.append(row("candidate", "onnxruntime", 4e6))
        files.append(TimedFile("tiny_np", "candidate", "old.onnx", 1000, old))
    if with_torch:
        contestants.append(row("source", "torch32", 6e6))
    memory = [
        MemoryFigures(
            one.contestant,
            *(size, size),
            TimingOutcome.MEASURED,
            "",
            50 << 20,
            old_peak if old_peak and one.contestant.variant == "candidate" else peak,
        )
        for one in contestants
    ]
    report = BenchReport(
        environment={"processor": processor, "packages": {"onnxruntime": "1.32.0"}},
        settings={"threads": 0, "spinning": False},
        files=tuple(files),
        latency=tuple(contestants),
        memory=tuple(memory),
    )
    return report.document()


@pytest.fixture
def write_bench(tmp_path: Path) -> Callable[..., Path]:
    """`bench_document` as a file of the name given."""

    def write(name: str, **given: Any) -> Path:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(bench_document(**given)))
        return path

    return write


Parity = Callable[..., Any]


@pytest.fixture
def make_release(
    parity: Parity, tiny: dict[str, ModelSpec], make_images: Callable[..., Path], tmp_path: Path
) -> Callable[..., Release]:
    """Export a tiny network from a checkpoint, let a function change the file, and run parity."""

    def make(
        name: str = "tiny_np",
        *options: str,
        change: Callable[[Path], None] | None = None,
        weights: Path | None = None,
    ) -> Release:
        models = tmp_path / "onnx_models"
        models.mkdir(exist_ok=True)
        weights = weights or write_checkpoint(tiny[name], tmp_path / "trained.th")
        export_model(tiny[name], WeightsSource(weights), models)
        if change:
            change(models / f"{name}.onnx")
        images = make_images(IMAGES)
        ran = parity("--models", name, "--weights", weights, *options, images=images)
        assert ran.report, ran.err
        return Release(tmp_path / "out" / "parity.json", models, weights)

    return make


@pytest.fixture
def make_bundle(make_images: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """The bundle of a release's references, in a folder with its report."""

    def make(release: Release, *options: str) -> Path:
        folder = tmp_path / "models-1.0"
        folder.mkdir()
        shutil.copy(release.report, folder)
        path = folder / "references.bundle"
        given = ["reference", "--models", "tiny_np", "--weights", str(release.weights)]
        given += ["--images", str(make_images(IMAGES)), "--threads", "1", "--no-cache", *options]
        assert main([*given, "--out", str(path)]) == 0
        return path

    return make


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the good release is kept, once one test has made it."""
    return tmp_path_factory.mktemp("good")


@pytest.fixture
def good(request: pytest.FixtureRequest, kept: Path, tmp_path: Path) -> Release:
    """A release that passes: a copy that a test may change."""
    release = Release(kept / "parity.json", kept / "models", kept / "trained.th")
    if not release.report.is_file():
        made = request.getfixturevalue("make_release")().copy(kept)
        shutil.copy(made.weights, release.weights)
        decision = release.judged()
        assert (decision.exit_code, decision.stopped_by) == (0, ()), decision
    return release.copy(tmp_path / "good")


def of(decision: Decision, rule: str) -> Finding:
    return next(finding for finding in decision.findings if finding.rule == rule)


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], Policy]:
    def load(text: str) -> Policy:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_policy(path)

    return load
