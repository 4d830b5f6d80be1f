"""Networks that nobody registered: ``my_net.py:build``, ``package.module:build``, or a callable.

What is called gives a `ModelSpec`, or a ``torch.nn.Module``, of which inputs and outputs are then
found: one picture in, (B, 3, H, W) in RGB / 255, and whatever it returns. What was assumed is said.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.outputs import leaves
from trufor_onnx.export.networks.spec import (
    FLOATS,
    TIMM_PREFIX,
    Axis,
    ModelSpec,
    Preprocessing,
    TensorSpec,
)

if TYPE_CHECKING:
    import torch

FILE_SUFFIX = ".py"
# Names of networks in files, for the worker processes of a benchmark, which find them again.
VARIABLE = "TRUFOR_NETWORKS"
IMAGE = ("batch", 3, "height", "width")
# Batch, height and width of trial runs: no two sizes alike.
TRIALS = ((2, 64, 96), (3, 128, 160))
FIXED = ((224, 224), (256, 256), (384, 384), (512, 512))  # where it does not run at both
SCALE = 255.0
HINT = "write a ModelSpec for it: docs/adding-a-network.md"

logger = logging.getLogger(__name__)


def is_users(name: str) -> bool:
    """Whether a name is ``FILE.py:CALLABLE`` or ``MODULE:CALLABLE``; timm's are none."""
    return not name.startswith(TIMM_PREFIX) and bool(re.fullmatch(r".+:[A-Za-z_]\w*", name))


def users_spec(name: str) -> ModelSpec:
    """The network that a file's or a module's callable gives.

    Its folder is put on the path of modules, as Python does for a script.

    Args:
        name: ``folder/my_net.py:build`` or ``package.module:build``.

    Raises:
        ExportError: there is no such file, module or callable, or it gives no network.
    """
    place, _, attribute = name.rpartition(":")
    if place.endswith(FILE_SUFFIX):
        path = Path(place)
        if not path.is_file():
            raise ExportError(f"{name}: there is no file {path}", hint="FILE.py:CALLABLE")
        module_name = path.stem
        folder = str(path.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
            importlib.invalidate_caches()
    else:
        path, module_name = None, place
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ExportError(f"{name}: {module_name!r} is no name of a module", hint="rename the file")
    with foreign(f"{name}: importing it", hint="mend the file, or its name"):
        module = importlib.import_module(module_name)
    found = getattr(module, "__file__", None)
    if path is not None and (found is None or Path(found).resolve() != path.resolve()):
        raise ExportError(
            f"{name}: another module is called {module_name} ({found or 'built in'})",
            hint="rename the file",
        )
    build = getattr(module, attribute, None)
    if not callable(build):
        raise ExportError(
            f"{name}: {module_name} has no callable {attribute}", hint="mend its name"
        )
    spec = given_spec(build, module_name.rpartition(".")[2], f"{module_name}:{attribute}")
    told = os.environ.get(VARIABLE, "").split(os.pathsep)
    whole = name if path is None else f"{path.resolve()}:{attribute}"
    if whole not in told:
        os.environ[VARIABLE] = os.pathsep.join(filter(None, (*told, whole)))
    return spec


def told_specs() -> Iterator[ModelSpec]:
    """Those that `VARIABLE` names."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        yield users_spec(name)


def given_spec(build: Callable[[], Any], name: str, builder: str) -> ModelSpec:
    """The specification that a callable gives, or that of the module which it gives.

    Args:
        build: called without arguments.
        name: of the network, where it has none.
        builder: how it is called again: ``module:function``.

    Raises:
        ExportError: it fails, or gives neither.
    """
    import torch

    with foreign(f"{name}: calling {builder}", hint="mend it; it is called without arguments"):
        given = build()
    if isinstance(given, ModelSpec):
        return given
    if not isinstance(given, torch.nn.Module):
        raise ExportError(
            f"{builder} gave {type(given).__name__}, neither a torch.nn.Module nor a ModelSpec",
            hint=HINT,
        )
    return infer_spec(given.eval(), name, builder)


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
    dtype = _dtype(network)
    trials, fixed = list(TRIALS), None
    runs = [_outputs(network, trial, dtype) for trial in trials]
    if None in runs:
        fixed = next((s for s in FIXED if _outputs(network, (1, *s), dtype) is not None), None)
        if fixed is None:
            with foreign(f"{name}: the network, run on a picture of 224 x 224,", hint=HINT):
                _run(network, (1, *FIXED[0]), dtype)
        trials = [(batch, *(fixed or FIXED[0])) for batch in (2, 3)]
        runs = [_outputs(network, trial, dtype) for trial in trials]
    found = [run for run in runs if run is not None]
    if len(found) != len(runs) or found[0].keys() != found[1].keys() or not found[0]:
        raise ExportError(f"{name}: its outputs differ from run to run", hint=HINT)
    outputs = tuple(
        TensorSpec(way, _axes(way, [run[way][0] for run in found], trials), "", found[0][way][1])
        for way in found[0]
    )
    axes: tuple[Axis, ...] = IMAGE if fixed is None else ("batch", 3, *fixed)
    size = "any size" if fixed is None else f"{fixed[0]} x {fixed[1]} only"
    logger.warning(
        "%s: assumed: RGB / %g in, %s, %s; out: %s (to say otherwise: a ModelSpec, "
        "docs/adding-a-network.md)",
        *(name, SCALE, dtype, size),
        ", ".join(f"{o.name} ({', '.join(map(str, o.axes))})" for o in outputs),
    )
    return ModelSpec(
        name=name,
        title=f"{type(network).__name__} of {builder}",
        inputs=(TensorSpec(wanted[0], axes, f"RGB / {SCALE:g}", dtype),),
        outputs=outputs,
        builder=builder,
        preprocessing=Preprocessing(scale=SCALE),
        fixed_size=fixed,
        strict=False,
    )


def _dtype(network: torch.nn.Module) -> str:
    names = [str(tensor.dtype).removeprefix("torch.") for tensor in network.state_dict().values()]
    return next((name for name in names if name in FLOATS), FLOATS[0])


def _run(network: torch.nn.Module, trial: Sequence[int], dtype: str) -> object:
    import torch

    batch, height, width = trial
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand((batch, 3, height, width), generator=generator)
    with torch.inference_mode():
        return network(picture.to(getattr(torch, dtype)))


def _outputs(
    network: torch.nn.Module, trial: Sequence[int], dtype: str
) -> dict[str, tuple[tuple[int, ...], str]] | None:
    """Shape and type of each output by its name; None where the network does not run."""
    import torch

    try:
        with foreign("a trial", hint=HINT):
            given = _run(network, trial, dtype)
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
