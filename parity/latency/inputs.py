"""The inputs of a benchmark: a real picture at the wanted size, as a network takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.spec import ModelSpec
from export.trufor_specs import NOISEPRINT_PP
from parity.cases import Picture, Pixels, fit
from parity.feeds import make_feeds
from parity.latency.plan import ONNXRUNTIME, Size, Task
from parity.latency.process import Worker


def write_inputs(spec: ModelSpec, picture: Picture, size: Size, noiseprint: Path, out: Path) -> int:
    """Write a network's inputs for one picture into an ``.npz`` file. Returns their bytes.

    The picture is cropped or mirrored to the size, never resized. A second input is its
    Noiseprint++ map, made in a process of its own: this one imports no framework.

    Args:
        spec: the network.
        picture: a picture that can be read.
        size: height and width; a network of fixed size has its own.
        noiseprint: an exported Noiseprint++, where the network's second input is its map.
        out: the file to write.

    Raises:
        UserError: the picture cannot be used, or it is smaller than the network takes.
    """
    rgb, _ = picture.load()
    pixels = fit(rgb, size)[np.newaxis]

    def extract(images: Pixels) -> npt.NDArray[np.float32]:
        return _noiseprint(images, noiseprint, out.with_suffix(".noiseprint.npz"))

    feeds = make_feeds(spec, pixels, spec.preprocessing, extract)
    with out.open("wb") as stream:
        np.savez(stream, **feeds)  # type: ignore[arg-type] # the names are the network's inputs
    return sum(array.nbytes for array in feeds.values())


def _noiseprint(images: Pixels, path: Path, scratch: Path) -> npt.NDArray[np.float32]:
    feeds = make_feeds(NOISEPRINT_PP, images, NOISEPRINT_PP.preprocessing)
    with scratch.open("wb") as stream:
        np.savez(stream, **feeds)  # type: ignore[arg-type] # as above
    with Worker(Task(ONNXRUNTIME, str(scratch), path=str(path))) as worker:
        worker.ask("save", path=str(scratch))
    with np.load(scratch) as outputs:
        found: npt.NDArray[np.float32] = outputs[NOISEPRINT_PP.outputs[0].name]
    return found
