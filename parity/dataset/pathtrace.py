"""A small path tracer: soft shadows, light between surfaces, gloss, fog and depth of field.

Kajiya, "The rendering equation", 1986, with direct light sampled (one cone of directions: the sun,
or a large window far away), a sky for every ray that hits nothing, and Schlick's approximation of
Fresnel reflection. Colours are linear, in units where a white surface in full light is about 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from parity.dataset.draws import Floats, mix, start
from parity.dataset.shapes import Point, Shape, unit

SAMPLES = 16  # rays a pixel; a power of two
BOUNCES = 3
CHUNK_ROWS = 4
_PLASTIC = (0.7548776662466927, 0.5698402909980532)  # Roberts' R2 sequence


@dataclass(frozen=True)
class Material:
    """How a surface looks. ``colour`` and ``bump`` are functions of ``(3, N)`` points."""

    colour: Callable[[Floats], Floats]  # (3, N), 0..1
    gloss: float = 0.0  # reflectance at right angles: 0.04 plastic or varnish; 0: matte
    roughness: float = 0.05  # how far reflections spread
    metal: bool = False
    bump: Callable[[Floats], Floats] | None = None  # (3, N), added to the normal
    glow: float = 0.0  # light given off, times the colour


@dataclass(frozen=True)
class Thing:
    """A shape made of a material; ``group`` names what belongs to one object."""

    shape: Shape
    material: Material
    group: str = ""


@dataclass(frozen=True)
class Scene:
    """Everything that is in front of the camera, and the camera's place."""

    things: tuple[Thing, ...]
    eye: Point
    target: Point
    fov_degrees: float
    light_from: Point
    light_rgb: Point
    sky: Callable[[Floats], Floats]  # of (3, N) directions
    light_cone: float = 0.01  # radians
    aperture: float = 0.0  # lens radius
    focus: float = 0.0  # distance in focus; 0: the target's
    fog: float = 0.0  # extinction per unit
    fog_rgb: Point = (0.8, 0.85, 0.9)


@dataclass(frozen=True)
class Rendering:
    """Linear light ``(S, S, 3)`` and, by group, the share of each pixel it covers ``(S, S)``."""

    light: Floats
    coverage: dict[str, Floats] = field(default_factory=dict)


def render(scene: Scene, size: int, key: str, samples: int = SAMPLES) -> Rendering:
    """Render ``size`` x ``size`` pixels; the same for the same arguments."""
    groups = sorted({thing.group for thing in scene.things if thing.group})
    light = np.zeros((size, size, 3))
    coverage = {group: np.zeros((size, size)) for group in groups}
    of_group = {
        group: np.array([thing.group == group for thing in scene.things] + [False])
        for group in groups
    }
    for top in range(0, size, CHUNK_ROWS):
        rows = range(top, min(top + CHUNK_ROWS, size))
        tracer = _Tracer(scene, size, rows, key, samples)
        colour, first = tracer.run()
        shape = (len(rows), size, samples)
        light[top : rows.stop] = colour.reshape(3, *shape).mean(axis=3).transpose(1, 2, 0)
        for group, members in of_group.items():
            coverage[group][top : rows.stop] = members[first].reshape(shape).mean(axis=2)
    return Rendering(light, coverage)


