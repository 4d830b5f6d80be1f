"""What a network takes and gives, found by running it: on pictures, or on an example of arrays."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.outputs import leaves
from trufor_onnx.export.networks.spec import (
    CHANNELS,
    FLOATS,
    GREY,
    PIXEL_AXES,
    RGB,
    Axis,
    ModelSpec,
    Preprocessing,
    TensorSpec,
)

if TYPE_CHECKING:
    import torch

PICTURE = 4  # axes
LEAST = (1, 8, 16, 32, 64)  # sides of the least picture that it may take
# Batch, height and width of trial runs: no two sizes alike.
TRIALS = ((2, 64, 96), (3, 128, 160))
FIXED = ((224, 224), (256, 256), (384, 384), (512, 512))  # where it does not run at both
SCALE = 255.0
HINT = "write a ModelSpec for it: docs/adding-a-network.md"

Shapes = dict[str, tuple[tuple[int, ...], str]]  # shape and type of each output by its name

logger = logging.getLogger(__name__)


def spec_from_example(
    network: torch.nn.Module, name: str, builder: str, example: Mapping[str, Any]
) -> ModelSpec:
    """What a network takes and gives, tried with an example and with parts of it.

    An axis is free if the network runs on less of it too: axes of one size in several inputs, at
    one place, are one axis. The first axis of every input is the batch.

    Args:
        network: in evaluation mode.
        name: of the network.
        builder: how it is called again.
        example: as `set_example` takes it.

    Raises:
        ExportError: it does not run on the example, or takes other inputs.
    """
    import torch

    parameters = list(inspect.signature(network.forward).parameters)
    names = [parameters[0]] if set(example) == {""} else [p for p in parameters if p in example]
    strange = [given for given in example if given and given not in names]
    if strange or not names:
        raise ExportError(
            f"{name}: its forward takes {', '.join(parameters)}; the example has "
            f"{', '.join(map(repr, example))}",
            hint="call the arrays as the parameters of its forward",
        )
    floats = getattr(torch, _dtype(network))
    first = {}
    for wanted in names:
        array = example.get(wanted, example.get(""))
        tensor = torch.from_numpy(array.copy())
        if array.ndim == 3 and tensor.dtype == torch.uint8:
            tensor = (tensor.permute(2, 0, 1)[None] / SCALE).to(floats)
        first[wanted] = tensor.to(floats) if tensor.is_floating_point() else tensor
    what = ", ".join(f"{key} {tuple(value.shape)}" for key, value in first.items())
    with foreign(f"{name}: the network, run on the example ({what}),", hint=HINT):
        _given(network, first)
    twice = {key: _twice(value) for key, value in first.items()}
    ran = [(trial, run) for trial in (first, twice) if (run := _shapes(network, trial))]
    batched = len(ran) > 1
    places = dict.fromkeys(
        (index, size) for t in first.values() for index, size in enumerate(t.shape) if index
    )
    free: dict[tuple[int, int], str] = {}
    for index, size in places:
        less = {key: _less(value, index, size) for key, value in first.items()}
        if size > 1 and (run := _shapes(network, less)):
            image = PIXEL_AXES[index - 2] if index in (2, 3) and _has_picture(first) else ""
            free[index, size] = image or f"axis_{index}" + (
                "" if not any(index == other for other, _ in free) else f"_{size}"
            )
            ran.append((less, run))
    trials, outputs = [trial for trial, _ in ran], ran[0][1] if ran else {}
    if any(run.keys() != outputs.keys() for _, run in ran) or not outputs:
        raise ExportError(f"{name}: its outputs differ from run to run", hint=HINT)
    inputs = tuple(
        TensorSpec(
            key,
            (
                "batch" if batched else value.shape[0],
                *(free.get((i, s), s) for i, s in enumerate(value.shape) if i),
            ),
            "",
            str(value.dtype).removeprefix("torch."),
            int(value.max()) + 1 if not value.is_floating_point() and value.max() > 1 else 2,
        )
        for key, value in first.items()
    )
    found = tuple(
        TensorSpec(
            way, _out_axes(way, [run[way][0] for _, run in ran], trials, free, batched), "", kind
        )
        for way, (_, kind) in outputs.items()
    )
    logger.warning(
        "%s: found from the example: in: %s; out: %s (to say otherwise: a ModelSpec, "
        "docs/adding-a-network.md)",
        name,
        ", ".join(f"{t.name} ({', '.join(map(str, t.axes))}) {t.dtype}" for t in inputs),
        ", ".join(f"{t.name} ({', '.join(map(str, t.axes))})" for t in found),
    )
    return ModelSpec(
        name=name,
        title=f"{type(network).__name__} of {builder}",
        inputs=inputs,
        outputs=found,
        builder=builder,
        preprocessing=Preprocessing(scale=SCALE),
        strict=False,
    )


def _given(network: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> object:
    import torch

    with torch.inference_mode():
        return network(**inputs)


def _twice(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([tensor, tensor])


def _less(tensor: torch.Tensor, index: int, size: int) -> torch.Tensor:
    """Without the last part of an axis, where it is of this size: an eighth of it, or one."""
    if tensor.ndim <= index or tensor.shape[index] != size:
        return tensor
    return tensor.narrow(index, 0, size - max(1, size // 8)).clone()


def _has_picture(inputs: Mapping[str, torch.Tensor]) -> bool:
    first = next(iter(inputs.values()))
    return first.ndim == PICTURE and first.is_floating_point()


def infer_spec(network: torch.nn.Module, name: str, builder: str) -> ModelSpec:
    """A picture in, whatever comes out: tried at two sizes and batches, or at a fixed size.

    Raises:
        ExportError: it wants other inputs, or runs at none of the sizes tried.
    """
    wanted = [
        parameter.name
        for parameter in inspect.signature(network.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(wanted) != 1:
        raise ExportError(
            f"{name}: its forward takes {', '.join(wanted) or 'no input'}, not one picture",
            hint=HINT,
        )
    trials, fixed = list(TRIALS), None
    pictures = _Pictures(network, _dtype(network))
    runs = [pictures.outputs(trial) for trial in trials]
    if None in runs:
        grey = _Pictures(network, pictures.dtype, GREY)
        ways = [(one, size) for one in (pictures, grey) for size in (TRIALS[0][1:], *FIXED)]
        found = next(((p, s) for p, s in ways if p.outputs((1, *s)) is not None), None)
        if found is None:
            with foreign(f"{name}: the network, run on a picture of 224 x 224,", hint=HINT):
                pictures.run((1, *FIXED[0]))
        pictures, fixed = found or (pictures, FIXED[0])
        runs = [pictures.outputs(trial) for trial in trials]
        if None in runs:
            trials = [(batch, *fixed) for batch in (2, 3)]
            runs = [pictures.outputs(trial) for trial in trials]
        else:
            fixed = None
    ran = [run for run in runs if run is not None]
    if len(ran) != len(runs) or ran[0].keys() != ran[1].keys() or not ran[0]:
        raise ExportError(f"{name}: its outputs differ from run to run", hint=HINT)
    outputs = tuple(
        TensorSpec(way, _axes(way, [run[way][0] for run in ran], trials), "", ran[0][way][1])
        for way in ran[0]
    )
    count = CHANNELS[pictures.channels]
    axes: tuple[Axis, ...] = ("batch", count, *(fixed or PIXEL_AXES))
    least = 1 if fixed else pictures.least()
    size = f"{fixed[0]} x {fixed[1]} only" if fixed else f"any size from {least} x {least} on"
    logger.warning(
        "%s: assumed: %s / %g in, %s, %s; out: %s (to say otherwise: a ModelSpec, "
        "docs/adding-a-network.md)",
        *(name, pictures.channels, SCALE, pictures.dtype, size),
        ", ".join(f"{o.name} ({', '.join(map(str, o.axes))})" for o in outputs),
    )
    wanted_input = TensorSpec(wanted[0], axes, f"{pictures.channels} / {SCALE:g}", pictures.dtype)
    return ModelSpec(
        name=name,
        title=f"{type(network).__name__} of {builder}",
        inputs=(wanted_input,),
        outputs=outputs,
        builder=builder,
        preprocessing=Preprocessing(SCALE, (0.0,) * count, (1.0,) * count, pictures.channels),
        fixed_size=fixed,
        least_size=least,
        strict=False,
    )


class _Pictures:
    """A network that is tried on pictures of made-up numbers.

    Args:
        network: in evaluation mode.
        dtype: the type of its numbers.
        channels: of the pictures: `CHANNELS`.
    """

    def __init__(self, network: torch.nn.Module, dtype: str, channels: str = RGB) -> None:
        self.dtype = dtype
        self.channels = channels
        self._network = network

    def run(self, trial: Sequence[int]) -> object:
        """What it gives for batch, height and width."""
        import torch

        batch, height, width = trial
        generator = torch.Generator().manual_seed(0)
        shape = (batch, CHANNELS[self.channels], height, width)
        picture = torch.rand(shape, generator=generator).to(getattr(torch, self.dtype))
        with torch.inference_mode():
            return self._network(picture)

    def outputs(self, trial: Sequence[int]) -> Shapes | None:
        """Shape and type of each output; None where it does not run."""
        return _tried(lambda: self.run(trial))

    def least(self) -> int:
        """The least side of those tried at which it runs."""
        for side in LEAST:
            if self.outputs((1, side, side)) is not None:
                return side
        return TRIALS[0][1]


def _dtype(network: torch.nn.Module) -> str:
    names = [str(tensor.dtype).removeprefix("torch.") for tensor in network.state_dict().values()]
    return next((name for name in names if name in FLOATS), FLOATS[0])


def _shapes(network: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> Shapes | None:
    """What comes out of these inputs; None where the network does not run."""
    return _tried(lambda: _given(network, inputs))


def _tried(run: Callable[[], object]) -> Shapes | None:
    import torch

    try:
        with foreign("a trial", hint=HINT):
            given = run()
    except ExportError:
        return None
    return {
        way or "output_0": (tuple(leaf.shape), str(leaf.dtype).removeprefix("torch."))
        for way, leaf in leaves(given)
        if isinstance(leaf, torch.Tensor)
    }


def _axes(
    way: str, shapes: Sequence[tuple[int, ...]], trials: Sequence[tuple[int, int, int]]
) -> tuple[Axis, ...]:
    """An axis is the batch, a side, a number, or else free under a name of its own."""
    named = dict(zip(("batch", "height", "width"), zip(*trials, strict=True), strict=True))
    axes: list[Axis] = []
    for place, sizes in enumerate(zip(*shapes, strict=True)):
        same = [name for name, given in named.items() if given == sizes and len(set(given)) > 1]
        fixed = sizes[0] if len(set(sizes)) == 1 else f"{way}_axis_{place}"
        axes.append(same[0] if same else fixed)
    return tuple(axes)


def _out_axes(
    way: str,
    shapes: Sequence[tuple[int, ...]],
    trials: Sequence[Mapping[str, torch.Tensor]],
    free: Mapping[tuple[int, int], str],
    batched: bool,
) -> tuple[Axis, ...]:
    """An output's axes: what changed with the batch is it, with a free axis of its size is that."""
    axes: list[Axis] = []
    for place, sizes in enumerate(zip(*shapes, strict=True)):
        same = [
            name
            for (index, size), name in free.items()
            if sizes == tuple(_size_in(trial, index, size, sizes[0]) for trial in trials)
        ]
        if batched and sizes[1] == 2 * sizes[0]:
            axes.append("batch")
        elif len(set(sizes)) == 1:
            axes.append(sizes[0])
        else:
            axes.append(same[0] if same else f"{way}_axis_{place}")
    return tuple(axes)


def _size_in(trial: Mapping[str, torch.Tensor], index: int, size: int, first: int) -> int:
    """How long a free axis is in a trial; ``first`` where no input has it."""
    less = size - max(1, size // 8)
    found = [t.shape[index] for t in trial.values() if t.ndim > index]
    return next((n for n in found if n in (size, less)), first)
