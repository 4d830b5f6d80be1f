"""Change how a network computes before it is traced, not what: other classes, the same tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.models.fusion import CrossAttention

# A module's class, and the one that takes its place: another ``forward``, no tensors of its own.
Classes = Mapping[type[nn.Module], type[nn.Module]]
STEP = 0.125  # a power of two; sums of its multiples are exact in float32 up to 2,097,152
MIN_SIZE = 32  # pixels a side; the arithmetic itself ends at 29 (an 8 x 8 grid in stage 1)


def concerns(module: nn.Module, classes: Classes) -> bool:
    """Whether a part of the network is of one of the classes."""
    return any(type(part) in classes for part in module.modules())


def rewrite(module: nn.Module, classes: Classes) -> nn.Module:
    """Exchange classes in place: parameters keep their names and values."""
    for part in module.modules():
        if type(part) in classes:
            part.__class__ = classes[type(part)]
    return module


def split(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 numbers as the nearest multiple of `STEP`, and the rest; nothing is lost."""
    coarse = torch.round(numbers * (1.0 / STEP)) * STEP
    return coarse, numbers - coarse


class PortableCrossAttention(CrossAttention):
    """Sums the multiples of a step without an error, and the small rests beside them."""

    def _scores(self, rows: Tensor) -> Tensor:
        """(B, heads, h, d, d) products of each row to their sum, but for a constant a column."""
        coarse, rest = (part.sum(2) for part in split(rows))
        # The greatest is taken out here, where it is exact; the softmax does not see it.
        return (coarse - coarse.amax(-2, keepdim=True)) + rest


REWRITTEN: Classes = {CrossAttention: PortableCrossAttention}


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
