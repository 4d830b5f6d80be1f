"""Exports: the same bytes everywhere, whole or not at all, nothing valuable lost unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from trufor_onnx.errors import CoverageError, ExportError
from trufor_onnx.export import build
from trufor_onnx.export.build import Built, ExportedFile, build_file, export_model, file_stem
from trufor_onnx.export.lock import lock_path, read_lock
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import stand_in_weights

Specs = dict[str, ModelSpec]
Build = Callable[..., Built]
ROOT = Path(__file__).resolve().parents[2]
SEED = WeightsSource(stand_in="s")

IN_A_PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
from trufor_onnx.export.build import export_model
from trufor_onnx.export.models.mit_b2 import EncoderConfig
from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
from trufor_onnx.export.models.trufor import TruForConfig
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.networks.registry import TRUFOR

encoder = EncoderConfig((4, 8, 12, 16), (1, 2, 1, 1), (1, 2, 3, 4), (8, 4, 2, 1))
config = TruForConfig(NoiseprintConfig(4, 6), encoder, decoder_width=10, score_width=7)
spec = replace(TRUFOR, builder_arguments={"config": config})
export_model(spec, WeightsSource(stand_in="s"), Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("hash_seed", "locale", "zone"),
    [
        ("4242", "C.UTF-8", "Asia/Tokyo"),
        pytest.param("0", "C", "UTC", marks=pytest.mark.slow),
        pytest.param("1", "C.UTF-8", "America/Lima", marks=pytest.mark.slow),
    ],
)
def test_the_same_bytes_in_another_process(
    hash_seed: str, locale: str, zone: str, tmp_path: Path, built: Build
) -> None:
    """Another process, working folder, hash seed, locale and time zone than this one's."""
    folder = tmp_path / "a working folder"
    folder.mkdir()
    changes = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed, "LC_ALL": locale, "TZ": zone}
    command = [sys.executable, "-c", IN_A_PROCESS, "out"]
    subprocess.run(command, cwd=folder, env={**os.environ, **changes}, check=True)
    for name, expected in (
        ("trufor.onnx", built("trufor").data),
        ("trufor.lock.json", build.lock.encode(built("trufor").document)),
    ):
        assert (folder / "out" / name).read_bytes() == expected


def test_the_same_bytes_whatever_was_exported_before(tiny: Specs, built: Build) -> None:
    first = build_file(tiny["noiseprint_pp"], SEED).data
    built("trufor")
    build_file(tiny["noiseprint_pp"], WeightsSource(stand_in="other"))
    assert build_file(tiny["noiseprint_pp"], SEED).data == first


def test_equal_weights_from_a_file_give_the_same_graph(tiny: Specs, tmp_path: Path) -> None:
    """The checkpoint decides initializers and labels, and nothing else."""
    spec = tiny["noiseprint_pp"]
    tensors = {n: t.clone() for n, t in stand_in_weights(spec, spec.build(), "s").tensors.items()}
    for name in ("3.weight", "3.bias", "3.running_mean", "3.running_var"):
        tensors[name] = tensors[f"6{name[1:]}"].clone()  # two layers with equal content
    path = tmp_path / "noiseprint++.th"
    torch.save({"network": tensors, "global_step": 7}, path)
    found = build_file(spec, WeightsSource(path)).document
    expected = build_file(spec, SEED).document
    assert found["transforms"] == expected["transforms"]
    for one, other in zip(found["initializers"], expected["initializers"], strict=True):
        assert {**one, "sha256": ""} == {**other, "sha256": ""}
    assert found["weights"]["label"] == "noiseprint++.th"
    assert found["weights"]["container"] == "network"


