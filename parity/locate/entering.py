"""How the candidate takes its inputs: names, types, axes, sizes; and what to feed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing
from trufor_onnx.parity.locate.candidate import Opened
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from trufor_onnx.providers import parse_providers

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
IMAGE = 4  # axes
TO_CHANNELS_LAST = (0, 2, 3, 1)
LEVELS = 255


@dataclass(frozen=True)
class Entry:
    """One input of the candidate.

    Attributes:
        own: the network's name of it.
        array: what the candidate is fed.
        differs: in which way it is not the network's input, in words ("" where it is).
        called: the file's own name, where it is another one.
        same_numbers: whether the array holds the reference's numbers, in some arrangement.
    """

    own: str
    array: Array
    differs: str = ""
    called: str = ""
    same_numbers: bool = True


def enter(
    path: Path, opened: Opened, feeds: Feeds, spec: ModelSpec, contract: Preprocessing
) -> tuple[dict[str, Entry], Outputs]:
    """Find out what the candidate wants to be fed, and run it once as it is.

    Args:
        path: the file.
        opened: the same, read.
        feeds: the network's inputs.
        spec: the network.
        contract: how pixels become the first input.

    Returns:
        The inputs by the file's names, and its outputs.

    Raises:
        ParityError: the inputs are other ones, of a type that no rule makes, or it does not run.
    """
    names = _names(opened, feeds)
    provider = parse_providers("cpu")[0]
    with OnnxRuntimeRunner(path, provider) as runner:
        entries = {
            value.name: _entry(value, names[value.name], feeds, spec, contract)
            for value in opened.proto.graph.input
            if value.name in names
        }
        try:
            return entries, runner.run({name: one.array for name, one in entries.items()})
        except ParityError:
            turned = {name: _channels_last(one) for name, one in entries.items()}
            if all(turned[name] is one for name, one in entries.items()):
                raise
            try:
                return turned, runner.run({name: one.array for name, one in turned.items()})
            except ParityError:
                pass
            raise


def size_of(opened: Opened) -> tuple[int, int] | None:
    """Height and width where the file's first input has them fixed, or None."""
    for value in opened.proto.graph.input:
        axes = _axes(value)
        if value.name not in opened.arrays and len(axes) == IMAGE:
            last = axes[1] not in (1, 3) and axes[3] in (1, 3)
            height, width = axes[1:3] if last else axes[2:4]
            return (height, width) if height and width else None
    return None


def _names(opened: Opened, feeds: Mapping[str, Array]) -> dict[str, str]:
    """The network's input for each of the file's: by name, or the only one there is."""
    names = [v.name for v in opened.proto.graph.input if v.name not in opened.arrays]
    if set(names) == set(feeds):
        return {name: name for name in names}
    if len(names) == len(feeds) == 1:
        return {names[0]: next(iter(feeds))}
    raise ParityError(
        f"the file's inputs are {', '.join(names)}; the network has {', '.join(feeds)}",
        hint="it is another network's file, or its inputs were renamed",
    )


def _axes(value: onnx.ValueInfoProto) -> list[int]:
    """Declared lengths; 0 where one is free."""
    return [d.dim_value for d in value.type.tensor_type.shape.dim]


def _entry(
    value: onnx.ValueInfoProto,
    own: str,
    feeds: Feeds,
    spec: ModelSpec,
    contract: Preprocessing,
) -> Entry:
    import onnx

    array, kind, axes = feeds[own], value.type.tensor_type.elem_type, _axes(value)
    wanted = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) if kind else array.dtype
    called = "" if value.name == own else value.name
    said, same = [], True
    is_image = own == spec.inputs[0].name and array.ndim == IMAGE
    is_image = is_image and array.shape[1] == len(contract.std)
    if wanted == array.dtype:
        pass
    elif wanted.kind == array.dtype.kind:
        array = array.astype(wanted)
        said.append(f"it takes {wanted}, the network {feeds[own].dtype}")
    elif wanted.kind in "iu" and wanted != np.int8 and is_image:
        array, same = _pixels(array, contract).astype(wanted), False
        said.append(f"it takes {wanted} pixels, the network {feeds[own].dtype}")
    else:
        raise ParityError(
            f"the file's input {value.name} is {wanted}; the network's {own} is {array.dtype}",
            hint="export it with the network's own types, or put the conversion before the file",
        )
    entry = Entry(own, array, ", ".join(said), called, same)
    channels = array.shape[1] if array.ndim == IMAGE else 0
    if len(axes) == IMAGE and channels and axes[1] not in (0, channels) and axes[3] == channels:
        return _channels_last(entry)
    return entry


def _channels_last(entry: Entry) -> Entry:
    """(B, H, W, C) in place of (B, C, H, W)."""
    if entry.array.ndim != IMAGE or "NHWC" in entry.differs:
        return entry
    turned = np.ascontiguousarray(entry.array.transpose(TO_CHANNELS_LAST))
    said = [entry.differs] if entry.differs else []
    said.append("it takes NHWC (batch, height, width, channels), the network NCHW")
    return replace(entry, array=turned, differs=", ".join(said))


def _pixels(array: Array, contract: Preprocessing) -> Array:
    """The 8-bit pixels that an input was made of."""
    mean, std = (np.reshape(given, (1, -1, 1, 1)) for given in (contract.mean, contract.std))
    pixels = np.rint((array.astype(np.float64) * std + mean) * contract.scale)
    whole: Array = np.clip(pixels, 0, LEVELS).astype(np.uint8)
    return whole
