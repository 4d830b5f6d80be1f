"""Are the committed sample pictures the ones that the code makes? If not: what differs, exactly.

Another version of the PNG or JPEG library may write other bytes for the same pixels. That is said,
and is no failure, as long as the file is the one in the manifest and decodes to the same pixels
(JPEG: to nearly the same as what is encoded here).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sample_dataset.maker.build import Sample, manifest_of, toolchain
from sample_dataset.maker.manifest import Entry, Manifest, encode, load
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.inputs.image_sets import MANIFEST_NAME

FOLDERS = ("real", "fake", "masks")
SAME_JPEG_LEVELS = 2.0  # decoders may round differently; another picture is tens of levels away


@dataclass(frozen=True)
class Finding:
    """One thing that was found; ``fault`` is False for what is only worth knowing."""

    where: str
    what: str
    fault: bool = True


def check_folder(folder: Path, samples: Sequence[Sample]) -> list[Finding]:
    """Compare a folder with freshly made pictures.

    Raises:
        DatasetError: the folder has no readable manifest.
    """
    manifest = load(folder)
    findings = _stray_files(folder, manifest)
    here = {sample.entry.file: sample for sample in samples}
    listed = {entry.file: entry for entry in manifest.entries}
    for name in sorted(here.keys() - listed.keys()):
        findings.append(Finding(name, "is made by the code, but not in the manifest"))
    for name in sorted(listed.keys() - here.keys()):
        findings.append(Finding(name, "is in the manifest, but the code does not make it"))
    for name in sorted(here.keys() & listed.keys()):
        findings += _check_one(folder, listed[name], here[name])
    findings += _check_manifest(folder, manifest, samples)
    return findings


def _stray_files(folder: Path, manifest: Manifest) -> list[Finding]:
    expected = {entry.file for entry in manifest.entries}
    expected |= {entry.mask for entry in manifest.entries if entry.mask}
    there = {
        path.relative_to(folder).as_posix()
        for kind in FOLDERS
        for path in (folder / kind).rglob("*")
        if not path.is_dir()
    }
    return [Finding(name, "is not in the manifest") for name in sorted(there - expected)]


def _check_one(folder: Path, entry: Entry, sample: Sample) -> list[Finding]:
    mine = sample.entry
    findings = []
    for key in (
        "label",
        "kind",
        "camera",
        "scene",
        "encoding",
        "original",
        "donor",
        "donor_camera",
        "mask",
        "forged_fraction",
    ):
        listed, made = getattr(entry, key), getattr(mine, key)
        if listed != made:
            findings.append(
                Finding(entry.file, f"{key}: the manifest says {listed}, the code {made}")
            )
    same = entry.pixels_sha256 == mine.pixels_sha256
    findings += _check_file(folder / entry.file, entry.file, entry.sha256, sample.data, same)
    if entry.mask is not None and entry.mask_sha256 is not None:
        same = entry.mask_pixels_sha256 == mine.mask_pixels_sha256
        mask_data = sample.mask_data
        findings += _check_file(folder / entry.mask, entry.mask, entry.mask_sha256, mask_data, same)
    return findings


def _check_file(
    path: Path, name: str, listed_sha256: str, data: bytes, same_pixels: bool
) -> list[Finding]:
    """Compare a file with the manifest's digest of it and with what is encoded here."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        return [Finding(name, f"cannot be read: {error.strerror}")]
    found, (apart, mean) = sha256_bytes(stored), _apart(stored, data)
    findings = []
    if found != listed_sha256:
        what = f"SHA-256 {found}, the manifest says {listed_sha256}; {apart}"
        findings.append(Finding(name, f"the file was changed: {what}"))
    if not same_pixels:
        findings.append(Finding(name, f"the code makes other pixels: {apart}"))
    if findings or stored == data:
        return findings
    if mean > (SAME_JPEG_LEVELS if path.suffix == ".jpg" else 0.0):
        return [Finding(name, f"decodes to other pixels: {apart}")]
    what = f"same pixels, {len(stored):,} bytes; the encoder here writes {len(data):,} others"
    return [Finding(name, what, fault=False)]


def _check_manifest(folder: Path, manifest: Manifest, samples: Sequence[Sample]) -> list[Finding]:
    stored = (folder / MANIFEST_NAME).read_bytes()
    if stored != encode(manifest):
        return [Finding(MANIFEST_NAME, "not in its canonical encoding")]
    made = manifest_of(samples)
    findings = []
    if [entry.file for entry in manifest.entries] != [entry.file for entry in made.entries]:
        findings.append(Finding(MANIFEST_NAME, "lists the pictures in another order"))
    if manifest.seed != made.seed:
        findings.append(Finding(MANIFEST_NAME, f"seed {manifest.seed!r}, not {made.seed!r}"))
    if manifest.made_with != toolchain():
        other = ", ".join(
            f"{name} {version} (here {toolchain().get(name)})"
            for name, version in sorted(manifest.made_with.items())
            if toolchain().get(name) != version
        )
        findings.append(Finding(MANIFEST_NAME, f"made with {other}", fault=False))
    return findings


def _decoded(data: bytes) -> npt.NDArray[np.int64] | None:
    """A file's pixels, or None where it is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image).astype(np.int64)
    except (OSError, ValueError):  # Pillow's ways to say: no picture
        return None


def _apart(stored: bytes, data: bytes) -> tuple[str, float]:
    """How far two encoded pictures are from each other: in words, and levels on average."""
    one, two = _decoded(stored), _decoded(data)
    if one is None or two is None or one.shape != two.shape:
        return "the file is no picture of that size", float("inf")
    gap = np.abs(one - two)
    changed = gap if gap.ndim == 2 else gap.max(axis=2)
    words = (
        f"decoded, {int((changed > 0).sum()):,} of {changed.size:,} pixels differ, "
        f"by {gap.max()} levels at most, {gap.mean():.3f} on average"
    )
    return words, float(gap.mean())
