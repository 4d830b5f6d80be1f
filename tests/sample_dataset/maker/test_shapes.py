"""Rays meet surfaces where geometry says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_dataset.maker.draws import uniform
from sample_dataset.maker.lathe import Lathe
from sample_dataset.maker.shapes import Box, Ellipsoid, Ground, bounding_ball, passes, unit

BOTTLE = Lathe((0.3, -0.2, 0.1), ((0.0, 0.0), (0.5, 0.0), (0.5, 0.8), (0.2, 1.2), (0.0, 1.2)))
SHAPES = [
    Ellipsoid((0.2, 0.4, -0.1), (0.8, 0.5, 1.1)),
    Box((0.1, 0.3, 0.0), (0.7, 0.4, 0.5)),
    Box((0.1, 0.3, 0.0), (0.7, 0.4, 0.5), yaw=0.6),
    BOTTLE,
]


def rays(count, seed, spread=0.6):
    """Rays from a ball of radius 4 towards the shapes."""
    draw = 2.0 * uniform(f"rays/{seed}", (6, count)) - 1.0
    origin = 4.0 * unit(draw[:3])
    return origin, unit(spread * draw[3:] - origin)


def test_ball_is_hit_at_the_distance_of_its_surface():
    ball = Ellipsoid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    origin = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    direction = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]])
    assert ball.distance(origin, direction).tolist() == [2.0, 1.0, np.inf]  # front, inside, past


def test_ground_is_below():
    origin = np.array([[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]])
    direction = np.array([[0.6, 0.0], [-0.8, 1.0], [0.0, 0.0]])
    assert Ground(0.0).distance(origin, direction).tolist() == [2.5, np.inf]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
@given(seed=st.integers(0, 1000))
def test_what_is_hit_lies_on_the_surface_and_faces_the_ray(shape, seed):
    origin, direction = rays(64, seed)
    distance = shape.distance(origin, direction)
    hit = np.isfinite(distance)
    point = (origin + np.where(hit, distance, 0.0) * direction)[:, hit]
    normal = shape.normal(point)
    assert np.allclose(np.linalg.norm(normal, axis=0), 1.0)
    # A little outside is outside, a little inside is inside: a ray along the normal tells.
    back = shape.distance(point + 0.01 * normal, -normal)
    assert np.all(back < 0.05)
    if not isinstance(shape, Lathe):  # a lathe's normals are smoothed over its corners
        assert np.all((normal * direction[:, hit]).sum(axis=0) < 1e-9)


@given(seed=st.integers(0, 1000))
def test_a_ray_that_misses_the_bounding_ball_misses_everything_in_it(seed):
    origin, direction = rays(256, seed, spread=3.0)
    near = passes(bounding_ball(SHAPES), origin, direction)
    for shape in SHAPES:
        assert near[np.isfinite(shape.distance(origin, direction))].all()
    assert not near.all()


def test_turned_box_is_the_box_seen_from_elsewhere():
    origin, direction = rays(200, 5)
    angle = 0.6
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    straight = Box((0.0, 0.0, 0.0), (0.7, 0.4, 0.5)).distance(origin, direction)
    turned = Box((0.0, 0.0, 0.0), (0.7, 0.4, 0.5), yaw=angle).distance(
        turn @ origin, turn @ direction
    )
    assert np.isfinite(straight).any()
    assert np.allclose(straight, turned)
