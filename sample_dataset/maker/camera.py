"""From light to an 8-bit picture: lens, sensor, and what a camera computes before it saves.

Order as in a real one: blur, colour fringes, vignetting; colour filter array, shot noise, pixel
response, read noise, quantisation; white balance, demosaicing, colour matrix, tone curve, noise
reduction, sharpening. The numbers are of the size found in small cameras and telephones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.cameras import Camera
from sample_dataset.maker.demosaic import METHODS, filter_array
from sample_dataset.maker.draws import Floats, normal
from sample_dataset.maker.filters import gaussian, round_half_up, sample, to_bytes

MARGIN = 8  # pixels around the picture that the lens and the filters may use
_LUMA = np.array([0.299, 0.587, 0.114])


def photograph(
    light: Floats, camera: Camera, key: str, *, exposure: float = 0.0
) -> npt.NDArray[np.uint8]:
    """Take a picture.

    Args:
        light: linear scene light ``(S, S, 3)``; S is the picture's side and two margins.
        key: which shot this is: seeds its noise (the fixed pattern is the camera's).
        exposure: correction of the automatic exposure, in stops.

    Returns:
        ``(S - 2 * MARGIN, S - 2 * MARGIN, 3)`` uint8.
    """
    mix = np.full((3, 3), camera.crosstalk / 2.0) + np.eye(3) * (1.0 - 1.5 * camera.crosstalk)
    response = mix @ np.diag([0.62, 1.0, 0.74])
    seen = _lens(light, camera) @ response.T
    bright = float(np.quantile(seen[..., 1], 0.92))
    raw = _sensor(seen * (0.50 / bright * 2.0**exposure), camera, key)
    colours = _develop(raw, camera, response)
    picture = _finish(colours, camera)
    return to_bytes(255.0 * picture[MARGIN:-MARGIN, MARGIN:-MARGIN])


def _lens(light: Floats, camera: Camera) -> Floats:
    size = light.shape[0]
    centre = (size - 1) / 2.0
    rows, columns = np.meshgrid(np.arange(size) - centre, np.arange(size) - centre, indexing="ij")
    reach = (rows**2 + columns**2) / (2.0 * centre**2)
    planes = []
    for channel, shift in ((0, camera.fringe[0]), (1, 0.0), (2, camera.fringe[1])):
        plane = light[..., channel]
        if shift:
            grow = 1.0 + shift / (np.sqrt(2.0) * centre)
            plane = sample(plane, rows * grow + centre, columns * grow + centre)
        planes.append(plane)
    blurred = gaussian(np.maximum(np.stack(planes, axis=-1), 0.0), camera.blur)
    return np.asarray(blurred * (1.0 - camera.vignetting * reach)[..., None])


def _sensor(seen: Floats, camera: Camera, key: str) -> Floats:
    """Electrons behind the colour filters, as the converter counts them, over the full well."""
    shape = seen.shape[:2]
    rows, columns = np.indices(shape)
    mosaic = seen[rows, columns, filter_array(camera.pattern, (shape[0], shape[1]))]
    electrons = np.clip(mosaic, 0.0, 1.0) * camera.full_well
    electrons *= 1.0 + camera.prnu * normal(f"{camera.name}/pixel response", shape)
    electrons += np.sqrt(np.maximum(electrons, 0.0)) * normal(f"{camera.name}/{key}/shot", shape)
    electrons += camera.read_noise * normal(f"{camera.name}/{key}/read", shape)
    electrons += 0.25 * camera.read_noise * normal(f"{camera.name}/{key}/row", (shape[0], 1))
    step = camera.full_well / 2.0**camera.bits
    return np.asarray(
        np.clip(round_half_up(electrons / step) * step / camera.full_well, -0.05, 1.0)
    )


def _develop(raw: Floats, camera: Camera, response: Floats) -> Floats:
    """White balance, demosaicing and the matrix back to the eye's colours."""
    white = response.sum(axis=1)
    gains = white.max() / white
    gain_here = gains[filter_array(camera.pattern, (raw.shape[0], raw.shape[1]))]
    balanced = np.minimum(raw * gain_here, 1.0)
    colours = METHODS[camera.demosaicing](balanced, camera.pattern)
    matrix = np.linalg.inv(np.diag(gains) @ response)
    matrix = matrix / matrix.sum(axis=1, keepdims=True)
    return np.asarray(np.clip(colours @ matrix.T, 0.0, 1.0))


def _finish(colours: Floats, camera: Camera) -> Floats:
    """Tone curve, noise reduction, saturation and sharpening; 0..1."""
    shoulder = colours * (1.0 + colours * 0.12) / (0.62 + 0.5 * colours)
    encoded = np.where(
        shoulder <= 0.0031308,
        12.92 * shoulder,
        1.055 * np.maximum(shoulder, 1e-9) ** (1 / 2.4) - 0.055,
    )
    encoded = np.clip(encoded, 0.0, 1.0)
    curve = (
        encoded + 0.16 * camera.contrast * encoded * (1.0 - encoded) * (2.0 * encoded - 1.0) * 2.0
    )
    luma = (curve @ _LUMA)[..., None]
    colour = gaussian(curve - luma, camera.smoothing) * camera.saturation
    detail = luma - gaussian(luma, camera.radius)
    calm = np.where(np.abs(detail) < 0.004, 0.3, 1.0)  # flat areas are not sharpened
    return np.asarray(np.clip(luma + camera.sharpening * calm * detail + colour, 0.0, 1.0))
