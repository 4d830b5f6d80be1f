"""What saving as JPEG does to pixels, computed here and not by a codec.

A forger's pictures have been JPEG before; were that done with a library, the sample pictures would
depend on its version. Transform, tables and scaling as in ITU-T T.81 (annexes A and K) and the
Independent JPEG Group's quality scale. Colour conversion as in JFIF.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.filters import round_half_up, to_bytes

_LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float64,
)
_CHROMA_TABLE = np.full((8, 8), 99.0)
_CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]]
)
_TO_RGB = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136286, -0.714136286], [1.0, 1.772, 0.0]])

_K = np.arange(8)
_DCT = np.sqrt(0.25) * np.cos(np.pi * (2 * _K[None, :] + 1) * _K[:, None] / 16.0)
_DCT[0] = np.sqrt(0.125)


def through_jpeg(
    picture: npt.NDArray[np.uint8], quality: int, subsampled: bool
) -> npt.NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 after one save and load; sides must be multiples of 16.

    Args:
        quality: 1..100 on the Independent JPEG Group's scale.
        subsampled: colour at half resolution (4:2:0) instead of full (4:4:4).
    """
    scale = 5000.0 / quality if quality < 50 else 200.0 - 2.0 * quality
    ycc = picture.astype(np.float64) @ _TO_YCC.T
    ycc[..., 0] -= 128.0
    planes = []
    for index, table in enumerate((_LUMA_TABLE, _CHROMA_TABLE, _CHROMA_TABLE)):
        plane = round_half_up(ycc[..., index])
        half = subsampled and index > 0
        if half:
            height, width = plane.shape
            plane = round_half_up(plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))
        steps = np.clip(np.floor((table * scale + 50.0) / 100.0), 1.0, 255.0)
        plane = _blocks_through(plane, steps)
        planes.append(np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1) if half else plane)
    back = np.stack(planes, axis=-1)
    back[..., 0] += 128.0
    return to_bytes(back @ _TO_RGB.T)


def _blocks_through(plane: Floats, steps: Floats) -> Floats:
    height, width = plane.shape
    blocks = plane.reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)
    levels = round_half_up((_DCT @ blocks @ _DCT.T) / steps)
    blocks = round_half_up(_DCT.T @ (levels * steps) @ _DCT)
    return np.asarray(np.clip(blocks.transpose(0, 2, 1, 3).reshape(height, width), -128.0, 127.0))
