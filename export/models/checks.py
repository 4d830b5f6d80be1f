"""What the networks demand of their input, checked outside of tracing only."""

from __future__ import annotations

import torch
from torch import Tensor

from export.errors import ExportError

MIN_SIZE = 32  # pixels a side; the arithmetic itself ends at 29 (an 8 x 8 grid in stage 1)


class InputShapeError(ExportError):
    """An input that the network is not made for."""


def check_images(image: Tensor, extra: Tensor | None = None, *, one_channel: bool = False) -> None:
    """Refuse inputs that are not equally shaped batches of three-channel images of a fair size.

    Does nothing while a graph is being recorded: a recorded check would bind the graph to the
    sizes of its example.

    Args:
        image: (B, 3, H, W) with H and W at least ``MIN_SIZE``.
        extra: the second input, of the same shape, where the network has one.
        one_channel: ``extra`` may be (B, 1, H, W) too.

    Raises:
        InputShapeError: says which shape came and what the least is.
    """
    # torch leaves is_tracing without types.
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or torch.compiler.is_compiling():
        return
    shape = tuple(image.shape)
    extra_shape = shape if extra is None else tuple(extra.shape)
    shown = f"{shape}" if extra is None else f"{shape} and {extra_shape}"
    if one_channel and len(extra_shape) == 4 and extra_shape[1] == 1:
        extra_shape = (extra_shape[0], 3, *extra_shape[2:])
    if len(shape) != 4 or shape[1] != 3 or extra_shape != shape:
        raise InputShapeError(
            f"the network takes (B, 3, H, W), the same for all its inputs; got {shown}",
            hint="stack images of one size; repeat a one-channel map to three channels",
        )
    if min(shape[2:]) < MIN_SIZE:
        height, width = shape[2:]
        raise InputShapeError(
            f"an image of {height} x {width} pixels is too small: "
            f"the least is {MIN_SIZE} x {MIN_SIZE}",
            hint="use a larger crop; enlarging an image destroys the traces that are looked for",
        )
