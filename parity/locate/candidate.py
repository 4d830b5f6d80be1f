"""The candidate of ``parity locate``: the file, what it says it is, its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from export.finish import VARIANT_KEY
from export.spec import ModelSpec
from export.variants import ORT
from parity.errors import ParityError
from parity.locate.tape import Tape
from parity.runners.base import Outputs

if TYPE_CHECKING:
    import onnx
    import torch

Array = npt.NDArray[Any]
SAME = 1e-9  # of an output's largest value; 1e-11 in tests of the rewriting


def load(path: Path) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The file and its initializers; `identify` has read it before, so that it is whole."""
    import onnx

    proto = onnx.load(path)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    kept = []
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            arrays[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        else:
            kept.append(node)
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(kept)
    return proto, arrays


def variant_of(proto: onnx.ModelProto) -> str:
    """What the file says it is; "" where it says nothing."""
    said = {entry.key: entry.value for entry in proto.metadata_props}
    return str(said.get(VARIANT_KEY, ""))


def in_its_pieces(
    proto: onnx.ModelProto, spec: ModelSpec, module: torch.nn.Module
) -> torch.nn.Module:
    """The network, computing in the pieces of the file's variant where those are others.

    `ort` multiplies layers into each other; `require_same` proves that it is the same network.
    """
    return ORT.rewritten(spec, module) if variant_of(proto) == ORT.name else module


def require_same(tape: Tape, written: Outputs, name: str) -> None:
    """The recorded outputs are those of the network as it is written.

    Args:
        tape: the record of the network in other pieces.
        written: outputs of the network as it is written, float64, in order.
        name: the network's.

    Raises:
        ParityError: they differ by more than float64 rounds.
    """
    for value, wanted in zip(tape.outputs, written.values(), strict=True):
        worst = float(np.abs(tape.array(value).reshape(wanted.shape) - wanted).max())
        if not worst <= SAME * float(np.abs(wanted).max()):
            raise ParityError(
                f"{name}: in the pieces of the variant {ORT.name} it is {worst:.1e} off itself",
                hint="please report it; parity run judges the file against the network as written",
            )


def inputs_of(
    proto: onnx.ModelProto, arrays: Mapping[str, Array], feeds: Mapping[str, Array]
) -> dict[str, str]:
    """The network's input for each of the file's: by name, or the only one there is."""
    names = [value.name for value in proto.graph.input if value.name not in arrays]
    if set(names) == set(feeds):
        return {name: name for name in names}
    if len(names) == len(feeds) == 1:
        return {names[0]: next(iter(feeds))}
    raise ParityError(
        f"the file's inputs are {', '.join(names)}; the network has {', '.join(feeds)}",
        hint="it is another network's file, or its inputs were renamed",
    )


def outputs_of(proto: onnx.ModelProto, spec: ModelSpec, tape: Tape) -> list[int]:
    """The reference's value of each of the file's outputs: by name, or the only one there is."""
    names = [value.name for value in proto.graph.output]
    own = dict(zip((tensor.name for tensor in spec.outputs), tape.outputs, strict=True))
    if set(names) == set(own):
        return [own[name] for name in names]
    if len(names) == len(own) == 1:
        return list(own.values())
    raise ParityError(
        f"the file's outputs are {', '.join(names)}; the network has {', '.join(own)}",
        hint="it is another network's file, or its outputs were renamed",
    )
