"""The photographs: which scene, which camera, how it saves. Also: taking them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.camera import MARGIN, photograph
from sample_dataset.maker.cameras import CAMERAS
from sample_dataset.maker.draws import Floats
from sample_dataset.maker.pathtrace import render
from sample_dataset.maker.scene import Rendering, Scene
from sample_dataset.maker.scenes.birches import birches
from sample_dataset.maker.scenes.bookshelf import bookshelf
from sample_dataset.maker.scenes.breakfast import breakfast
from sample_dataset.maker.scenes.city import city
from sample_dataset.maker.scenes.colonnade import colonnade
from sample_dataset.maker.scenes.dunes import dunes
from sample_dataset.maker.scenes.house import house
from sample_dataset.maker.scenes.mountain_lake import mountain_lake
from sample_dataset.maker.scenes.pebbles import pebbles
from sample_dataset.maker.scenes.pool_table import pool_table
from sample_dataset.maker.scenes.shore import shore

SEED = "trufor-onnx sample dataset 1"
SIZE = 256
TRACED: dict[str, Callable[[str], Scene]] = {
    "breakfast": breakfast,
    "bookshelf": bookshelf,
    "pool table": pool_table,
    "house": house,
    "city": city,
    "colonnade": colonnade,
    "birches": birches,
}
LANDS: dict[str, Callable[[str, int], Rendering]] = {
    "mountain lake": mountain_lake,
    "dunes": dunes,
    "shore": shore,
    "pebbles": pebbles,
}


@dataclass(frozen=True)
class Encoding:
    """How a picture is saved: PNG, or JPEG with a quality (IJG scale) and colour resolution."""

    quality: int | None = None  # None: PNG
    subsampled: bool = False  # 4:2:0 instead of 4:4:4

    @property
    def suffix(self) -> str:
        """The file name's ending."""
        return ".png" if self.quality is None else ".jpg"


PNG = Encoding()


@dataclass(frozen=True)
class Shot:
    """One photograph to take."""

    name: str
    scene: str
    variant: str
    camera: str
    encoding: Encoding
    samples: int = 16  # rays a pixel where the scene is path-traced
    exposure: float = 0.0  # stops


@dataclass(frozen=True)
class Photograph:
    """A shot that was taken: 8-bit pixels and, by object, the share of each pixel it covers."""

    shot: Shot
    pixels: npt.NDArray[np.uint8]  # (H, W, 3)
    coverage: dict[str, Floats]  # (H, W), 0..1


SHOTS = (
    Shot("breakfast_table", "breakfast", "b", "aster", Encoding(92, subsampled=True)),
    Shot("bookshelf", "bookshelf", "a", "delta", PNG),
    Shot("pool_table", "pool table", "b", "borea", Encoding(95)),
    Shot("blue_door", "house", "a", "aster", PNG),
    Shot("red_door", "house", "b", "cirrus", Encoding(82, subsampled=True)),
    Shot("city_evening", "city", "a", "cirrus", Encoding(88, subsampled=True), samples=8),
    Shot("colonnade", "colonnade", "a", "borea", PNG, samples=32),
    Shot("birch_wood", "birches", "a", "delta", Encoding(90)),
    Shot("mountain_lake", "mountain lake", "b", "borea", Encoding(90, subsampled=True)),
    Shot("dunes", "dunes", "b", "cirrus", Encoding(78, subsampled=True)),
    Shot("sunset_shore", "shore", "b", "aster", PNG),
    Shot("pebbles", "pebbles", "a", "delta", Encoding(95)),
)


def take(shot: Shot, size: int = SIZE) -> Photograph:
    """Render the shot's scene and photograph it, ``size`` x ``size`` pixels."""
    side = size + 2 * MARGIN
    if shot.scene in LANDS:
        rendering = LANDS[shot.scene](shot.variant, side)
    else:
        scene = TRACED[shot.scene](shot.variant)
        rendering = render(scene, side, f"{SEED}/{shot.scene}/{shot.variant}", shot.samples)
    camera = CAMERAS[shot.camera]
    pixels = photograph(rendering.light, camera, f"{SEED}/{shot.name}", exposure=shot.exposure)
    inner = slice(MARGIN, -MARGIN)
    coverage = {group: share[inner, inner] for group, share in rendering.coverage.items()}
    return Photograph(shot, pixels, coverage)