class _Tracer:
    """The paths of a few rows of pixels, all at once."""

    def __init__(self, scene: Scene, size: int, rows: range, key: str, samples: int) -> None:
        self.scene, self.size, self.samples = scene, size, samples
        row, column, sample = np.meshgrid(
            np.arange(rows.start, rows.stop), np.arange(size), np.arange(samples), indexing="ij"
        )
        self.row, self.column = row.ravel(), column.ravel()
        self.sample = sample.ravel().astype(np.uint64)
        pixel = (self.row * size + self.column).astype(np.uint64)
        self.pixel = mix(pixel * np.uint64(0x9E3779B97F4A7C15) + start(key))
        self.pairs = 0
        light = np.asarray(scene.light_from, dtype=np.float64)
        self.light_axis = (light / np.linalg.norm(light))[:, None]
        self.light_rgb = np.asarray(scene.light_rgb)[:, None]

    def pair(self, active: np.ndarray) -> tuple[Floats, Floats]:
        """Two numbers in [0, 1) for each active path, evenly spread over a pixel's samples."""
        self.pairs += 1
        word = mix(self.pixel[active] + np.uint64(self.pairs * 0xD1342543DE82EF95 % 2**64))
        index = (self.sample[active] ^ (word & np.uint64(self.samples - 1))).astype(np.float64)
        one = (word >> np.uint64(40)).astype(np.float64) * 2.0**-24
        two = ((word >> np.uint64(16)) & np.uint64(0xFFFFFF)).astype(np.float64) * 2.0**-24
        return np.mod(one + index * _PLASTIC[0], 1.0), np.mod(two + index * _PLASTIC[1], 1.0)

    def run(self) -> tuple[Floats, np.ndarray]:
        """Light per path ``(3, N)`` and the index of the first thing each path meets."""
        count = self.row.size
        colour = np.zeros((3, count))
        weight = np.ones((3, count))
        active = np.arange(count)
        origin, direction = self.camera_rays(active)
        first = np.full(count, len(self.scene.things))
        for bounce in range(BOUNCES):
            distance, hit = self.nearest(origin, direction)
            if bounce == 0:
                first = hit.copy()
                if self.scene.fog > 0.0:
                    clear = np.exp(-self.scene.fog * np.minimum(distance, 1e4))
                    colour += (1.0 - clear) * np.asarray(self.scene.fog_rgb)[:, None]
                    weight *= clear
            missed = hit == len(self.scene.things)
            gone = active[missed]
            colour[:, gone] += weight[:, gone] * self.scene.sky(direction[:, missed])
            keep = ~missed
            active, hit = active[keep], hit[keep]
            if not active.size:
                break
            direction = direction[:, keep]
            point = origin[:, keep] + distance[keep] * direction
            origin, direction = self.scatter(point, direction, hit, active, colour, weight)
        return colour, first

    def camera_rays(self, active: np.ndarray) -> tuple[Floats, Floats]:
        scene = self.scene
        eye, target = np.asarray(scene.eye), np.asarray(scene.target)
        forward = unit((target - eye)[:, None])
        right = unit(np.cross(forward[:, 0], [0.0, 1.0, 0.0])[:, None])
        up = np.cross(right[:, 0], forward[:, 0])[:, None]
        half = np.tan(np.radians(scene.fov_degrees) / 2.0)
        jitter_x, jitter_y = self.pair(active)
        x = (2.0 * (self.column + jitter_x) / self.size - 1.0) * half
        y = (1.0 - 2.0 * (self.row + jitter_y) / self.size) * half
        direction = unit(forward + x * right + y * up)
        origin = np.repeat(eye[:, None], active.size, axis=1).astype(np.float64)
        if scene.aperture > 0.0:
            focus = scene.focus or float(np.linalg.norm(target - eye))
            in_focus = origin + direction * (focus / (forward * direction).sum(axis=0))
            radius, angle = self.pair(active)
            radius, angle = scene.aperture * np.sqrt(radius), 2.0 * np.pi * angle
            origin = origin + radius * (np.cos(angle) * right + np.sin(angle) * up)
            direction = unit(in_focus - origin)
        return origin, direction

    def nearest(self, origin: Floats, direction: Floats) -> tuple[Floats, np.ndarray]:
        best = np.full(origin.shape[1], np.inf)
        hit = np.full(origin.shape[1], len(self.scene.things))
        for index, thing in enumerate(self.scene.things):
            distance = thing.shape.distance(origin, direction)
            closer = distance < best
            best = np.where(closer, distance, best)
            hit[closer] = index
        return best, hit

    def shadowed(self, origin: Floats, direction: Floats) -> np.ndarray:
        blocked = np.zeros(origin.shape[1], dtype=bool)
        for thing in self.scene.things:
            blocked |= np.isfinite(thing.shape.distance(origin, direction))
        return blocked

    def scatter(
        self,
        point: Floats,
        direction: Floats,
        hit: np.ndarray,
        active: np.ndarray,
        colour: Floats,
        weight: Floats,
    ) -> tuple[Floats, Floats]:
        """Add the light that arrives directly, and choose where each path goes on."""
        albedo, normal = np.zeros_like(point), np.zeros_like(point)
        gloss, rough = np.zeros(active.size), np.zeros(active.size)
        metal = np.zeros(active.size, dtype=bool)
        for index in np.unique(hit):
            chosen = hit == index
            thing = self.scene.things[index]
            material, here = thing.material, point[:, chosen]
            albedo[:, chosen] = material.colour(here)
            facing = thing.shape.normal(here)
            if material.bump is not None:
                facing = unit(facing + material.bump(here))
            normal[:, chosen] = facing
            gloss[chosen], rough[chosen] = material.gloss, material.roughness
            metal[chosen] = material.metal
            if material.glow > 0.0:
                colour[:, active[chosen]] += (
                    weight[:, active[chosen]] * material.glow * albedo[:, chosen]
                )
        cosine = -np.einsum("in,in->n", normal, direction)
        normal = np.where(cosine < 0.0, -normal, normal)
        cosine = np.abs(cosine)
        mirror = np.where(metal, 1.0, gloss + (gloss > 0.0) * (1.0 - gloss) * (1.0 - cosine) ** 5)
        choice, _ = self.pair(active)
        reflects = choice < mirror
        matte = np.flatnonzero(~reflects)
        start_at = point + 2e-4 * normal

        towards = self.in_cone(active[matte])
        lit = np.maximum(np.einsum("in,in->n", normal[:, matte], towards), 0.0)
        sees = lit > 0.0
        where = matte[sees]
        free = ~self.shadowed(start_at[:, where], towards[:, sees])
        where = where[free]
        arriving = lit[sees][free] * albedo[:, where] * self.light_rgb
        colour[:, active[where]] += weight[:, active[where]] * arriving

        weight[:, active] *= np.where(reflects & ~metal, 1.0, albedo)
        onward = self.around(normal, active, 1.0)
        mirrored = direction + 2.0 * cosine * normal
        spread = np.where(reflects, rough, 0.0)
        mirrored = unit(mirrored + spread * self.around(normal * 0.0, active, 0.0))
        return start_at, np.where(reflects, mirrored, onward)

    def around(self, normal: Floats, active: np.ndarray, push: float) -> Floats:
        """Cosine-distributed directions about ``normal`` (``push`` 1), or points on the ball."""
        one, two = self.pair(active)
        z = 1.0 - 2.0 * one
        ring = np.sqrt(np.maximum(0.0, 1.0 - z * z))
        ball = np.stack([ring * np.cos(2.0 * np.pi * two), z, ring * np.sin(2.0 * np.pi * two)])
        return unit(normal + 0.999 * ball) if push else ball

    def in_cone(self, active: np.ndarray) -> Floats:
        """Directions towards the light."""
        one, two = self.pair(active)
        axis = self.light_axis
        side = unit(np.cross(axis[:, 0], [0.3, 0.1, 0.9])[:, None])
        other = np.cross(axis[:, 0], side[:, 0])[:, None]
        radius, angle = self.scene.light_cone * np.sqrt(one), 2.0 * np.pi * two
        return unit(axis + radius * (np.cos(angle) * side + np.sin(angle) * other))
