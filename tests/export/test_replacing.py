"""Nothing takes the place of a file or a lock of other weights, nor of a file kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import ExportedFile, export_model
from trufor_onnx.export.lock import lock_path
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.replacing import require_here
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import stand_in_weights

Specs = dict[str, ModelSpec]
SEED = WeightsSource(stand_in="s")
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"


@pytest.fixture
def spec(tiny: Specs) -> ModelSpec:
    return tiny["noiseprint_pp"]


@pytest.fixture
def done(spec: ModelSpec, tmp_path: Path) -> ExportedFile:
    """A file and its lock, of stand-in weights with seed ``s``."""
    return export_model(spec, SEED, tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def checkpoint(spec: ModelSpec, path: Path, seed: str = "trained") -> WeightsSource:
    path.parent.mkdir(exist_ok=True)
    torch.save(dict(stand_in_weights(spec, spec.build(), seed).tensors), path)
    return WeightsSource(path)


@pytest.mark.parametrize("missing_only", [True, False])
def test_a_lock_of_other_weights_without_its_file(
    missing_only: bool, done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    done.path.unlink()
    before = contents(tmp_path)
    with pytest.raises(ExportError) as refusal:
        export_model(spec, WeightsSource(), tmp_path, missing_only=missing_only)
    assert "noiseprint_pp.lock.json is there without its file" in refusal.value.problem
    assert f"--stand-in golden --out {tmp_path} --replace" not in refusal.value.hint
    for way in ("--stand-in golden --replace", "--stand-in s", "--out"):
        assert way in refusal.value.hint
    assert contents(tmp_path) == before
    replaced = export_model(spec, WeightsSource(), tmp_path, replace=True)
    assert replaced.replaced == "stand-in weights (seed s)"


def test_the_locked_file_is_made_again(done: ExportedFile, spec: ModelSpec, tmp_path: Path) -> None:
    before = contents(tmp_path)
    done.path.unlink()
    export_model(spec, SEED, tmp_path)
    assert contents(tmp_path) == before


def test_what_is_made_for_a_lock_is_the_locked_file(
    done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    done.path.unlink()
    locked = lock_path(done.path)
    text = locked.read_text()
    locked.write_text(text.replace('"onnx": "', '"onnx": "0.', 1))
    before = contents(tmp_path)
    with pytest.raises(ExportError, match=r"onnx [\d.]+, locked 0\.") as refusal:
        export_model(spec, SEED, tmp_path)
    assert "--replace" in refusal.value.hint
    locked.write_text(text)
    with pytest.raises(ExportError, match="opset 18, locked 17"):
        export_model(spec, SEED, tmp_path, opset=18)
    locked.write_text(text.replace(done.sha256, "0" * 64))
    with pytest.raises(ExportError, match="other bytes from the same toolchain"):
        export_model(spec, SEED, tmp_path)
    locked.write_bytes(before[locked.name])
    assert contents(tmp_path) == before


def test_a_lock_that_cannot_be_read_without_its_file(
    done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    done.path.unlink()
    lock_path(done.path).write_text("<<<<<<< HEAD\n")
    before = contents(tmp_path)
    with pytest.raises(ExportError, match="its lock cannot be read"):
        export_model(spec, SEED, tmp_path, missing_only=True)
    assert contents(tmp_path) == before
    assert export_model(spec, SEED, tmp_path, replace=True).path.is_file()


def pieces(path: Path) -> None:
    path.unlink()
    path.with_suffix(".chunks").mkdir()


def lfs(path: Path) -> None:
    path.write_text(LFS)


def annex(path: Path) -> None:
    path.write_text("/annex/objects/SHA256E-s5--00.onnx\n")


def windows(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + LFS.replace("\n", "\r\n").encode())


def dvc_content(path: Path) -> None:
    path.write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef\n  size: 5\n")


def xet(path: Path) -> None:
    path.write_text("# xet version 0\nfilesize = 5\n")


def dvc(path: Path) -> None:
    path.rename(path.with_name(path.name + ".dvc"))


def dvc_folder(path: Path) -> None:
    path.rename(path.parent.with_name(path.parent.name + ".dvc"))


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/x")


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize(
    ("kept", "mend"),
    [
        (pieces, "python -m chunking merge"),
        (lfs, "git lfs pull"),
        (windows, "git lfs pull"),
        (annex, "git annex get"),
        (dvc_content, "dvc pull"),
        (xet, "git xet checkout"),
        (dvc, "dvc pull"),
        (dvc_folder, "dvc pull"),
        (dangling, "git annex get"),
    ],
)
def test_a_file_that_is_kept_elsewhere(
    kept: Callable[[Path], None], mend: str, locked: bool, spec: ModelSpec, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    path = export_model(spec, SEED, folder).path
    kept(path)
    if not locked:
        lock_path(path).unlink()
    before = contents(tmp_path)
    with pytest.raises(ExportError) as refusal:
        export_model(spec, SEED, folder, missing_only=True)
    assert mend in refusal.value.hint
    assert "--replace" in refusal.value.hint
    assert contents(tmp_path) == before
    with pytest.raises(ExportError, match=mend):
        require_here(path, ExportError)
    assert export_model(spec, SEED, folder, replace=True).path.read_bytes()


def test_a_file_that_nobody_has_is_simply_made(spec: ModelSpec, tmp_path: Path) -> None:
    require_here(tmp_path / "x.onnx", ExportError)
    assert export_model(spec, SEED, tmp_path).path.is_file()


def test_a_checkpoint_that_is_found_by_chance(
    done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    """The working folder has weights/: they do not replace what was locked with stand-in ones."""
    checkpoint(spec, tmp_path / "weights/noiseprint++.th")
    done.path.unlink()
    with pytest.raises(ExportError) as refusal:
        export_model(spec, WeightsSource(), tmp_path)
    assert "the weights at hand are noiseprint++.th" in refusal.value.problem
    assert "--weights weights/noiseprint++.th --replace" in refusal.value.hint


def test_a_checkpoint_by_another_and_by_itself(spec: ModelSpec, tmp_path: Path) -> None:
    first, second = (checkpoint(spec, tmp_path / f"{n}/best.th", n) for n in ("a", "b"))
    export_model(spec, first, tmp_path)
    export_model(spec, first, tmp_path)  # the same weights: without ado
    before = contents(tmp_path)
    with pytest.raises(ExportError, match=r"best.th \(\w{8}\), the weights at hand are others"):
        export_model(spec, second, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("done")
def test_equal_tensors_under_another_name_are_another_origin(
    spec: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"the weights at hand are published\.th"):
        export_model(spec, checkpoint(spec, tmp_path / "w/published.th", "s"), tmp_path)


@pytest.mark.usefixtures("done")
def test_another_variants_lock_is_another_files(spec: ModelSpec, tmp_path: Path) -> None:
    other = export_model(spec, WeightsSource(stand_in="t"), tmp_path, variant="ort").path
    other.unlink()
    with pytest.raises(ExportError, match=r"noiseprint_pp\.ort\.lock\.json") as refusal:
        export_model(spec, SEED, tmp_path, variant="ort")
    assert "--stand-in t --variant ort" in refusal.value.hint


def test_a_file_without_a_lock_says_whose_it_is(
    done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    lock_path(done.path).unlink()
    with pytest.raises(ExportError, match=r"made from stand-in weights \(seed s\)"):
        export_model(spec, WeightsSource(), tmp_path)
    export_model(spec, SEED, tmp_path)
    assert lock_path(done.path).is_file()


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("entry", [None, "{}", '{"weights": {"label": "a", "digest": 3}}', "["])
def test_a_file_of_somebody_else(
    entry: str | None, locked: bool, done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    proto = onnx.load(done.path)
    del proto.metadata_props[:]
    if entry is not None:
        proto.metadata_props.add(key="trufor_onnx.provenance", value=entry)
    onnx.save(proto, done.path)
    if not locked:
        lock_path(done.path).unlink()
    with pytest.raises(ExportError, match="does not say what weights it is of"):
        export_model(spec, SEED, tmp_path)


def test_a_file_of_other_weights_beside_a_fitting_lock(
    done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    other = export_model(spec, WeightsSource(stand_in="t"), tmp_path / "other").path
    done.path.write_bytes(other.read_bytes())
    with pytest.raises(ExportError, match=r"made from stand-in weights \(seed t\)"):
        export_model(spec, SEED, tmp_path)


def test_what_is_no_onnx_file_is_only_replaced_where_a_lock_knows_it(
    done: ExportedFile, spec: ModelSpec, tmp_path: Path
) -> None:
    done.path.write_text("something of mine")
    assert export_model(spec, SEED, tmp_path).sha256 == done.sha256
    done.path.write_text("something of mine")
    lock_path(done.path).unlink()
    with pytest.raises(ExportError, match="does not say what weights it is of"):
        export_model(spec, SEED, tmp_path)
    done.path.write_bytes(b"")
    assert export_model(spec, SEED, tmp_path).sha256 == done.sha256


def test_the_lock_of_a_clone_is_kept(done: ExportedFile, spec: ModelSpec, tmp_path: Path) -> None:
    """A fresh clone has locks of stand-in weights and no files: they are made, as ever."""
    clone = tmp_path / "clone"
    clone.mkdir()
    document = json.loads(lock_path(done.path).read_text())
    (clone / "noiseprint_pp.lock.json").write_bytes(lock_path(done.path).read_bytes())
    made = export_model(spec, SEED, clone, missing_only=True)
    assert made.sha256 == document["file"]["sha256"]
