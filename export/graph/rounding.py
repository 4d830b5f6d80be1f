"""Whether a graph's outputs differ from the network's by more than rounding explains.

Torch's own distance to float64 says how far rounding goes. Where ONNX Runtime goes farther, the
file itself is computed in float64: its Sigmoid is 6e-8 off whatever its output's size, so that a
mask of 2e-7 is off by a quarter of itself, in a file that is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.in_float64 import Feeds, in_float64, too_many
from trufor_onnx.export.networks.spec import TIMM_PREFIX, ModelSpec

# A traced constant or a swapped operator moves outputs by 1e-2 of their range and more; rounding
# moves them by 1e-5 (docs/networks.md, "How right they are").
WORST_RELATIVE = 1e-3
# Weights that amplify rounding (stand-in weights in timm's ghostnet: 30 times torch's own error)
# get this much of torch's own distance to float64, as long as a wrong graph would still be seen.
AMPLIFICATION = 100.0
WORST_AMPLIFIED = 0.05
# A kernel's error is that of one number: it hardly grows with the picture.
TIMES_CLEARED = 2.0
HINT = "the file was not written; please report this with the command you ran"

Array = npt.NDArray[Any]


@dataclass
class OtherWays:
    """The same file in float64, and in ONNX Runtime without optimisation.

    Attributes:
        spec: the network.
        file: its bytes, or its path.
        plain: the outputs that ONNX Runtime gives without optimisation.
        applies: false where the file has roundings of its own (float16, int8).
        notes: what is to be said, and how far off it was, by output.
    """

    spec: ModelSpec
    file: bytes | str
    plain: Callable[[Feeds], list[Array]]
    applies: bool = True
    notes: dict[str, tuple[float, str]] = field(default_factory=dict)
    _largest: dict[str, float] = field(default_factory=dict)

    def clear(
        self, output: str, feeds: Feeds, arrays: tuple[Array, Array], allowed: float, problem: str
    ) -> str:
        """Whether ONNX Runtime's rounding alone is what is off.

        Args:
            output: its name.
            feeds: the inputs.
            arrays: the float64 network's output, and ONNX Runtime's.
            allowed: how far off the file may be in these ways, as a share of the output's range.
            problem: what is off, for the warning.

        Returns:
            "" where it is (which `notes` then says), else what else is known of the fault.
        """
        reference, candidate = arrays
        floats = candidate.dtype.kind == "f"  # yes and no, and labels, are not rounded
        if not (self.applies and floats and np.isfinite(candidate).all()):
            return " "
        off = float(np.abs(candidate - reference).max())
        exact = in_float64(self.file if isinstance(self.file, bytes) else Path(self.file), feeds)
        if exact is not None:
            way, found = "computed in float64", exact[output]
        elif too_many(feeds) and off <= TIMES_CLEARED * self._largest.get(output, 0.0):
            return ""  # said at a smaller size
        else:
            names = [tensor.name for tensor in self.spec.outputs]
            way, found = "without optimisation", self.plain(feeds)[names.index(output)]
        if found.shape != reference.shape:
            return f"; {way} it has another shape"
        least = distance(self.spec, output, found, reference)
        if not least <= allowed:
            return f"; {way} it is off by {least:.2g}"
        self._largest[output] = max(off, self._largest.get(output, 0.0))
        if off >= self.notes.get(output, (0.0, ""))[0]:
            self.notes[output] = (
                off,
                (
                    f"{problem} in ONNX Runtime, {off:.2g} in all; the same file {way} is right "
                    f"(off by {least:.2g}), so its kernels round that coarsely here. The file was "
                    "written; a network that gives logits keeps a sigmoid's small values"
                ),
            )
        return ""


def suspicious(
    spec: ModelSpec, where: str, expected: list[Array], found: list[Array], worst: float
) -> bool:
    """Whether any output is further from torch's than rounding usually is, or is NaN.

    Raises:
        ExportError: an output has another shape.
    """
    far = False
    for tensor, reference, candidate in zip(spec.outputs, expected, found, strict=True):
        if reference.shape != candidate.shape:
            raise ExportError(
                f"{where}, output {tensor.name}: shape {candidate.shape}, not {reference.shape}",
                hint=fix_hint(spec),
            )
        far = far or not distance(spec, tensor.name, candidate, reference) <= worst  # NaN too
    return far


def judge(
    where: str,
    exact: list[Array],
    source: list[Array],
    found: list[Array],
    limit: float,
    feeds: Feeds,
    others: OtherWays,
) -> None:
    """Is every output's distance to float64 what rounding explains, torch's own or a kernel's?

    Args:
        where: the network and the sizes, for errors.
        exact: the network's outputs in float64.
        source: torch's in float32.
        found: ONNX Runtime's.
        limit: the worst difference allowed, as a share of an output's range.
        feeds: the inputs.
        others: the file in other ways, asked where ONNX Runtime is too far off.

    Raises:
        ExportError: it is not, or that cannot be told.
    """
    spec = others.spec
    for tensor, *arrays in zip(spec.outputs, exact, source, found, strict=True):
        reference, own, candidate = arrays
        least = distance(spec, tensor.name, own, reference)
        if not least <= WORST_AMPLIFIED:
            raise ExportError(
                f"{where}, output {tensor.name}: cannot be checked, in torch itself float32 is "
                f"off by {least:.2g} of its range",
                hint="these weights amplify rounding beyond use; export with trained ones",
            )
        allowed = min(max(limit, AMPLIFICATION * least), max(limit, WORST_AMPLIFIED))
        worst = distance(spec, tensor.name, candidate, reference)
        if not worst <= allowed:
            problem = f"{where}, output {tensor.name}: off by {worst:.2g} of its range"
            more = others.clear(tensor.name, feeds, (reference, candidate), allowed, problem)
            if more:
                text = f"{problem} (at most {allowed:.2g}){more.rstrip()}"
                raise ExportError(text, hint=fix_hint(spec))


def distance(spec: ModelSpec, output: str, candidate: Array, reference: Array) -> float:
    """The worst difference as a share of the output's range; NaN where there is one.

    Of an output without elements 0: `export.graph.self_check` counts what was compared.
    """
    answer = output in (spec.judged.score, *spec.judged.maps)  # in 0..1: that is its range
    # Differences of yes and no, and of unsigned numbers, are none in their own type.
    found, wanted = (a if a.dtype.kind == "f" else a.astype(float) for a in (candidate, reference))
    scale = 1.0 if answer else float(np.abs(wanted).max(initial=0.0)) or 1.0
    return float(np.abs(found - wanted).max(initial=0.0)) / scale


def fix_hint(spec: ModelSpec) -> str:
    """What helps against a graph that is wrong at some sizes."""
    if spec.fixed_size is None and spec.name.startswith(TIMM_PREFIX):
        height, width = spec.trace_size
        return f"let its size be fixed: {spec.name}@{height}x{width}"
    return HINT
