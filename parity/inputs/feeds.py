"""From pixels to a network's named inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.preprocess import to_input
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing
from trufor_onnx.parity.inputs.cases import Pixels, fit

Array = npt.NDArray[Any]
Feeds = dict[str, npt.NDArray[np.float32]]


def make_feeds(
    spec: ModelSpec,
    pixels: Pixels,
    preprocessing: Preprocessing,
    noiseprint: Callable[[Pixels], Array] | None = None,
) -> Feeds:
    """The inputs for a batch of images; every backend gets the same float32 numbers.

    Args:
        spec: the network.
        pixels: (B, H, W, 3) uint8.
        preprocessing: the contract of the first input.
        noiseprint: gives the (B, 1, H, W) Noiseprint++ map, for networks whose second input it is.

    Raises:
        ParityError: the image is smaller than the network allows, or an input has no rule.
    """
    if spec.fixed_size:
        pixels = np.stack([fit(image, spec.fixed_size) for image in pixels])
    height, width = pixels.shape[1:3]
    if min(height, width) < spec.least_size:
        raise ParityError(
            f"{height} x {width} pixels are fewer than {spec.name} takes",
            hint=f"the least is {spec.least_size} x {spec.least_size}",
        )
    image = np.concatenate([to_input(picture, preprocessing) for picture in pixels])
    feeds = {spec.inputs[0].name: image}
    if spec.second_input == "noiseprint":
        if noiseprint is None:
            raise ParityError(f"{spec.name} needs a Noiseprint++ map", hint="a fault in the caller")
        second = spec.inputs[1]
        channels = second.axes[1] if isinstance(second.axes[1], int) else 1
        single = noiseprint(pixels).astype(np.float32)
        feeds[second.name] = np.ascontiguousarray(np.repeat(single, channels, axis=1))
    if set(feeds) != {tensor.name for tensor in spec.inputs}:
        raise ParityError(
            f"{spec.name} has inputs that no rule makes: "
            f"{', '.join(t.name for t in spec.inputs if t.name not in feeds)}",
            hint="its spec's second_input says how the second one is made",
        )
    return feeds
