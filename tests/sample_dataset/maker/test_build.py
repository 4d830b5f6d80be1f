"""The pictures are the same in every process, and a check says what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sample_dataset.maker import build
from sample_dataset.maker.build import encode_picture, make_samples, manifest_of, write_samples
from sample_dataset.maker.check import check_folder
from sample_dataset.maker.manifest import DatasetError, encode, load
from sample_dataset.maker.plan import FORGERIES
from sample_dataset.maker.shots import PNG, SHOTS, Encoding
from trufor_onnx.files import sha256_bytes

ROOT = Path(__file__).parents[3]
SMALL = 48
NAMES = {"pool_table", "pebbles"}
FEW = {
    "shots": [shot for shot in SHOTS if shot.name in NAMES],
    "forgeries": [forgery for forgery in FORGERIES if forgery.host in NAMES],
    "size": SMALL,
}
SCRIPT = """
import sys
from sample_dataset.maker.build import make_samples, manifest_of
from sample_dataset.maker.manifest import encode
from sample_dataset.maker.plan import FORGERIES
from sample_dataset.maker.shots import SHOTS
names = sys.argv[1].split(",")
samples = make_samples(
    shots=[shot for shot in SHOTS if shot.name in names],
    forgeries=[forgery for forgery in FORGERIES if forgery.host in names],
    size=int(sys.argv[2]),
)
sys.stdout.buffer.write(encode(manifest_of(samples)))
"""


@pytest.fixture(scope="module")
def samples():
    return make_samples(**FEW)


@pytest.fixture
def folder(samples, tmp_path):
    write_samples(samples, tmp_path)
    return tmp_path


def in_another_process(hash_seed, cwd):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, ",".join(sorted(NAMES)), str(SMALL)]
    return subprocess.run(command, env=environment, cwd=cwd, check=True, capture_output=True).stdout


def test_same_bytes_from_processes_with_other_hash_seeds(samples, tmp_path):
    expected = encode(manifest_of(samples))
    assert in_another_process("1", tmp_path) == expected
    assert in_another_process("4242", ROOT) == expected


def test_number_of_processes_changes_nothing(samples):
    parallel = make_samples(**FEW, processes=2)
    assert [sample.data for sample in parallel] == [sample.data for sample in samples]


def test_plan_has_what_was_promised():
    assert len(SHOTS) + len(FORGERIES) >= 16
    assert {forgery.kind for forgery in FORGERIES} == {"splice", "copy-move", "inpainting", "blur"}
    assert len({shot.camera for shot in SHOTS}) >= 3
    names = [shot.name for shot in SHOTS] + [forgery.name for forgery in FORGERIES]
    assert len(set(names)) == len(names)
    camera = {shot.name: shot.camera for shot in SHOTS}
    for forgery in FORGERIES:
        assert (forgery.donor is not None) == (forgery.kind == "splice")
        if forgery.donor:
            assert camera[forgery.donor] != camera[forgery.host]
    encodings = {shot.encoding for shot in SHOTS} | {forgery.encoding for forgery in FORGERIES}
    assert PNG in encodings
    assert {how.subsampled for how in encodings if how.quality} == {True, False}
    assert len({how.quality for how in encodings}) >= 5


def test_forgery_differs_from_its_host_where_the_mask_says(samples):
    by_file = {sample.entry.file: sample for sample in samples}
    for sample in samples:
        if sample.mask is None:
            assert sample.entry.label == "real"
            continue
        host = by_file[sample.entry.original].pixels.astype(int)
        apart = np.abs(sample.pixels - host).mean(axis=2)
        assert sample.mask.any()
        assert not sample.mask.all()
        assert apart[sample.mask].mean() > 3.0 * apart[~sample.mask].mean()


@pytest.mark.parametrize("how", [PNG, Encoding(70), Encoding(95, subsampled=True)])
def test_encoded_as_it_says(how, samples):
    pixels = samples[0].pixels
    data = encode_picture(pixels, how)
    path = {".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff"}
    assert data.startswith(path[how.suffix])
    assert data == encode_picture(pixels, how)


def test_written_folder_passes_the_check(samples, folder):
    assert check_folder(folder, samples) == []
    manifest = load(folder)
    assert (folder / "manifest.json").read_bytes() == encode(manifest)
    assert manifest == manifest_of(samples)
    for entry in manifest.entries:
        assert sha256_bytes((folder / entry.file).read_bytes()) == entry.sha256
        if entry.mask:
            with Image.open(folder / entry.mask) as mask:
                assert set(np.unique(np.asarray(mask))) == {0, 255}


def faults(folder, samples):
    return {
        finding.where: finding.what for finding in check_folder(folder, samples) if finding.fault
    }


def test_check_finds_a_changed_file(samples, folder):
    path = folder / samples[0].entry.file
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert "the file was changed: SHA-256" in faults(folder, samples)[samples[0].entry.file]


def test_check_finds_missing_and_stray_files(samples, folder):
    (folder / samples[0].entry.file).unlink()
    (folder / "real/holiday.jpg").write_bytes(b"")
    found = faults(folder, samples)
    assert found.keys() == {samples[0].entry.file, "real/holiday.jpg"}
    assert "No such file" in found[samples[0].entry.file]


def test_check_says_how_far_other_pixels_are(samples, folder):
    """As after a change of the code: the manifest fits the files, but the pixels are others."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    fake = next(sample for sample in samples if sample.entry.encoding["format"] == "PNG")
    pixels = fake.pixels.copy()
    pixels[3, 5] ^= 4
    data = encode_picture(pixels, PNG)
    (folder / fake.entry.file).write_bytes(data)
    for image in manifest["images"]:
        if image["file"] == fake.entry.file:
            image |= {"sha256": sha256_bytes(data), "pixels_sha256": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    found = faults(folder, samples)
    assert list(found) == [fake.entry.file]
    assert "1 of 2,304 pixels differ, by 4 levels at most" in found[fake.entry.file]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_another_encoder_is_a_note_and_no_fault(samples, folder, suffix):
    sample = next(sample for sample in samples if sample.entry.file.endswith(suffix))
    path = folder / sample.entry.file
    image = Image.fromarray(sample.pixels)
    if suffix == ".png":
        image.save(path, compress_level=1)
    else:
        with Image.open(path) as old:
            image.save(path, qtables=old.quantization, subsampling=0, optimize=False)
    data = path.read_bytes()
    assert data != sample.data
    text = (folder / "manifest.json").read_text().replace(sample.entry.sha256, sha256_bytes(data))
    (folder / "manifest.json").write_text(text)
    findings = check_folder(folder, samples)
    assert [finding.where for finding in findings] == [sample.entry.file]
    assert not findings[0].fault
    assert "the encoder here writes" in findings[0].what


def test_other_picture_under_the_right_pixel_digest_is_a_fault(samples, folder):
    sample = next(sample for sample in samples if sample.entry.file.endswith(".jpg"))
    data = encode_picture(sample.pixels[::-1].copy(), Encoding(90))
    (folder / sample.entry.file).write_bytes(data)
    text = (folder / "manifest.json").read_text().replace(sample.entry.sha256, sha256_bytes(data))
    (folder / "manifest.json").write_text(text)
    assert "decodes to other pixels" in faults(folder, samples)[sample.entry.file]


def test_check_compares_what_is_said_of_a_picture(samples, folder):
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(
        text.replace('"kind": "copy-move"', '"kind": "splice"', 1)
    )
    assert "kind: the manifest says splice, the code copy-move" in faults(folder, samples).values()


def test_manifest_in_another_encoding_is_a_fault(samples, folder):
    document = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(document))
    assert faults(folder, samples) == {"manifest.json": "not in its canonical encoding"}


def test_other_versions_are_noted(samples, folder, monkeypatch):
    other = build.toolchain() | {"pillow": "0.1"}
    monkeypatch.setattr("sample_dataset.maker.check.toolchain", lambda: other)
    findings = check_folder(folder, samples)
    assert [(finding.where, finding.fault) for finding in findings] == [("manifest.json", False)]
    assert "(here 0.1)" in findings[0].what


@pytest.mark.parametrize(
    "text", [None, "{", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 1}']
)
def test_folder_that_cannot_be_checked(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DatasetError, match=r"manifest\.json: ") as caught:
        check_folder(tmp_path, [])
    assert "python -m sample_dataset.maker" in caught.value.hint


def test_folder_that_cannot_be_written(samples, tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_samples(samples, tmp_path / "out")
