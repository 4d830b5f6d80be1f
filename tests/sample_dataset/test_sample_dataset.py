"""The committed pictures are whole, described and small; slow: the code still makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sample_dataset.maker.build import default_processes, make_samples
from sample_dataset.maker.check import check_folder
from sample_dataset.maker.manifest import encode, load, pixels_sha256
from sample_dataset.maker.plan import FORGERIES
from sample_dataset.maker.shots import SHOTS
from trufor_onnx.files import sha256_bytes

FOLDER = Path(__file__).parents[2] / "sample_dataset"


@pytest.fixture(scope="module")
def manifest():
    return load(FOLDER)


def test_every_file_is_listed_and_every_listed_file_is_there(manifest):
    listed = {entry.file for entry in manifest.entries}
    listed |= {entry.mask for entry in manifest.entries if entry.mask}
    there = {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*")
        if path.is_file() and "maker" not in path.relative_to(FOLDER).parts
    }
    assert there == listed | {"manifest.json", "README.md"}
    assert len(manifest.entries) == len(SHOTS) + len(FORGERIES) >= 16
    assert encode(manifest) == (FOLDER / "manifest.json").read_bytes()


def test_small_enough_for_git():
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) < 3_000_000
    assert max(sizes) < 2_000_000


def test_files_are_what_the_manifest_says(manifest):
    for entry in manifest.entries:
        data = (FOLDER / entry.file).read_bytes()
        assert sha256_bytes(data) == entry.sha256, entry.file
        assert len(data) == entry.size_bytes
        with Image.open(FOLDER / entry.file) as image:
            assert image.format == entry.encoding["format"]
            pixels = np.asarray(image)
        assert pixels.shape == (256, 256, 3)
        if image.format == "PNG":
            assert pixels_sha256(pixels) == entry.pixels_sha256
        assert entry.file.startswith(f"{entry.label}/")
        assert 10.0 < pixels.std() < 100.0


def test_masks_are_black_and_white_and_the_size_that_is_said(manifest):
    for entry in manifest.entries:
        if entry.label == "real":
            assert entry.mask is None
            continue
        assert entry.mask is not None
        data = (FOLDER / entry.mask).read_bytes()
        assert sha256_bytes(data) == entry.mask_sha256
        with Image.open(FOLDER / entry.mask) as image:
            levels = np.asarray(image)
        assert levels.shape == (256, 256)
        assert set(np.unique(levels)) == {0, 255}
        assert pixels_sha256(levels) == entry.mask_pixels_sha256
        assert (levels == 255).mean() == pytest.approx(entry.forged_fraction, abs=1e-6)
        assert 0.002 < entry.forged_fraction < 0.6


@pytest.mark.slow
def test_the_code_still_makes_them():
    findings = check_folder(FOLDER, make_samples(processes=default_processes()))
    assert [finding for finding in findings if finding.fault] == []
