"""The detector: an image in; map, reliability and score out, and whether memory will do."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import AnalysisError, ImageError, OutOfMemoryError
from trufor_onnx.export.networks.preprocess import to_input
from trufor_onnx.export.networks.spec import Preprocessing
from trufor_onnx.providers import CPU, checked
from trufor_onnx.runtime.images import LARGEST_PIXELS, ImageInfo, ImageLike, Picture, load_picture
from trufor_onnx.runtime.model_files import (
    AUTO,
    FUSED,
    HEAD,
    NOISEPRINT,
    PORTABLE,
    Provenance,
    find_model,
)
from trufor_onnx.runtime.session import Session, open_first
from trufor_onnx.runtime.tiling import DEFAULT_TILE, Map, by_tiles
from trufor_onnx.sessions import import_onnxruntime

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
GIB = 1 << 30

# Peak bytes of the detector's run beside its weights, as measured (docs/runtime.md): so many a
# pixel, and so many a squared pixel where the graph writes its attention out. There the first
# stage has a token a 4 x 4 pixels and a key a 32 x 32, in float32, scores and softmax.
PER_PIXEL_FUSED, PER_PIXEL_OTHER = 450.0, 2200.0
PER_SQUARE_OTHER = 2 * 4 / (16 * 1024)
MODELS = Path("onnx_models")
CONTRACT = Preprocessing()  # rgb / 256; the detector's graph normalises by itself
OnStep = Callable[[str, int, int], None]  # what is being done, steps done, steps in all


@dataclass(frozen=True, eq=False)
class Analysis:
    """TruFor's answers for one image.

    Attributes:
        map: (H, W) float32, the probability that a pixel is forged, 0..1.
        conf: (H, W) float32, the reliability of the map, 0..1.
        score: the integrity score, 0 (pristine) to 1 (forged).
        noiseprint: (H, W) float32, the Noiseprint++ map, about -1..1; None unless asked for.
        image: what was analysed.
        timings_ms: milliseconds of ``decode``, ``noiseprint``, ``detect`` and their ``total``.
        provenance: the models, their weights, the provider that ran.
    """

    map: Map
    conf: Map
    score: float
    noiseprint: Map | None
    image: ImageInfo
    timings_ms: Mapping[str, float]
    provenance: Provenance

    @property
    def provider(self) -> str:
        """Where it really ran: ``cpu``, ``cuda``, ..."""
        return self.provenance.provider


def estimate(height: int, width: int, variant: str) -> int:
    """Bytes that the detector's run is expected to need at its peak, beside its weights.

    Args:
        height: in pixels.
        width: in pixels.
        variant: of the detector's file.
    """
    pixels = float(height * width)
    if variant == FUSED:
        return int(PER_PIXEL_FUSED * pixels)
    return int(PER_PIXEL_OTHER * pixels + PER_SQUARE_OTHER * pixels * pixels)


def require_memory(height: int, width: int, variant: str, limit: int | None) -> None:
    """Refuse an image that does not fit.

    Args:
        height: in pixels.
        width: in pixels.
        variant: of the detector's file.
        limit: bytes that may be used, or None for what the system says is free.

    Raises:
        OutOfMemoryError: with both numbers.
    """
    have = available() if limit is None else limit
    need = estimate(height, width, variant)
    if have is None or need <= have:
        return
    better = (
        f"the `{FUSED}` variant needs {estimate(height, width, FUSED) / GIB:.1f} GiB: "
        f"python -m export trufor_head --variant {FUSED}"
        if variant != FUSED
        else "close other programs, or cut the image (never resize it)"
    )
    raise OutOfMemoryError(
        f"{width} x {height} pixels need about {need / GIB:.1f} GiB with the {variant} file; "
        f"{have / GIB:.1f} GiB are free",
        hint=better,
    )


def available() -> int | None:
    """Bytes that this process may still get, or None where the system does not say."""
    found = [size for size in (_free_in_system(), _free_in_container()) if size is not None]
    return min(found, default=None)


def _free_in_system() -> int | None:
    with suppress(OSError, ValueError, StopIteration):
        lines = MEMINFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    return None


def _free_in_container() -> int | None:
    """Of a control group (version 2) with a limit; droppable page cache counts as free."""
    with suppress(OSError, ValueError):
        limit = int((CGROUP / "memory.max").read_text())  # "max" is no number: no limit
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return limit - used + int(stat.get("inactive_file", 0))
    return None


def silent(step: str, done: int, total: int) -> None:
    """Hear of steps and say nothing."""


class Detector:
    """TruFor in ONNX Runtime. Open it once, analyse many images, in as many threads as you like.

    Args:
        models: the folder with ``noiseprint_pp`` and ``trufor_head``, as ``*.onnx`` or in pieces.
        providers: where to run; the first one must be what runs, or it is an error.
        variant: ``auto`` (the file with ONNX Runtime's own operators where there is one, else the
            portable one), or the detector's variant by name. Noiseprint++ always runs in float32:
            its map is small differences, which other formats lose.
        tile: the most rows and columns of a tile of Noiseprint++; bounds its memory, changes
            nothing else.
        threads: threads of an operator; 0 leaves ONNX Runtime's own choice.
        largest_pixels: images with more are refused before they are unpacked.
        memory_limit: bytes that an analysis may need; None asks the system what is free.

    Raises:
        ModelError: a file is missing, damaged, or not what its lock says.
        ProviderError: ONNX Runtime or the provider is not there.
    """

    def __init__(
        self,
        models: str | PathLike[str] = MODELS,
        *,
        providers: Sequence[str] = (CPU,),
        variant: str = AUTO,
        tile: int = DEFAULT_TILE,
        threads: int = 0,
        largest_pixels: int = LARGEST_PIXELS,
        memory_limit: int | None = None,
    ) -> None:
        folder = Path(models)
        names = checked(providers)
        if tile < 1 or threads < 0:
            raise AnalysisError(
                f"a tile of {tile} pixels, {threads} threads", hint="both are whole and positive"
            )
        heads = find_model(folder, HEAD, variant)
        extractors = find_model(folder, NOISEPRINT, PORTABLE if variant == PORTABLE else AUTO)
        self._tile = tile
        self.largest_pixels = largest_pixels
        self._memory_limit = memory_limit
        self._extractor: Session | None = open_first(
            extractors, names, inputs=["image"], outputs=["noiseprint"], threads=threads
        )
        self._head: Session | None = open_first(
            heads, names, inputs=["rgb", "np"], outputs=["map", "conf", "score"], threads=threads
        )
        self.provenance = Provenance(
            (self._extractor.info, self._head.info),
            self._head.provider,
            str(import_onnxruntime().__version__),
        )
        self._least_size = max(model.least_size for model in self.provenance.models)

    def analyze(
        self,
        image: ImageLike | Picture,
        *,
        noiseprint: bool = False,
        name: str = "",
        on_step: OnStep = silent,
    ) -> Analysis:
        """Analyse one image. It is never resized.

        Args:
            image: a path, a file's bytes, a pillow image, (H, W, 3) uint8, or a `Picture` that
                `load_picture` gave.
            noiseprint: keep the Noiseprint++ map in the result.
            name: what the result and errors call it; a path's default is the path.
            on_step: told what is being done: its name, steps done, steps in all.

        Raises:
            ImageError: the image cannot be read, is damaged, too small or too large.
            OutOfMemoryError: it needs more memory than there is.
            AnalysisError: the networks failed, or the detector is closed.
        """
        on_step("reading", 0, 1)
        picture = load_picture(image, name=name, largest_pixels=self.largest_pixels)
        clock = [time.perf_counter_ns()]
        extractor, head = self._opened()
        self._require_fit(picture, head)

        def extract(rgb: npt.NDArray[np.uint8]) -> Map:
            found: Map = extractor.run({"image": to_input(rgb, CONTRACT)})["noiseprint"][0, 0]
            return found

        def on_tile(done: int, total: int) -> None:
            on_step("Noiseprint++", done, total)

        residual = by_tiles(picture.rgb, self._tile, extract, on_tile)
        clock.append(time.perf_counter_ns())
        on_step("detector", 0, 1)
        feeds = {"rgb": to_input(picture.rgb, CONTRACT), "np": residual[np.newaxis, np.newaxis]}
        found = head.run(feeds)
        clock.append(time.perf_counter_ns())
        on_step("detector", 1, 1)
        steps = [picture.decode_ms]
        steps += [(stop - start) / 1e6 for start, stop in itertools.pairwise(clock)]
        timings = dict(zip(("decode", "noiseprint", "detect"), steps, strict=True))
        return Analysis(
            map=_checked(found["map"][0], picture, "map"),
            conf=_checked(found["conf"][0], picture, "conf"),
            score=float(_checked(found["score"], picture, "score")[0]),
            noiseprint=_frozen(residual) if noiseprint else None,
            image=picture.info,
            timings_ms=timings | {"total": sum(steps)},
            provenance=self.provenance,
        )

    def close(self) -> None:
        """Give the sessions back. Analyses that run in other threads still end well."""
        self._extractor = self._head = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _opened(self) -> tuple[Session, Session]:
        extractor, head = self._extractor, self._head
        if extractor is None or head is None:
            raise AnalysisError("the detector is closed", hint="analyse inside of its `with` block")
        return extractor, head

    def _require_fit(self, picture: Picture, head: Session) -> None:
        info = picture.info
        if min(info.height, info.width) < self._least_size:
            raise ImageError(
                f"{info.name}: {info.width} x {info.height} pixels are fewer than the networks "
                "take",
                hint=f"the least is {self._least_size} x {self._least_size}; never enlarge it",
            )
        try:
            require_memory(info.height, info.width, head.info.variant, self._memory_limit)
        except OutOfMemoryError as error:
            raise OutOfMemoryError(f"{info.name}: {error.problem}", hint=error.hint) from error


def _checked(array: npt.NDArray[np.float32], picture: Picture, what: str) -> Map:
    """Probabilities of the right shape, or an error: NaN must not pass for a result."""
    info = picture.info
    shape = (1,) if what == "score" else (info.height, info.width)
    if array.shape != shape or not bool(((array >= 0.0) & (array <= 1.0)).all()):
        raise AnalysisError(
            f"{info.name}: the {what} is no {shape} array of probabilities",
            hint="the model file is damaged or of another network: export it again",
        )
    return _frozen(array)


def _frozen(array: npt.NDArray[np.float32]) -> Map:
    array.flags.writeable = False
    return array
