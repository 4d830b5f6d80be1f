"""Light behaves: energy, shadow, mirror, fog, coverage."""

from __future__ import annotations

import numpy as np
import pytest

from sample_dataset.maker.materials import plain
from sample_dataset.maker.pathtrace import FOG_REACH, render
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.shapes import Box, Ellipsoid, Ground

BALL = Ellipsoid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def even_sky(direction):
    return np.ones_like(direction)


def scene(things, **changes):
    settings = {
        "eye": (0.0, 0.0, 4.0),
        "target": (0.0, 0.0, 0.0),
        "fov_degrees": 50.0,
        "light_from": (0.0, 1.0, 0.0),
        "light_rgb": (0.0, 0.0, 0.0),
        "sky": even_sky,
    }
    return Scene(tuple(things), **(settings | changes))


def test_furnace():
    """A convex matte thing in even light is as bright as its albedo, wherever one looks."""
    grey = Thing(BALL, Material(plain((0.2, 0.5, 0.8))), "ball")
    out = render(scene([grey]), 24, "furnace")
    assert np.allclose(out.light[12, 12], (0.2, 0.5, 0.8), atol=1e-9)
    assert np.allclose(out.light[0, 0], 1.0, atol=1e-9)


def test_mirror_shows_the_sky_in_its_own_colour():
    gold = Thing(BALL, Material(plain((0.9, 0.6, 0.3)), metal=True, roughness=0.0))
    out = render(scene([gold]), 16, "mirror")
    assert np.allclose(out.light[8, 8], (0.9, 0.6, 0.3), atol=1e-9)


def test_light_falls_by_the_cosine_and_not_into_shadow():
    floor = Thing(Ground(0.0), Material(plain((0.5, 0.5, 0.5))))
    lid = Thing(Box((0.0, 2.0, -8.0), (20.0, 0.1, 4.0)), Material(plain((0.0, 0.0, 0.0))))
    view = {"eye": (0.0, 1.0, 2.0), "target": (0.0, 0.2, -8.0), "sky": np.zeros_like}
    lit = {"light_from": (0.0, 1.0, 1.0), "light_rgb": (2.0, 2.0, 2.0), "light_cone": 0.0}
    out = render(scene([floor], **view, **lit), 16, "sun")
    assert np.allclose(out.light[15, 8], 0.5 * 2.0 * np.sqrt(0.5), atol=1e-6)
    shaded = render(scene([floor, lid], **view, **(lit | {"light_from": (0.0, 1.0, 0.0)})), 32, "s")
    assert shaded.light[31, 16, 0] == pytest.approx(1.0, abs=1e-6)  # in front of the lid
    assert shaded.light[17, 16, 0] == 0.0  # under it


def test_coverage_is_the_share_of_the_pixel():
    thing = Thing(BALL, Material(plain((0.5, 0.5, 0.5))), "ball")
    other = Thing(Ellipsoid((9.0, 0.0, 0.0), (1.0, 1.0, 1.0)), Material(plain((1, 1, 1))), "away")
    out = render(scene([thing, other]), 48, "coverage")
    half = np.tan(np.radians(25.0))
    radius = np.tan(np.arcsin(1.0 / 4.0)) / half * 24
    assert out.coverage["ball"].sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert out.coverage["ball"][24, 24] == 1.0
    assert out.coverage["away"].sum() == 0.0


def test_fog_hides_by_distance():
    dark = Thing(BALL, Material(plain((0.0, 0.0, 0.0))))
    out = render(scene([dark], fog=0.5, fog_rgb=(1.0, 1.0, 1.0), sky=np.zeros_like), 16, "fog")
    assert out.light[8, 8, 0] == pytest.approx(1.0 - np.exp(-0.5 * 3.0), abs=0.01)
    assert out.light[0, 0, 0] == pytest.approx(1.0 - np.exp(-0.5 * FOG_REACH), abs=1e-6)


def test_same_key_same_picture_whatever_the_chunks(monkeypatch):
    thing = Thing(BALL, Material(plain((0.5, 0.5, 0.5)), 0.04, 0.1), "ball")
    lit = {"light_rgb": (1.0, 1.0, 1.0), "light_cone": 0.3, "aperture": 0.1}
    one = render(
        scene([thing, Thing(Ground(-1.0), Material(plain((0.4, 0.4, 0.4))))], **lit), 16, "k"
    )
    monkeypatch.setattr("sample_dataset.maker.pathtrace.CHUNK_RAYS", 300)
    two = render(
        scene([thing, Thing(Ground(-1.0), Material(plain((0.4, 0.4, 0.4))))], **lit), 16, "k"
    )
    assert np.array_equal(one.light, two.light)
    other = render(scene([thing], **lit), 16, "another key")
    assert not np.array_equal(one.light, other.light)
