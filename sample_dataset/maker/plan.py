"""The forgeries: which photograph, what is done to it, how the result is saved.

Places are in pixels of a 256 x 256 picture (row, column) and are scaled with the album's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.forgeries import (
    Finish,
    Mask,
    Picture,
    Placement,
    blur,
    ellipse,
    grown,
    paste,
    rectangle,
)
from sample_dataset.maker.inpainting import paint_out
from sample_dataset.maker.jpeg import through_jpeg
from sample_dataset.maker.shots import PNG, SIZE, Encoding, Photograph

Forged = tuple[Picture, Mask]


@dataclass(frozen=True)
class Album:
    """The photographs by name, as a forger finds them."""

    photographs: Mapping[str, Photograph]

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(next(iter(self.photographs.values())).pixels.shape[0])

    def saved(self, name: str) -> Picture:
        """The pixels of a photograph after its camera has saved it."""
        photograph = self.photographs[name]
        how = photograph.shot.encoding
        if how.quality is None:
            return photograph.pixels
        return through_jpeg(photograph.pixels, how.quality, how.subsampled)

    def matte(self, name: str, group: str) -> Floats:
        """The outline of an object in a photograph, 0..1."""
        return self.photographs[name].coverage[group]

    def px(self, length: float) -> int:
        """A length given for 256 pixels, in whole pixels of this album's size."""
        return round(length * self.size / SIZE)

    def at(
        self,
        down: float,
        right: float,
        scale: float = 1.0,
        turn: float = 0.0,
        *,
        mirrored: bool = False,
    ) -> Placement:
        """A placement given for 256 pixels."""
        return Placement(self.px(down), self.px(right), scale, turn, mirrored)

    def oval(self, row: float, column: float, tall: float, wide: float) -> Floats:
        """An elliptic matte given for 256 pixels by its centre and radii."""
        factor = self.size / SIZE
        return ellipse(self.size, (row * factor, column * factor), (tall * factor, wide * factor))

    def area(self, top: float, left: float, bottom: float, right: float) -> Floats:
        """A rectangular matte given for 256 pixels."""
        return rectangle(self.size, *(self.px(edge) for edge in (top, left, bottom, right)))


@dataclass(frozen=True)
class Forgery:
    """One forgery to make of the photograph ``host`` (and of ``donor``, for a splice)."""

    name: str
    kind: str  # splice, copy-move, inpainting, blur
    host: str
    forge: Callable[[Album], Forged]
    encoding: Encoding
    donor: str | None = None


def vase_on_table(album: Album) -> Forged:
    """The shelf's vase at the edge of the table."""
    donor, matte = album.saved("bookshelf"), album.matte("bookshelf", "vase")
    finish = Finish(0.6, gain=(1.05, 1.0, 0.95), shadow=0.55)
    return paste(album.saved("breakfast_table"), donor, matte, album.at(26, -90, 0.82), finish)


def second_pot(album: Album) -> Forged:
    """The blue door's plant beside the red door's."""
    donor, matte = album.saved("blue_door"), album.matte("blue_door", "pot")
    where = album.at(3, 110, 0.92, mirrored=True)
    return paste(album.saved("red_door"), donor, matte, where, Finish(0.6, shadow=0.4))


def sunset_sky(album: Album) -> Forged:
    """A day in the desert under another evening's sky."""
    matte = grown(album.matte("dunes", "sky"), 1.5)
    donor = album.saved("sunset_shore")
    return paste(album.saved("dunes"), donor, matte, Placement(0, 0), Finish(0.8))


def ninth_ball(album: Album) -> Forged:
    """One ball twice."""
    host, matte = album.saved("pool_table"), album.matte("pool_table", "ball 4")
    return paste(host, host, matte, album.at(107, -113, 1.3, -14), Finish(0.6, shadow=0.6))


def second_tower(album: Album) -> Forged:
    """A tower of the skyline twice."""
    host = album.saved("city_evening")
    built = sum(
        (album.matte("city_evening", f"row {row}") for row in range(7)),
        start=np.zeros(host.shape[:2]),
    )
    matte = np.clip(built, 0.0, 1.0) * album.area(20, 62, 80, 98)
    return paste(host, host, matte, album.at(2, 64, 0.92), Finish(0.6))


def second_pebble(album: Album) -> Forged:
    """One pebble again, turned, over others."""
    host = album.saved("pebbles")
    return paste(host, host, album.oval(76, 127, 23, 24), album.at(85, -60, 1.0, 50), Finish(1.2))


def third_rock(album: Album) -> Forged:
    """A rock and its mirror image again, smaller."""
    host = album.saved("sunset_shore")
    where = album.at(-4, 62, 0.62, mirrored=True)
    return paste(host, host, album.oval(138, 51, 25, 33), where, Finish(3.0))


def no_apple(album: Album) -> Forged:
    """The apple on the left is gone, and its shadow."""
    fruit = grown(album.matte("breakfast_table", "fruit 2"), album.px(6))
    hole = np.maximum(fruit, album.oval(205, 62, 18, 38)) > 0.3
    return paint_out(album.saved("breakfast_table"), hole), hole


def no_globe(album: Album) -> Forged:
    """The globe is gone from the upper shelf."""
    hole = grown(album.matte("bookshelf", "globe"), album.px(4)) > 0.3
    return paint_out(album.saved("bookshelf"), hole), hole


def no_trunk(album: Album) -> Forged:
    """The nearest trunk on the left is gone."""
    hole = grown(album.matte("birch_wood", "trunk 2"), album.px(2)) > 0.3
    return paint_out(album.saved("birch_wood"), hole), hole


def miniature(album: Album) -> Forged:
    """A wrong depth of field: everything far away is blurred."""
    return blur(album.saved("city_evening"), album.area(0, 0, 100, 256), 1.8, feather=6.0)


def hidden_window(album: Album) -> Forged:
    """Nobody can look in any more."""
    matte = np.clip(album.matte("blue_door", "window 0"), 0.0, 1.0)
    return blur(album.saved("blue_door"), matte, 2.6, feather=1.2)


FORGERIES = (
    Forgery("breakfast_vase", "splice", "breakfast_table", vase_on_table, PNG, "bookshelf"),
    Forgery(
        "red_door_pot", "splice", "red_door", second_pot, Encoding(85, subsampled=True), "blue_door"
    ),
    Forgery("dunes_sky", "splice", "dunes", sunset_sky, Encoding(90), "sunset_shore"),
    Forgery("pool_ball", "copy-move", "pool_table", ninth_ball, PNG),
    Forgery("city_tower", "copy-move", "city_evening", second_tower, Encoding(80, subsampled=True)),
    Forgery("pebbles_pebble", "copy-move", "pebbles", second_pebble, Encoding(92, subsampled=True)),
    Forgery("shore_rock", "copy-move", "sunset_shore", third_rock, PNG),
    Forgery(
        "breakfast_apple", "inpainting", "breakfast_table", no_apple, Encoding(90, subsampled=True)
    ),
    Forgery("bookshelf_globe", "inpainting", "bookshelf", no_globe, PNG),
    Forgery("birch_trunk", "inpainting", "birch_wood", no_trunk, Encoding(75, subsampled=True)),
    Forgery("city_miniature", "blur", "city_evening", miniature, PNG),
    Forgery("blue_door_window", "blur", "blue_door", hidden_window, Encoding(88)),
)
