"""What a network is, as data: its inputs, outputs, weights and preprocessing. No torch here."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PIXEL_AXES = ("height", "width")  # their sizes are `ModelSpec.least_size` and ``trace_size``

RGB, GREY = "RGB", "L"
CHANNELS = {RGB: 3, GREY: 1}

FLOATS = ("float32", "float64", "float16")
DTYPES = (*FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool")
TIMM_PREFIX = "timm:"  # before a network's name: timm's
TRACER, DYNAMO = "tracer", "dynamo"
EXPORTERS = (TRACER, DYNAMO)
Axis = int | str


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: its name in the ONNX file.
        axes: a number where the size is fixed, a name where it is free: ``("batch", 3, "height",
            "width")``.
        description: what it holds, with its range of values.
        dtype: the type of its numbers, one of `DTYPES`.
        below: made-up whole numbers are 0 to below this one (a vocabulary's size, say).
    """

    name: str
    axes: tuple[Axis, ...]
    description: str = ""
    dtype: str = "float32"
    below: int = 2

    @property
    def dynamic_axes(self) -> dict[int, str]:
        """The free axes by position, as the exporter wants them."""
        return {index: axis for index, axis in enumerate(self.axes) if isinstance(axis, str)}


@dataclass(frozen=True)
class Preprocessing:
    """How an 8-bit picture becomes the first input: ``x = (picture / scale - mean) / std``.

    Attributes:
        scale: what 8-bit values are divided by; 256 for TruFor (well-known ports use 255).
        mean: subtracted after scaling, a value a channel; zeros where the graph normalises.
        std: divided by, a value a channel.
        channels: ``RGB``, or ``L``: one channel, the luma of ITU-R BT.601 as pillow computes it.
    """

    scale: float = 256.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: str = RGB

    def __post_init__(self) -> None:
        """One value of mean and standard deviation a channel.

        Raises:
            ExportError: the channels are others, or the values are more or fewer.
        """
        count = CHANNELS.get(self.channels)
        if count is None or len(self.mean) != count or len(self.std) != count:
            raise ExportError(
                f"a preprocessing of {self.channels} with {len(self.mean)} means and "
                f"{len(self.std)} standard deviations",
                hint="channels='RGB' with three of each, or 'L' with one",
            )

    def document(self) -> dict[str, Any]:
        """The contract as it is written into ONNX files and reports."""
        return {
            "channels": self.channels,
            "layout": "NCHW",
            "dtype": "float32",
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
        }


