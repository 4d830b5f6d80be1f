"""Networks that nobody registered: ``my_net.py:build``, ``package.module:build``, or a callable.

What is called gives a `ModelSpec`, or a ``torch.nn.Module``, of which inputs and outputs are then
found: one picture in, (B, 3, H, W) in RGB / 255, and whatever it returns. What was assumed is said.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.networks.infer import HINT, infer_spec, spec_from_example
from trufor_onnx.export.networks.spec import TIMM_PREFIX, ModelSpec

FILE_SUFFIX = ".py"
# Names of networks in files, for the worker processes of a benchmark, which find them again.
VARIABLE = "TRUFOR_NETWORKS"


def is_users(name: str) -> bool:
    """Whether a name is ``FILE.py:CALLABLE`` or ``MODULE:CALLABLE``; timm's are none."""
    return not name.startswith(TIMM_PREFIX) and bool(re.fullmatch(r".+:[A-Za-z_]\w*", name))


def code_of(name: str) -> Callable[..., Any]:
    """The callable that a typed name names. Importing it runs its file.

    Its folder is put on the path of modules, as Python does for a script.

    Args:
        name: ``folder/my_net.py:build`` or ``package.module:build``.

    Raises:
        ExportError: there is no such file, module or callable.
    """
    place, _, attribute = name.rpartition(":")
    path = Path(place) if place.endswith(FILE_SUFFIX) else None
    module_name = place
    if path is not None:
        if not path.is_file():
            raise ExportError(f"{name}: there is no file {path}", hint="FILE.py:CALLABLE")
        module_name = path.stem
        folder = str(path.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
            importlib.invalidate_caches()
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
    return cast("Callable[..., Any]", build)


def users_spec(name: str) -> ModelSpec:
    """The network that a file's or a module's callable gives.

    Args:
        name: ``folder/my_net.py:build`` or ``package.module:build``.

    Raises:
        ExportError: there is no such file, module or callable, or it gives no network.
    """
    build = code_of(name)
    place, _, attribute = name.rpartition(":")
    is_file = place.endswith(FILE_SUFFIX)
    module_name = Path(place).stem if is_file else place
    stem = module_name.rpartition(".")[2]
    own = stem if attribute == "build" else f"{stem}_{attribute}"
    spec = given_spec(build, own, f"{module_name}:{attribute}")
    told = os.environ.get(VARIABLE, "").split(os.pathsep)
    whole = f"{Path(place).resolve()}:{attribute}" if is_file else name
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
    if _example:
        return spec_from_example(given.eval(), name, builder, _example)
    return infer_spec(given.eval(), name, builder)


# One set of arrays as a network takes them, by names; empty: it takes a picture.
_example: dict[str, Any] = {}


def set_example(arrays: Mapping[str, Any]) -> None:
    """From now on, find what networks without a specification take from these arrays.

    Args:
        arrays: numpy's, by the names of inputs; ``""``: the only one. An (H, W, 3) uint8 picture
            stands for (1, 3, H, W) in RGB / 255.
    """
    _example.clear()
    _example.update(arrays)