def test_what_is_written(tiny: Specs, tmp_path: Path) -> None:
    out = tmp_path / "new/folder"
    told: list[str] = []
    result = export_model(tiny["noiseprint_pp"], SEED, out, stage=told.append)
    data = (out / "noiseprint_pp.onnx").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        "noiseprint_pp.lock.json",
        "noiseprint_pp.onnx",
    ]
    assert result.path == out / "noiseprint_pp.onnx"
    assert result.sha256 == sha256(data).hexdigest()
    assert result.size_bytes == len(data)
    assert result.weights == "stand-in weights (seed s)"
    assert result.replaced == ""
    assert result.nodes > 0
    assert result.seconds > 0
    locked = read_lock(result.path)
    assert locked is not None
    assert locked["file"] == {
        "name": "noiseprint_pp.onnx",
        "size_bytes": len(data),
        "sha256": result.sha256,
    }
    assert told[0] == "building the network"
    assert told[-1] == "writing"


def test_no_weights_in_another_file(tiny: Specs, tmp_path: Path) -> None:
    export_model(tiny["noiseprint_pp"], SEED, tmp_path)
    assert not list(tmp_path.glob("*.data"))


def test_file_stems(tiny: Specs) -> None:
    assert file_stem(tiny["mit_b2"]) == "mit_b2"
    assert file_stem(replace(tiny["mit_b2"], name="timm:a.b@3x4")) == "timm_a.b_3x4"


@pytest.fixture
def export(tiny: Specs, tmp_path: Path) -> Callable[..., ExportedFile]:
    """Export the tiny Noiseprint++ with ``missing_only``."""

    def run(source: WeightsSource = SEED, **options: Any) -> ExportedFile:
        spec = options.pop("spec", tiny["noiseprint_pp"])
        return export_model(spec, source, tmp_path, missing_only=True, **options)

    return run


def test_missing_only_keeps_what_is_right(export: Callable[..., ExportedFile]) -> None:
    first = export()
    before = first.path.stat().st_mtime_ns
    second = export()
    assert second.seconds == 0.0
    assert second.sha256 == first.sha256
    assert first.path.stat().st_mtime_ns == before


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lose_the_lock(path: Path) -> None:
    lock_path(path).unlink()


def spoil_the_lock(path: Path) -> None:
    lock_path(path).write_text("<<<<<<< HEAD\n")


@pytest.mark.parametrize("fault", [damage, cut, lose_the_lock, spoil_the_lock, Path.unlink])
def test_missing_only_mends(
    fault: Callable[[Path], None], export: Callable[..., ExportedFile]
) -> None:
    first = export()
    data, locked = first.path.read_bytes(), lock_path(first.path).read_bytes()
    fault(first.path)
    assert export().seconds > 0
    assert first.path.read_bytes() == data
    assert lock_path(first.path).read_bytes() == locked


def test_missing_only_sees_other_wishes(tiny: Specs, export: Callable[..., ExportedFile]) -> None:
    export()
    assert export(WeightsSource(stand_in="other"), replace=True).seconds > 0
    assert export(WeightsSource(stand_in="other"), opset=18).seconds > 0
    newer = replace(tiny["noiseprint_pp"], version="2")
    assert export(WeightsSource(stand_in="other"), opset=18, spec=newer).seconds > 0
    assert export(WeightsSource(stand_in="other"), opset=18, spec=newer).seconds == 0


@pytest.fixture
def real(tiny: Specs, tmp_path: Path) -> ExportedFile:
    """A file made from a checkpoint."""
    spec = tiny["noiseprint_pp"]
    path = tmp_path / "elsewhere/noiseprint++.th"
    path.parent.mkdir()
    torch.save(dict(stand_in_weights(spec, spec.build(), "trained").tensors), path)
    return export_model(spec, WeightsSource(path), tmp_path)


@pytest.mark.parametrize("missing_only", [True, False])
def test_nobody_asked_for_stand_in_weights(
    missing_only: bool, real: ExportedFile, tiny: Specs, tmp_path: Path
) -> None:
    """The checkpoint is not found any more: the file made from it stays."""
    before = real.path.read_bytes()
    with pytest.raises(ExportError) as refusal:
        export_model(tiny["noiseprint_pp"], WeightsSource(), tmp_path, missing_only=missing_only)
    assert "was made from noiseprint++.th, and no checkpoint is found now" in str(refusal.value)
    for way in ("--weights", "--stand-in golden", "--out"):
        assert way in refusal.value.hint
    assert real.path.read_bytes() == before