@dataclass(frozen=True)
class Judged:
    """An output that people act on, and how: see ``parity.results.comparison``.

    Attributes:
        score: the output that is an image's score, 0..1, decided at 0.5.
        maps: outputs that are maps, 0..1, thresholded at 0.5.
    """

    score: str = ""
    maps: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """A network that can be exported and judged.

    Attributes:
        name: what users type, and the file's name without ``.onnx``.
        title: one line for people.
        version: changes whenever the arithmetic or the names change.
        inputs: the first is made from the image; a second one is made by ``second_input``.
        outputs: in the order in which the network returns them.
        builder: ``"module:function"``, imported only when a network is built; called with
            ``builder_arguments``, it returns a ``torch.nn.Module``. A function or class itself may
            be given, which can be imported by its name: not a lambda, no function in another.
        prefix: what stands before this network's tensor names in the whole network.
        files: names under which a folder of weights may hold this network, best first.
        preprocessing: how an image becomes the first input.
        least_size: the least height and width, in pixels.
        fixed_size: the only height and width that the graph accepts, or None where they are free.
        trace_size: height and width of the traced example.
        sizes: for a free axis the sizes that the export takes, where not any will do: the first is
            traced, the others are checked, ``{"channels": (1, 3)}``.
        elsewhere: prefixes of tensors that a checkpoint of the whole network holds and that this
            network leaves to others.
        second_branch: the prefix of the branch that gets a copy where a checkpoint has one branch
            only ("" where the network has one branch).
        second_input: ``"noiseprint"`` where the second input is the first image's Noiseprint++
            map, repeated to the axes of the second input.
        judged: outputs that are judged as decisions too.
        exporter: which of torch's makes its graph: ``tracer``, or ``dynamo`` where it has operators
            that the tracer does not know.
        strict: every tensor of the network must be in the graph, and no larger tensor may
            appear there that is not one of them (but for vectors of one number). Ours are; of
            timm's, some compute tables.
    """

    name: str
    title: str = ""
    version: str = "1"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    builder: str = ""
    builder_arguments: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    files: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    least_size: int = 1
    fixed_size: tuple[int, int] | None = None
    trace_size: tuple[int, int] = (64, 96)
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()
    second_branch: str = ""
    second_input: str = ""
    judged: Judged = Judged()
    exporter: str = TRACER
    strict: bool = True

    def __post_init__(self) -> None:
        """Refuse what would only fail late, or name a file outside of its folder.

        Raises:
            ExportError: says what is wrong with the specification.
        """
        for given in ("inputs", "outputs"):
            object.__setattr__(self, given, tuple(getattr(self, given)))
        if callable(self.builder):
            object.__setattr__(self, "builder", _named(self.builder))
        tensors = [tensor.name for tensor in (*self.inputs, *self.outputs)]
        faults = {
            "its name must start with a letter and hold letters, digits and . _ : @ - only": (
                not re.fullmatch(r"[A-Za-z][\w.:@-]*", self.name, re.ASCII)
            ),
            "it needs an input and an output": not (self.inputs and self.outputs),
            f"the dtypes of its inputs and outputs must be of {', '.join(DTYPES)}": any(
                tensor.dtype not in DTYPES for tensor in (*self.inputs, *self.outputs)
            ),
            "whole numbers of an input must be below 1 or more": any(
                t.below < 1 for t in self.inputs
            ),
            "two of its inputs and outputs have one name": len(set(tensors)) != len(tensors),
            f"its sizes must name free axes of its inputs, but for {' and '.join(PIXEL_AXES)}": (
                not set(self.sizes) <= set(self.free_axes()) - set(PIXEL_AXES)
            ),
            "its sizes must be two numbers or more an axis, all different and from 1 on": not all(
                len(set(given)) == len(given) > 1 and min(given) >= 1
                for given in self.sizes.values()
            ),
            f"its exporter must be {' or '.join(EXPORTERS)}": self.exporter not in EXPORTERS,
            "its builder must be 'module:function'": not re.fullmatch(r"[\w.]+:\w+", self.builder),
        }
        for fault, there in faults.items():
            if there:
                raise ExportError(
                    f"model {self.name!r}: {fault}",
                    hint="see trufor_onnx.export.networks.spec.ModelSpec",
                )

    def build(self) -> Any:
        """A ``torch.nn.Module`` in evaluation mode, its weights not yet set.

        Raises:
            ExportError: torch, or what the network is built with, is not installed; the builder
                fails in any way; or what it gives is no module.
        """
        module_name, _, function_name = self.builder.partition(":")
        hint = f"mend the builder {self.builder}, or its arguments in the spec"
        with foreign(f"{self.name}: building the network", hint=hint):
            named = importlib.import_module(module_name)
            build: Callable[..., Any] | None = getattr(named, function_name, None)
            if build is None:
                raise ExportError(
                    f"{self.name}: {module_name} has no {function_name}", hint="mend the builder"
                )
            module = build(**self.builder_arguments)
            import torch

            if not isinstance(module, torch.nn.Module):
                raise ExportError(
                    f"{self.name}: its builder gave {type(module).__name__}, not a network",
                    hint=f"{self.builder} must return a torch.nn.Module",
                )
            return module.eval()

    def free_axes(self) -> list[str]:
        """The names of the inputs' free axes, in order; an axis of several inputs is one."""
        axes = [axis for tensor in self.inputs for axis in tensor.axes if isinstance(axis, str)]
        return list(dict.fromkeys(axes))

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Free axes by tensor name and position."""
        return {tensor.name: tensor.dynamic_axes for tensor in (*self.inputs, *self.outputs)}


def _named(build: Callable[..., Any]) -> str:
    """``module:name`` of a callable, by which it can be imported again.

    Raises:
        ExportError: it has no such name: a lambda, or a function within another.
    """
    module, name = getattr(build, "__module__", ""), getattr(build, "__qualname__", "")
    there = getattr(sys.modules.get(module or ""), name, None) if name.isidentifier() else None
    if not module or there is not build:
        raise ExportError(
            f"the builder {name or build!r} has no name by which it can be called again",
            hint="write it as a function or a class at the top of a file or a notebook",
        )
    return f"{module}:{name}"
