"""Tiny networks under their own names, their exported files, and tiny images."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from tests.beside import need
from trufor_onnx.export.build import export_model
from trufor_onnx.export.models import noiseprint_pp
from trufor_onnx.export.models.mit_b2 import EncoderConfig
from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
from trufor_onnx.export.models.trufor import TruForConfig
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.references import proving
from trufor_onnx.parity.results.rows import Group, Row, Status, Values

ENCODER = EncoderConfig(
    channels=(4, 8, 12, 16), depths=(1, 1, 1, 1), heads=(1, 2, 3, 4), reductions=(8, 4, 2, 1)
)
DNCNN = NoiseprintConfig(depth=3, width=4)
# Files: none, so that no checkpoint of the machine is ever found for them.
TINY_NP = replace(
    NOISEPRINT_PP, name="tiny_np", builder_arguments={"config": DNCNN}, files=(), prefix=""
)
TINY_MIT = replace(
    MIT_B2,
    name="tiny_mit",
    builder_arguments={"config": ENCODER},
    files=(),
    outputs=tuple(
        replace(tensor, axes=(tensor.axes[0], channels, *tensor.axes[2:]))
        for tensor, channels in zip(MIT_B2.outputs, ENCODER.channels, strict=True)
    ),
)
TINY_TRUFOR = replace(
    TRUFOR,
    name="tiny_trufor",
    builder_arguments={
        "config": TruForConfig(noiseprint=DNCNN, encoder=ENCODER, decoder_width=6, score_width=5)
    },
    files=(),
)
TINY = {spec.name: spec for spec in (TINY_NP, TINY_MIT, TINY_TRUFOR)}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads gain a tiny network nothing, and waiting for each other they can cost seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_weights(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither this machine's weights nor its exported files take part."""
    if "dataset" in request.path.parts:  # those tests run no network
        return
    monkeypatch.delenv("TRUFOR_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def made_again() -> dict[str, proving.Rebuilt]:
    """What exports of tiny networks gave, by all that decides them."""
    return {}


@pytest.fixture(autouse=True)
def remembered(made_again: dict[str, proving.Rebuilt], monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny network is exported again once in a session, not in each of its runs."""
    rebuild = proving.rebuild

    def once(spec: ModelSpec, weights: Any, variant: str, opset: int) -> proving.Rebuilt:
        key = json.dumps(proving.what(spec, weights, variant, opset))
        key += f" {noiseprint_pp.BATCH_NORM_EPS}"  # code that tests change
        if key not in made_again:
            made_again[key] = rebuild(spec, weights, variant, opset)
        return made_again[key]

    monkeypatch.setattr(proving, "rebuild", once)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModelSpec]:
    """The tiny networks, registered under their names for one test."""
    monkeypatch.setattr("trufor_onnx.export.networks.registry.registered", lambda: TINY)
    monkeypatch.setattr("trufor_onnx.parity.references.subject.NOISEPRINT_PP", TINY_NP)
    return TINY


@pytest.fixture(scope="session")
def exported_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny network's exported file; its lock lies beside it. Not to be changed."""
    folder = tmp_path_factory.mktemp("exported")

    def path(name: str) -> Path:
        file = folder / f"{name}.onnx"
        if not file.is_file():
            with warnings.catch_warnings():
                # torch's older tracer calls functions that torch itself calls deprecated.
                warnings.simplefilter("ignore", DeprecationWarning)
                export_model(TINY[name], WeightsSource(stand_in="golden"), folder)
        return file

    return path


@pytest.fixture
def exported(exported_once: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a tiny network's exported file and its lock, in ``tmp_path/onnx_models``."""

    def copy(name: str) -> Path:
        folder = tmp_path / "onnx_models"
        folder.mkdir(exist_ok=True)
        source = exported_once(name)
        shutil.copy(source, folder)
        shutil.copy(source.with_suffix(".lock.json"), folder)
        return folder / source.name

    return copy


@pytest.fixture
def edited(exported: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a tiny network's file, changed by a function and saved without a lock."""

    def edit(name: str, change: Callable[[onnx.ModelProto], None]) -> Path:
        proto = onnx.load(exported(name))
        change(proto)
        path = tmp_path / f"{name}_edited.onnx"
        onnx.save(proto, path)
        return path

    return edit


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    """A folder ``tmp_path/images`` of small pictures, every one different."""

    def make(
        count: int = 2, size: tuple[int, int] = (48, 40), folder: str = "images", label: str = ""
    ) -> Path:
        place = tmp_path / folder / label
        place.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            rgb = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(rgb).save(place / f"image_{index:04d}.png")
        return tmp_path / folder

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """Here the pictures are wanted, not the reference's outputs."""
    return need("data/cocoglide50")


@dataclass(frozen=True)
class Make:
    """Rows and groups with every field filled; keywords change some."""

    def row(self, **changes: Any) -> Row:
        given = Row(
            model="net",
            variant="portable",
            weights="stand-in weights (seed golden)",
            proof="proven",
            backend="onnxruntime",
            provider="cpu",
            image="real/a.png",
            image_sha256="0" * 64,
            label="real",
            shape=(1, 3, 48, 40),
            output="map",
            status=Status.PASS,
            mae=1e-6,
            max_abs=1e-5,
            p99_abs=5e-6,
            rel_l2=1e-6,
            mae_torch32=1.5e-6,
            accuracy_ratio=1.0,
            bias=1e-9,
            reference=Values(1920, 0.0, 1.0, 0.5, 0.25),
            found=Values(1920, 0.0, 1.0, 0.5, 0.25),
            found_sha256=sha256_bytes(ascii(changes.get("image")).encode()),
        )
        return replace(given, **changes)

    def group(self, **changes: Any) -> Group:
        given = Group(
            cases="images",
            model="net",
            variant="portable",
            weights="stand-in weights (seed golden)",
            proof="proven",
            backend="onnxruntime",
            provider="cpu",
            output="map",
            rows=1,
            counts={"pass": 1, "fail": 0, "error": 0, "not run": 0},
            mean=1e-6,
            std=0.0,
            worst=1e-6,
            mean_torch32=1.5e-6,
            std_torch32=0.0,
            worst_torch32=1.5e-6,
            max_abs=1e-5,
            accuracy_ratio=1.0,
            status=Status.PASS,
        )
        return replace(given, **changes)


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, its report, what it printed."""

    code: int
    report: dict[str, Any]
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows of the candidate, of images and shapes; made pictures are for themselves."""
        rows = self.report["rows"] + self.report["shape_rows"]
        candidates = [row for row in rows if row["backend"] != "torch32"]
        return [row for row in candidates if not row["image"].startswith("made:")]

    @property
    def made_rows(self) -> list[dict[str, Any]]:
        """Rows of the candidate on made pictures."""
        rows = [row for row in self.report["shape_rows"] if row["backend"] != "torch32"]
        return [row for row in rows if row["image"].startswith("made:")]


@pytest.fixture
def parity(
    tiny: dict[str, ModelSpec],  # noqa: ARG001 - registers the tiny networks
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Ran]:
    """``python -m parity run`` in this process, on ``tmp_path/images``, into ``tmp_path/out``."""
    from trufor_onnx.parity.cli import main

    def run(*arguments: object, images: Path | None = None, shapes: bool = True) -> Ran:
        given = ["run", "--stand-in", "golden", "--threads", "1", *map(str, arguments)]
        given += ["--images", str(images or tmp_path / "images"), "--out", str(tmp_path / "out")]
        if "--models" not in given:
            given += ["--models", "tiny_np"]
        if not shapes:
            given.append("--no-shapes")
        (tmp_path / "out" / "parity.json").unlink(missing_ok=True)
        code = main(given)
        written = tmp_path / "out" / "parity.json"
        report = json.loads(written.read_text()) if written.is_file() else {}
        return Ran(code, report, *capsys.readouterr())

    return run
