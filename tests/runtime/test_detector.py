"""An image of any kind in; map, reliability, score out; memory is asked for first."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from trufor_onnx.runtime import (
    Analysis,
    AnalysisError,
    Detector,
    ImageError,
    OutOfMemoryError,
    ProviderError,
)
from trufor_onnx.runtime import detector as memory
from trufor_onnx.runtime.detector import available, estimate, require_memory

Draw = Callable[..., npt.NDArray[np.uint8]]
GIB = 1 << 30


def same(one: Analysis, other: Analysis) -> bool:
    return (
        np.array_equal(one.map, other.map)
        and np.array_equal(one.conf, other.conf)
        and one.score == other.score
    )


def test_what_an_analysis_holds(detector: Detector, draw: Draw) -> None:
    found = detector.analyze(draw(41, 56))
    for array in (found.map, found.conf):
        assert array.shape == (41, 56)
        assert array.dtype == np.float32
        assert 0.0 <= array.min() <= array.max() <= 1.0
        assert np.ptp(array) > 0.0
    assert 0.0 <= found.score <= 1.0
    assert isinstance(found.score, float)
    assert found.noiseprint is None
    assert (found.image.height, found.image.width) == (41, 56)
    assert found.provider == "cpu"
    assert set(found.timings_ms) == {"decode", "noiseprint", "detect", "total"}
    assert all(value > 0.0 for value in found.timings_ms.values())


def test_nothing_in_it_can_be_changed(detector: Detector, draw: Draw) -> None:
    found = detector.analyze(draw(40, 40), noiseprint=True)
    assert found.noiseprint is not None
    for array in (found.map, found.conf, found.noiseprint):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0.5
    with pytest.raises(FrozenInstanceError):
        found.score = 0.0  # type: ignore[misc]  # that it cannot is what is tested


def test_every_way_in_gives_the_same(detector: Detector, draw: Draw, tmp_path: Path) -> None:
    rgb = draw(40, 48)
    picture = Image.fromarray(rgb)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(stream.getvalue())
    expected = detector.analyze(rgb)
    ways: tuple[Any, ...] = (path, str(path), stream.getvalue(), picture, Image.open(path))
    for way in ways:
        assert same(detector.analyze(way), expected)


def test_provenance(detector: Detector, draw: Draw, tiny_models: Path) -> None:
    from hashlib import sha256

    known = detector.analyze(draw(40, 40)).provenance
    assert [model.network for model in known.models] == ["noiseprint_pp", "trufor_head"]
    for model in known.models:
        data = (tiny_models / model.file).read_bytes()
        assert model.sha256 == sha256(data).hexdigest()
        assert model.locked
        assert model.stand_in
        assert model.weights == "stand-in weights (seed golden)"
        assert len(model.weights_digest) == 64
    assert known.warning.startswith("STAND-IN WEIGHTS")
    assert known.document()["provider"] == "cpu"


def test_threads_share_one_detector(detector: Detector, draw: Draw) -> None:
    images = [draw(40 + index, 48, index) for index in range(6)]
    expected = [detector.analyze(image) for image in images]
    barrier = threading.Barrier(3)

    def work(_: int) -> list[Analysis]:
        barrier.wait()
        return [detector.analyze(image) for image in images]

    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(work, range(3)):
            assert all(same(*pair) for pair in zip(found, expected, strict=True))


def test_steps_are_told(tiny_models: Path, draw: Draw) -> None:
    heard: list[tuple[str, int, int]] = []
    with Detector(tiny_models, tile=32, threads=1) as detector:
        detector.analyze(draw(40, 60), on_step=lambda *step: heard.append(step))
    tiles = [(done, total) for step, done, total in heard if step == "Noiseprint++"]
    assert tiles == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert heard[0][0] == "reading"
    assert heard[-1] == ("detector", 1, 1)


def test_a_closed_detector_says_so(tiny_models: Path, draw: Draw) -> None:
    with Detector(tiny_models, threads=1) as detector:
        pass
    with pytest.raises(AnalysisError, match="closed"):
        detector.analyze(draw(40, 40))


@pytest.mark.parametrize("size", [(31, 64), (64, 31), (1, 1)])
def test_too_small(detector: Detector, draw: Draw, size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="fewer than the networks take") as refusal:
        detector.analyze(draw(*size))
    assert "32 x 32" in refusal.value.hint


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 40, 3), np.float32),
        np.zeros((40, 40), np.uint8),
        np.zeros((40, 40, 4), np.uint8),
        np.zeros((0, 40, 3), np.uint8),
        b"",
        b"no picture",
        Path("absent.png"),
    ],
    ids=["floats", "grey", "four", "empty", "no-bytes", "text", "absent"],
)
def test_what_is_no_image(detector: Detector, image: Any) -> None:
    with pytest.raises(ImageError):
        detector.analyze(image)


def test_memory_is_asked_for_first(tiny_models: Path, draw: Draw) -> None:
    with (
        Detector(tiny_models, threads=1, memory_limit=1 << 20) as detector,
        pytest.raises(OutOfMemoryError, match=r"\d GiB with the portable file") as refusal,
    ):
        detector.analyze(draw(64, 64))
    assert "ort" in refusal.value.hint


def test_too_many_pixels(tiny_models: Path, draw: Draw, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(draw(64, 64)).save(path)
    with (
        Detector(tiny_models, threads=1, largest_pixels=4000) as detector,
        pytest.raises(ImageError, match="64 x 64 are too many pixels"),
    ):
        detector.analyze(path)


def test_a_provider_that_is_not_there(tiny_models: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime was built for CUDA")
    with pytest.raises(ProviderError, match="cuda was asked for") as refusal:
        Detector(tiny_models, providers=("cuda",))
    assert "trufor-onnx[gpu]" in refusal.value.hint


def test_a_provider_that_falls_back(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime runs on the CPU in its place, with a warning; it is never taken for it."""
    monkeypatch.setattr("trufor_onnx.runtime.session.require_available", lambda _: None)
    monkeypatch.setattr(
        "trufor_onnx.runtime.session.wanted", lambda _: [("CPUExecutionProvider", {})]
    )
    with pytest.raises(ProviderError, match="CPUExecutionProvider would run in its place"):
        Detector(tiny_models, providers=("cuda",))


@pytest.mark.parametrize("providers", [(), ("gpu",), ("cpu", "tpu")])
def test_unknown_providers(tiny_models: Path, providers: tuple[str, ...]) -> None:
    with pytest.raises(ProviderError, match="unknown provider"):
        Detector(tiny_models, providers=providers)


@pytest.mark.parametrize("options", [{"tile": 0}, {"threads": -1}])
def test_options_that_mean_nothing(tiny_models: Path, options: dict[str, Any]) -> None:
    with pytest.raises(AnalysisError, match="tile"):
        Detector(tiny_models, **options)


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
