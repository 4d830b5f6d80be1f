"""An analysis as files: arrays, pictures, a JSON record. Each appears whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import OutputError
from trufor_onnx.files import atomic_write, sha256_bytes, sha256_file
from trufor_onnx.runtime.detector import Analysis
from trufor_onnx.runtime.model_files import Provenance
from trufor_onnx.runtime.overlay import draw_overlay, levels

SCHEMA_VERSION = 1
SAVES = ("map", "conf", "score", "np", "overlay")
FORMATS = ("npz", "png", "json")
NOISEPRINT_KEY = "np++"
QUICK = 1  # of PNG compression: a third of the time for a tenth more bytes

Pixels = npt.NDArray[np.uint8]
LARGEST_RECORD = 1 << 20  # bytes


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Attributes:
        saves: of ``map``, ``conf``, ``score``, ``np``, ``overlay``.
        formats: of ``npz``, ``png``, ``json``.
    """

    saves: tuple[str, ...] = ("map", "conf", "score", "overlay")
    formats: tuple[str, ...] = FORMATS

    @property
    def noiseprint(self) -> bool:
        """Whether the Noiseprint++ map is among it."""
        return "np" in self.saves


def write_outputs(
    base: Path, rgb: Pixels, analysis: Analysis, wanted: Wanted, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Write all files of one image; the JSON record, which says that it is done, comes last.

    Args:
        base: path and name of the results, without their suffixes.
        rgb: (H, W, 3) uint8, the analysed image.
        analysis: of this image.
        wanted: what to write.
        settings: what decides the results beside the image; kept in the record.

    Returns:
        The record.

    Raises:
        OutputError: the folder cannot be made, or a file not be written.
    """
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        files = {}
        for suffix, data in _encoded(rgb, analysis, wanted).items():
            path = Path(f"{base}{suffix}")
            atomic_write(path, data)
            files[path.name] = sha256_bytes(data)
        record = _record(analysis, files, settings)
        atomic_write(record_path(base), encode_json(record))
    except OSError as error:
        raise OutputError(
            f"{error.filename or base}: cannot be written ({error.strerror})",
            hint="check the disk and the permissions, or choose another --out",
        ) from error
    return record


def record_path(base: Path) -> Path:
    """Where the record of an image's results is."""
    return Path(f"{base}.json")


def encode_json(document: Mapping[str, Any]) -> bytes:
    """Sorted keys, no NaN, one-space indent."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return f"{text}\n".encode()


def _encoded(rgb: Pixels, analysis: Analysis, wanted: Wanted) -> dict[str, bytes]:
    """The files' contents by suffix."""
    files: dict[str, bytes] = {}
    if "npz" in wanted.formats:
        files[".npz"] = _npz(analysis, wanted)
    if "png" in wanted.formats:
        maps = {"map": analysis.map, "conf": analysis.conf}
        for name, values in maps.items():
            if name in wanted.saves:
                files[f".{name}.png"] = _png(Image.fromarray(levels(values)))
        if wanted.noiseprint and analysis.noiseprint is not None:
            files[".np.png"] = _png(Image.fromarray(_stretched(analysis.noiseprint)))
        if "overlay" in wanted.saves:
            files[".overlay.png"] = _png(draw_overlay(rgb, analysis))
    return files


def _npz(analysis: Analysis, wanted: Wanted) -> bytes:
    """The reference program's keys: ``map``, ``conf``, ``score``, ``imgsize``, ``np++``."""
    arrays: dict[str, Any] = {
        "map": analysis.map,
        "conf": analysis.conf,
        "score": np.float32(analysis.score),
    }
    kept = {name: array for name, array in arrays.items() if name in wanted.saves}
    kept["imgsize"] = np.array([analysis.image.height, analysis.image.width])
    if wanted.noiseprint and analysis.noiseprint is not None:
        kept[NOISEPRINT_KEY] = analysis.noiseprint
    stream = io.BytesIO()
    np.savez(stream, **kept)
    return stream.getvalue()


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=QUICK)
    return stream.getvalue()


def _stretched(values: npt.NDArray[np.float32]) -> Pixels:
    """For the eye: 1st to 99th percentile as black to white."""
    low, high = np.percentile(values, (1, 99))
    return levels(np.clip((values - low) / max(float(high - low), 1e-12), 0, 1).astype(np.float32))


def _record(
    analysis: Analysis, files: Mapping[str, str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "score": analysis.score,
        "map_mean": float(analysis.map.mean()),
        "map_over_half": float((analysis.map > 0.5).mean()),
        "conf_mean": float(analysis.conf.mean()),
        "image": asdict(analysis.image) | {"notes": list(analysis.image.notes)},
        "files": dict(files),
        "timings_ms": {name: round(value, 3) for name, value in analysis.timings_ms.items()},
        "provenance": analysis.provenance.document(),
        "settings": dict(settings),
    }


def settings_of(provenance: Provenance, wanted: Wanted) -> dict[str, Any]:
    """What decides the results beside the image, as JSON has it."""
    return {
        "save": sorted(wanted.saves),
        "format": sorted(wanted.formats),
        "models": [model.sha256 for model in provenance.models],
        "provider": provenance.provider,
        "onnxruntime": provenance.onnxruntime,
    }


def done_already(base: Path, image: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of an image's results, if they need not be made again.

    They need not if the record was made with the same settings from the same bytes, and every file
    that it lists is there with the digest that it lists.

    Args:
        base: path and name of the results, without their suffixes.
        image: the image's file.
        settings: see `settings_of`.
    """
    record = _read(record_path(base))
    if record is None or record.get("schema_version") != SCHEMA_VERSION:
        return None
    if record.get("settings") != settings:
        return None
    about, files = record.get("image"), record.get("files")
    if not isinstance(about, dict) or not isinstance(files, dict):
        return None
    if not isinstance(record.get("score"), float):
        return None
    try:
        if not image.is_file() or sha256_file(image) != about.get("sha256"):
            return None
        for name, digest in files.items():
            path = base.parent / Path(name).name
            if not path.is_file() or sha256_file(path) != digest:
                return None
    except OSError:
        return None
    return record


def _read(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none that can be read: it is then made anew."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_RECORD:
            return None
        record = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
