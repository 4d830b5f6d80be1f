"""Making the sample pictures: photographs, forgeries of them, files."""

from __future__ import annotations

import importlib.metadata
import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from sample_dataset.maker.manifest import DatasetError, Entry, Manifest, encode, pixels_sha256
from sample_dataset.maker.plan import FORGERIES, Album, Forgery
from sample_dataset.maker.shots import PNG, SEED, SHOTS, SIZE, Encoding, Photograph, Shot, take
from trufor_onnx.files import atomic_write, sha256_bytes
from trufor_onnx.parity.inputs.image_sets import MANIFEST_NAME

Tick = Callable[[str], None]
"""Told the name of every picture that is ready."""


@dataclass(frozen=True)
class Sample:
    """One picture before and after encoding."""

    entry: Entry
    pixels: npt.NDArray[np.uint8]  # (H, W, 3)
    data: bytes
    mask: npt.NDArray[np.bool_] | None  # (H, W)
    mask_data: bytes


def make_samples(
    *,
    shots: Sequence[Shot] = SHOTS,
    forgeries: Sequence[Forgery] = FORGERIES,
    size: int = SIZE,
    processes: int = 1,
    tick: Tick = lambda _: None,
) -> list[Sample]:
    """Make all pictures, in memory.

    Args:
        shots: the photographs to take.
        forgeries: the forgeries to make of them; hosts and donors must be among the shots.
        size: pixels a side, a multiple of 16.
        processes: how many photographs to take at the same time. It changes no pixel.
        tick: told about progress.
    """
    photographs = {}
    for photograph in _take_all(shots, size, processes):
        photographs[photograph.shot.name] = photograph
        tick(photograph.shot.name)
    samples = [_photograph_sample(photographs[shot.name]) for shot in shots]
    album = Album(photographs)
    for forgery in forgeries:
        samples.append(_forgery_sample(forgery, album))
        tick(forgery.name)
    return samples


def manifest_of(samples: Sequence[Sample]) -> Manifest:
    """The manifest that belongs to these pictures."""
    return Manifest(SEED, tuple(sample.entry for sample in samples), toolchain())


def write_samples(samples: Sequence[Sample], out: Path) -> None:
    """Write pictures, masks and the manifest; every file whole or not at all.

    Raises:
        DatasetError: the folder cannot be written.
    """
    try:
        for sample in samples:
            _write(out / sample.entry.file, sample.data)
            if sample.entry.mask is not None:
                _write(out / sample.entry.mask, sample.mask_data)
        _write(out / MANIFEST_NAME, encode(manifest_of(samples)))
    except OSError as error:
        raise DatasetError(
            f"{error.filename or out}: cannot be written: {error.strerror}",
            hint="choose another folder with --out, or free some space",
        ) from error


def encode_picture(pixels: npt.NDArray[np.uint8], how: Encoding) -> bytes:
    """PNG or JPEG bytes of ``(H, W, 3)`` or ``(H, W)`` uint8."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    if how.quality is None:
        image.save(stream, "PNG", compress_level=9)
    else:
        sampling = "4:2:0" if how.subsampled else "4:4:4"
        image.save(stream, "JPEG", quality=how.quality, subsampling=sampling, optimize=True)
    return stream.getvalue()


def toolchain() -> dict[str, str]:
    """The versions that the bytes may depend on."""
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "pillow")}
    for name, feature in (("zlib", "zlib"), ("libjpeg", "jpg"), ("libjpeg_turbo", "libjpeg_turbo")):
        versions[name] = str(features.version(feature) or "none")
    return versions


def default_processes() -> int:
    """One process for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _take_all(shots: Sequence[Shot], size: int, processes: int) -> Iterator[Photograph]:
    if processes <= 1 or len(shots) <= 1:
        yield from (take(shot, size) for shot in shots)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy threads' locks
    workers = min(processes, len(shots))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet_worker) as pool:
        try:
            yield from pool.map(partial(take, size=size), shots)
        except BrokenProcessPool as error:
            raise DatasetError(
                "a worker process was killed, perhaps for lack of memory",
                hint="make the pictures one after the other: --processes 1",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _quiet_worker() -> None:
    """Ctrl-C ends a worker at once; only the main process has something to say about it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _photograph_sample(photograph: Photograph) -> Sample:
    shot, pixels = photograph.shot, photograph.pixels
    data = encode_picture(pixels, shot.encoding)
    entry = Entry(
        file=f"real/{shot.name}{shot.encoding.suffix}",
        label="real",
        kind="camera",
        camera=shot.camera,
        scene=shot.scene,
        encoding=_described(shot.encoding),
        sha256=sha256_bytes(data),
        size_bytes=len(data),
        pixels_sha256=pixels_sha256(pixels),
    )
    return Sample(entry, pixels, data, None, b"")


def _forgery_sample(forgery: Forgery, album: Album) -> Sample:
    pixels, mask = forgery.forge(album)
    host = album.photographs[forgery.host].shot
    donor = album.photographs[forgery.donor].shot if forgery.donor else None
    data = encode_picture(pixels, forgery.encoding)
    levels = np.where(mask, 255, 0).astype(np.uint8)
    mask_data = encode_picture(levels, PNG)
    entry = Entry(
        file=f"fake/{forgery.name}{forgery.encoding.suffix}",
        label="fake",
        kind=forgery.kind,
        camera=host.camera,
        scene=host.scene,
        encoding=_described(forgery.encoding),
        sha256=sha256_bytes(data),
        size_bytes=len(data),
        pixels_sha256=pixels_sha256(pixels),
        original=f"real/{host.name}{host.encoding.suffix}",
        donor=f"real/{donor.name}{donor.encoding.suffix}" if donor else None,
        donor_camera=donor.camera if donor else None,
        mask=f"masks/{forgery.name}.png",
        mask_sha256=sha256_bytes(mask_data),
        mask_pixels_sha256=pixels_sha256(levels),
        forged_fraction=round(float(mask.mean()), 6),
    )
    return Sample(entry, pixels, data, mask, mask_data)


def _described(how: Encoding) -> dict[str, object]:
    if how.quality is None:
        return {"format": "PNG"}
    sampling = "4:2:0" if how.subsampled else "4:4:4"
    return {"format": "JPEG", "quality": how.quality, "subsampling": sampling}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data)
