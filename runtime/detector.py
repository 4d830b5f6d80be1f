"""The detector: an image in; map, reliability and score out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from export.preprocess import to_input
from export.spec import Preprocessing
from runtime import providers as provider_names
from runtime.errors import AnalysisError, ImageError, OutOfMemoryError
from runtime.images import LARGEST_PIXELS, ImageLike, Picture, load_picture
from runtime.memory import require_memory
from runtime.model_files import AUTO, HEAD, NOISEPRINT, PORTABLE, find_model
from runtime.provenance import Provenance
from runtime.results import Analysis, Map
from runtime.session import Session, open_first
from runtime.tiling import DEFAULT_TILE, by_tiles

MODELS = Path("onnx_models")
CONTRACT = Preprocessing()  # rgb / 256; the detector's graph normalises by itself

OnStep = Callable[[str, int, int], None]  # what is being done, steps done, steps in all


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
        providers: Sequence[str] = (provider_names.CPU,),
        variant: str = AUTO,
        tile: int = DEFAULT_TILE,
        threads: int = 0,
        largest_pixels: int = LARGEST_PIXELS,
        memory_limit: int | None = None,
    ) -> None:
        folder = Path(models)
        names = provider_names.checked(providers)
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
            str(provider_names.import_onnxruntime().__version__),
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