def test_stand_in_weights_by_name_replace_it_on_request_and_say_so(
    real: ExportedFile, tiny: Specs, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"not replaced unasked"):
        export_model(tiny["noiseprint_pp"], SEED, tmp_path)
    result = export_model(tiny["noiseprint_pp"], SEED, tmp_path, replace=True)
    assert result.path == real.path
    assert result.replaced == "noiseprint++.th"


def test_stand_in_files_of_another_seed_are_replaced_on_request(
    tiny: Specs, tmp_path: Path
) -> None:
    first = export_model(tiny["noiseprint_pp"], SEED, tmp_path)
    before = whole(first.path)
    with pytest.raises(
        ExportError, match=r"the weights at hand are stand-in weights \(seed golden"
    ):
        export_model(tiny["noiseprint_pp"], WeightsSource(), tmp_path)
    assert whole(first.path) == before
    result = export_model(tiny["noiseprint_pp"], WeightsSource(), tmp_path, replace=True)
    assert result.weights == "stand-in weights (seed golden)"
    assert result.replaced == "stand-in weights (seed s)"


def whole(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), lock_path(path).read_bytes()


@pytest.mark.parametrize("where", ["trace", "attach", "to_checked_proto", "self_check"])
def test_a_failed_export_leaves_the_old_file(
    where: str, tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = export_model(tiny["noiseprint_pp"], SEED, tmp_path)
    before = whole(old.path)

    def fail(*_: object, **__: object) -> None:
        raise ExportError("no")

    monkeypatch.setattr(build, where, fail)
    with pytest.raises(ExportError, match=r"^no$"):
        export_model(tiny["noiseprint_pp"], WeightsSource(stand_in="new"), tmp_path, replace=True)
    assert whole(old.path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [old.path.name, lock_path(old.path).name]
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_interrupted_while_writing(
    error: BaseException, tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = export_model(tiny["noiseprint_pp"], SEED, tmp_path)
    before = whole(old.path)
    original = build.atomic_writer

    class Breaking:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def write(self, data: bytes) -> None:
            self.stream.write(data[: len(data) // 2])
            raise error

    @contextmanager
    def breaking(path: Path, **options: Any) -> Iterator[Breaking]:
        with original(path, **options) as stream:
            yield Breaking(stream)

    monkeypatch.setattr(build, "atomic_writer", breaking)
    expected = ExportError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as stopped:
        export_model(tiny["noiseprint_pp"], WeightsSource(stand_in="new"), tmp_path, replace=True)
    if expected is ExportError:
        assert "cannot be written (No space left on device)" in str(stopped.value)
    assert whole(old.path) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_is_a_file(tiny: Specs, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ExportError, match="cannot be written"):
        export_model(tiny["noiseprint_pp"], SEED, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_weights_that_do_not_cover_write_nothing(tiny: Specs, tmp_path: Path) -> None:
    path = tmp_path / "half.pth"
    torch.save({"0.weight": torch.zeros(6, 3, 3, 3)}, path)
    with pytest.raises(CoverageError):
        export_model(tiny["noiseprint_pp"], WeightsSource(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_filled_weights_are_said_everywhere(tiny: Specs, tmp_path: Path) -> None:
    import onnx

    spec = tiny["noiseprint_pp"]
    tensors = dict(stand_in_weights(spec, spec.build(), "trained").tensors)
    del tensors["0.weight"]
    path = tmp_path / "part.pth"
    torch.save(tensors, path)
    result = export_model(spec, WeightsSource(path, stand_in="s"), tmp_path)
    assert result.weights.startswith("part.pth + stand-in weights (seed s) for 1 of ")
    locked = read_lock(result.path)
    assert locked is not None
    assert locked["weights"]["kind"] == "checkpoint+stand-in"
    assert locked["weights"]["stand_in"] == ["0.weight"]
    metadata = {e.key: e.value for e in onnx.load(result.path).metadata_props}
    assert metadata["trufor_onnx.weights"] == result.weights
