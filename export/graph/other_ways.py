"""At which sizes a network takes another way through its Python code: a graph holds one way only.

The network runs on tensors that have shapes and no values (torch's fake tensors), while the
interpreter says which instructions of its code were reached. That costs no arithmetic, so that
sizes far above those that are compared with the graph can be looked at.
"""

from __future__ import annotations

import copy
import gc
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.trace import input_shapes, trace_sizes
from trufor_onnx.export.networks.spec import PIXEL_AXES, ModelSpec

if TYPE_CHECKING:
    import torch

Sizes = dict[str, int]
Way = frozenset[tuple[CodeType, int]]  # instructions that were reached

PIXELS = (129, 257, 513, 1025, 2049, 4097)
IMAGES = (5, 9, 65)
WATCHING = "a network that is watched"  # its failure is an answer, not an error
_LIBRARIES = ("torch", "numpy", "sympy", "mpmath", "onnx", "onnxruntime")


def probes(spec: ModelSpec) -> Iterator[Sizes]:
    """Sizes at which another way is looked for: each free axis alone, then both of a picture's."""
    traced = {axis: size for axis, size in trace_sizes(spec).items() if axis in spec.free_axes()}
    larger = {
        axis: [size for size in (IMAGES if axis == "batch" else PIXELS) if size > base]
        for axis, base in traced.items()
        if axis not in spec.sizes
    }
    for axis in sorted(larger, key=lambda axis: axis == "batch"):  # the batch last
        yield from ({**traced, axis: size} for size in larger[axis])
    if set(PIXEL_AXES) <= set(larger):
        both = (size for size in larger["height"] if size in larger["width"])
        yield from ({**traced, **dict.fromkeys(PIXEL_AXES, size)} for size in both)


@dataclass
class Watch:
    """Follows a network.

    Attributes:
        spec: the network.
        module: a copy of it, which is thrown away: some networks keep what they computed.
    """

    spec: ModelSpec
    module: torch.nn.Module
    _lines: dict[tuple[CodeType, int], int] = field(init=False, default_factory=dict)

    @classmethod
    def of(cls, spec: ModelSpec, module: torch.nn.Module) -> Watch | None:
        """For a network, which is left as it is; None where it cannot be copied."""
        try:
            with foreign(WATCHING, hint=""):
                watch = cls(spec, copy.deepcopy(module))
        except ExportError:
            return None
        watch.way(trace_sizes(spec))  # what only a first run does is no other way
        return watch

    def way(self, sizes: Mapping[str, int]) -> Way | None:
        """The instructions that a run at some sizes reaches; None where it cannot be followed."""
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        reached: set[tuple[CodeType, int]] = set()

        def follow(frame: FrameType, event: str, _: Any) -> Any:
            if event == "opcode":
                key = frame.f_code, frame.f_lasti
                reached.add(key)
                self._lines[key] = frame.f_lineno
            return follow

        def enter(frame: FrameType, _: str, __: Any) -> Any:
            if not _of_a_library(frame.f_code.co_filename):
                frame.f_trace_opcodes, frame.f_trace_lines = True, False
                return follow
            return None

        before, collects = sys.gettrace(), gc.isenabled()
        gc.disable()  # what others do when memory is collected is no way of the network
        try:
            with (
                foreign(WATCHING, hint=""),
                FakeTensorMode(allow_non_fake_inputs=True),
                torch.no_grad(),
            ):
                shapes = zip(self.spec.inputs, input_shapes(self.spec, sizes), strict=True)
                inputs = [torch.empty(s, dtype=getattr(torch, t.dtype)) for t, s in shapes]
                sys.settrace(enter)
                self.module(*inputs)
        except ExportError:  # not made for a size, or not to be followed without values
            return None
        finally:
            sys.settrace(before)
            if collects:
                gc.enable()
        return frozenset(reached)

    def where(self, way: Way, known: set[Way]) -> str:
        """The first line that is reached on this way only, or on the others only."""
        usual = min(known, key=lambda other: len(way ^ other))
        different = way - usual or usual - way
        code, offset = min(different, key=lambda key: (key[0].co_firstlineno, key[1]))
        return f"{Path(code.co_filename).name}:{self._lines[code, offset]}"

    def smallest(self, probe: Sizes, known: set[Way]) -> Sizes:
        """The smallest sizes between the traced ones and a probe's that leave the known ways."""
        traced = trace_sizes(self.spec)
        axis = max(probe, key=lambda name: probe[name] - traced[name])
        low, high = traced[axis], probe[axis]

        def between(size: int) -> Sizes:
            share = (size - traced[axis]) / (probe[axis] - traced[axis])
            return {
                name: traced[name] + round(share * (value - traced[name]))
                for name, value in probe.items()
            }

        while high - low > 1:
            middle = (low + high) // 2
            way = self.way(between(middle))
            low, high = (middle, high) if way is None or way in known else (low, middle)
        return between(high)


@cache
def _of_a_library(file: str) -> bool:
    """Whether code is Python's own, or of a package whose ways are not the network's."""
    if file.startswith("<"):
        return True
    parts = Path(file).parts
    for packages in ("site-packages", "dist-packages"):
        if packages in parts:
            return parts[parts.index(packages) + 1].removesuffix(".py") in _LIBRARIES
    return file.startswith(sysconfig.get_path("stdlib"))
