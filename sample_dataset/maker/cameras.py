"""The simulated cameras: four that differ in every step that leaves a trace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Camera:
    """One camera. ``name`` also seeds its fixed pattern."""

    name: str
    pattern: str  # Bayer corner
    demosaicing: str
    blur: float  # sigma of lens and filter stack, pixels
    fringe: tuple[float, float]  # red and blue displaced at the corner, pixels
    vignetting: float  # light lost at the corner, 0..1
    full_well: float  # electrons
    read_noise: float  # electrons
    prnu: float  # relative spread of the pixels' response
    bits: int
    crosstalk: float  # light that a filter passes of its neighbour colours
    contrast: float
    saturation: float
    smoothing: float  # noise reduction: sigma on colour, pixels
    sharpening: float
    radius: float


CAMERAS = {
    camera.name: camera
    for camera in (
        Camera(
            name="aster",
            pattern="RGGB",
            demosaicing="gradient-corrected",
            blur=0.55,
            fringe=(0.25, -0.35),
            vignetting=0.16,
            full_well=16000.0,
            read_noise=5.0,
            prnu=0.010,
            bits=12,
            crosstalk=0.10,
            contrast=1.00,
            saturation=1.05,
            smoothing=0.6,
            sharpening=0.55,
            radius=0.9,
        ),
        Camera(
            name="borea",
            pattern="GRBG",
            demosaicing="edge-directed",
            blur=0.45,
            fringe=(-0.15, 0.25),
            vignetting=0.10,
            full_well=42000.0,
            read_noise=8.0,
            prnu=0.006,
            bits=14,
            crosstalk=0.07,
            contrast=1.06,
            saturation=1.00,
            smoothing=0.0,
            sharpening=0.30,
            radius=0.7,
        ),
        Camera(
            name="cirrus",
            pattern="BGGR",
            demosaicing="bilinear",
            blur=0.70,
            fringe=(0.55, -0.60),
            vignetting=0.24,
            full_well=6500.0,
            read_noise=3.5,
            prnu=0.014,
            bits=10,
            crosstalk=0.16,
            contrast=0.96,
            saturation=1.18,
            smoothing=1.3,
            sharpening=1.00,
            radius=1.2,
        ),
        Camera(
            name="delta",
            pattern="GBRG",
            demosaicing="gradient-corrected",
            blur=0.50,
            fringe=(0.10, -0.50),
            vignetting=0.12,
            full_well=24000.0,
            read_noise=6.0,
            prnu=0.008,
            bits=12,
            crosstalk=0.12,
            contrast=1.03,
            saturation=1.10,
            smoothing=0.9,
            sharpening=0.75,
            radius=0.8,
        ),
    )
}
