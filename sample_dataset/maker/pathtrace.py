"""A small path tracer: soft shadows, light between surfaces, gloss, fog and depth of field.

Kajiya, "The rendering equation", 1986, with direct light sampled (one cone of directions: the sun,
or a large window far away), a sky for every ray that hits nothing, and Schlick's approximation of
Fresnel reflection. Colours are linear, in units where a white surface in full light is about 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats, mix, start
from sample_dataset.maker.scene import Rendering, Scene
from sample_dataset.maker.shapes import Ellipsoid, bounding_ball, passes, unit

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SAMPLES = 16  # rays a pixel; a power of two
BOUNCES = 3
FOG_REACH = 40.0  # the sky stands behind this much fog
CHUNK_RAYS = 1 << 15  # what fits the processor's caches and still makes long arrays
# What a path's random numbers are for; every surface on the way uses three.
_JITTER, _LENS, _MAIN, _ONWARD, _MIRRORED = 0, 1, 2, 3, 100
_PLASTIC = (0.7548776662466927, 0.5698402909980532)  # Roberts' R2 sequence


def render(scene: Scene, size: int, key: str, samples: int = SAMPLES) -> Rendering:
    """Render ``size`` x ``size`` pixels; the same for the same arguments."""
    groups = sorted({thing.group for thing in scene.things if thing.group})
    light = np.zeros((size, size, 3))
    coverage = {group: np.zeros((size, size)) for group in groups}
    of_group = {
        group: np.array([thing.group == group for thing in scene.things] + [False])
        for group in groups
    }
    step = max(1, CHUNK_RAYS // (size * samples))
    for top in range(0, size, step):
        rows = range(top, min(top + step, size))
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
        self.clusters = _clusters(scene)
        light = np.asarray(scene.light_from, dtype=np.float64)
        self.light_axis = (light / np.linalg.norm(light))[:, None]
        self.light_rgb = np.asarray(scene.light_rgb)[:, None]

    def pair(self, active: Indices, use: int) -> tuple[Floats, Floats]:
        """Two numbers in [0, 1) for each active path, evenly spread over a pixel's samples.

        They depend on the pixel, the sample and ``use`` alone, not on which other paths there are.
        """
        word = mix(self.pixel[active] + np.uint64(use * 0xD1342543DE82EF95 % 2**64))
        index = (self.sample[active] ^ (word & np.uint64(self.samples - 1))).astype(np.float64)
        one = (word >> np.uint64(40)).astype(np.float64) * 2.0**-24
        two = ((word >> np.uint64(16)) & np.uint64(0xFFFFFF)).astype(np.float64) * 2.0**-24
        return np.mod(one + index * _PLASTIC[0], 1.0), np.mod(two + index * _PLASTIC[1], 1.0)

    def run(self) -> tuple[Floats, Indices]:
        """Light per path ``(3, N)`` and the index of the first thing each path meets."""
        count = self.row.size
        active = np.arange(count)
        origin, direction = self.camera_rays(active)
        self.colour = np.zeros((3, count))
        return self.colour, self.follow(origin, direction, active, np.ones((3, count)), 0, _MAIN)

    def follow(
        self,
        origin: Floats,
        direction: Floats,
        active: Indices,
        weight: Floats,
        bounce: int,
        use: int,
    ) -> Indices:
        """Add the light that comes along these rays to their pixels; returns what they hit."""
        distance, hit = self.nearest(origin, direction)
        if self.scene.fog > 0.0 and bounce == 0:
            clear = np.exp(-self.scene.fog * np.minimum(distance, FOG_REACH))
            self.colour[:, active] += (1.0 - clear) * np.asarray(self.scene.fog_rgb)[:, None]
            weight = weight * clear
        missed = hit == len(self.scene.things)
        self.colour[:, active[missed]] += weight[:, missed] * self.scene.sky(direction[:, missed])
        if missed.all():
            return hit
        keep = ~missed
        direction, active, weight = direction[:, keep], active[keep], weight[:, keep]
        point = origin[:, keep] + distance[keep] * direction
        self.shade(point, direction, hit[keep], active, weight, bounce, use)
        return hit

    def camera_rays(self, active: Indices) -> tuple[Floats, Floats]:
        scene = self.scene
        eye, target = np.asarray(scene.eye), np.asarray(scene.target)
        forward = unit((target - eye)[:, None])
        right = unit(np.cross(forward[:, 0], [0.0, 1.0, 0.0])[:, None])
        up = np.cross(right[:, 0], forward[:, 0])[:, None]
        half = np.tan(np.radians(scene.fov_degrees) / 2.0)
        jitter_x, jitter_y = self.pair(active, _JITTER)
        x = (2.0 * (self.column + jitter_x) / self.size - 1.0) * half
        y = (1.0 - 2.0 * (self.row + jitter_y) / self.size) * half
        direction = unit(forward + x * right + y * up)
        origin = np.repeat(eye[:, None], active.size, axis=1).astype(np.float64)
        if scene.aperture > 0.0:
            focus = scene.focus or float(np.linalg.norm(target - eye))
            in_focus = origin + direction * (focus / (forward * direction).sum(axis=0))
            radius, angle = self.pair(active, _LENS)
            radius, angle = scene.aperture * np.sqrt(radius), 2.0 * np.pi * angle
            origin = origin + radius * (np.cos(angle) * right + np.sin(angle) * up)
            direction = unit(in_focus - origin)
        return origin, direction

    def nearest(self, origin: Floats, direction: Floats) -> tuple[Floats, Indices]:
        """Distance to the first thing along each ray, and its index."""
        best = np.full(origin.shape[1], np.inf)
        hit = np.full(origin.shape[1], len(self.scene.things))
        for bound, members in self.clusters:
            near: Indices | slice = slice(None)
            if bound is not None:
                passing = np.flatnonzero(passes(bound, origin, direction))
                if not passing.size:
                    continue
                near = passing
            start, step = origin[:, near], direction[:, near]
            best_near, hit_near = best[near], hit[near]
            for index in members:
                distance = self.scene.things[index].shape.distance(start, step)
                closer = distance < best_near
                best_near = np.where(closer, distance, best_near)
                hit_near = np.where(closer, index, hit_near)
            best[near], hit[near] = best_near, hit_near
        return best, hit

    def shade(
        self,
        point: Floats,
        direction: Floats,
        hit: Indices,
        active: Indices,
        weight: Floats,
        bounce: int,
        use: int,
    ) -> None:
        """Add the light that arrives at these points, directly and from around them."""
        albedo, normal, gloss, rough, metal = self.surface(point, hit, active, weight)
        cosine = -np.einsum("in,in->n", normal, direction)
        normal = np.where(cosine < 0.0, -normal, normal)
        cosine = np.abs(cosine)
        start_at = point + 2e-4 * normal
        mirror = np.where(metal, 1.0, gloss + (gloss > 0.0) * (1.0 - gloss) * (1.0 - cosine) ** 5)
        shiny = np.flatnonzero(mirror > 0.0) if bounce == 0 else np.flatnonzero(metal)
        if shiny.size and bounce < BOUNCES - 1:
            tint = np.where(metal[shiny], albedo[:, shiny], 1.0)
            mirrored = direction[:, shiny] + 2.0 * cosine[shiny] * normal[:, shiny]
            mirrored = unit(mirrored + rough[shiny] * self.ball(active[shiny], use))
            carried = weight[:, shiny] * mirror[shiny] * tint
            self.colour[:, active[shiny]] += carried * self.scene.highlights(mirrored)
            self.follow(
                start_at[:, shiny], mirrored, active[shiny], carried, BOUNCES - 2, use + _MIRRORED
            )
        matte = np.flatnonzero(~metal)
        weight = (weight * (1.0 - mirror) * albedo)[:, matte]
        normal, start_at, active = normal[:, matte], start_at[:, matte], active[matte]
        towards = self.in_cone(active, use + 1)
        lit = np.einsum("in,in->n", normal, towards)
        sees = np.flatnonzero(lit > 0.0)
        distance, _ = self.nearest(start_at[:, sees], towards[:, sees])
        sees = sees[~np.isfinite(distance)]
        self.colour[:, active[sees]] += lit[sees] * weight[:, sees] * self.light_rgb
        if bounce == BOUNCES - 1:
            self.colour[:, active] += weight * np.asarray(self.scene.ambient)[:, None]
        else:
            onward = unit(normal + 0.999 * self.ball(active, use + 2))  # cosine-distributed
            self.follow(start_at, onward, active, weight, bounce + 1, use + _ONWARD)

    def surface(
        self, point: Floats, hit: Indices, active: Indices, weight: Floats
    ) -> tuple[Floats, Floats, Floats, Floats, Flags]:
        """Colour, normal, gloss, roughness and metal at each point; adds what glows."""
        albedo, normal = np.zeros_like(point), np.zeros_like(point)
        gloss, rough = np.zeros(hit.size), np.zeros(hit.size)
        metal = np.zeros(hit.size, dtype=bool)
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
                given = weight[:, chosen] * material.glow * albedo[:, chosen]
                self.colour[:, active[chosen]] += given
        return albedo, normal, gloss, rough, metal

    def ball(self, active: Indices, use: int) -> Floats:
        """Points spread evenly on the unit ball's surface."""
        one, two = self.pair(active, use)
        z = 1.0 - 2.0 * one
        ring = np.sqrt(np.maximum(0.0, 1.0 - z * z))
        return np.stack([ring * np.cos(2.0 * np.pi * two), z, ring * np.sin(2.0 * np.pi * two)])

    def in_cone(self, active: Indices, use: int) -> Floats:
        """Directions towards the light."""
        one, two = self.pair(active, use)
        axis = self.light_axis
        side = unit(np.cross(axis[:, 0], [0.3, 0.1, 0.9])[:, None])
        other = np.cross(axis[:, 0], side[:, 0])[:, None]
        radius, angle = self.scene.light_cone * np.sqrt(one), 2.0 * np.pi * two
        return unit(axis + radius * (np.cos(angle) * side + np.sin(angle) * other))


def _clusters(scene: Scene) -> list[tuple[Ellipsoid | None, list[int]]]:
    """Things by group, each with a ball around it: a ray that misses the ball misses them all."""
    by_group: dict[str, list[int]] = {}
    for index, thing in enumerate(scene.things):
        by_group.setdefault(thing.group or f"#{index}", []).append(index)
    out: list[tuple[Ellipsoid | None, list[int]]] = []
    for members in by_group.values():
        shapes = [scene.things[index].shape for index in members]
        worth_it = len(members) > 1 or shapes[0].reach()[2] > 2
        out.append((bounding_ball(shapes) if worth_it else None, members))
    return out
