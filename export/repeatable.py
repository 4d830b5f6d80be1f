"""A network that answers one input in two ways can be no reference, and no file can equal it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from chunking.errors import first_few
from export.errors import ExportError
from export.foreign import foreign
from export.random_operators import random_operators
from export.spec import ModelSpec
from export.threads import one_torch_thread
from export.to_onnx import example_inputs

if TYPE_CHECKING:
    import onnx
    import torch

HINT = (
    "switch off what draws random numbers in evaluation mode (dropout with training=self.training, "
    "noise), or make the noise an input"
)
SIDE = 24  # pixels
SHOWN = 4  # operators that an error names


def require_no_random_operators(graph: onnx.ModelProto, spec: ModelSpec) -> None:
    """Refuse a traced graph that draws random numbers.

    Raises:
        ExportError: names the operators.
    """
    found = random_operators(graph)
    if found:
        raise ExportError(
            f"{spec.name}: the network is random: {first_few(found, SHOWN)}", hint=HINT
        )


def require_repeatable(spec: ModelSpec, module: torch.nn.Module) -> None:
    """Run the network twice on one small input: both answers must be the same, bit for bit.

    A network that runs at no such input is left to those who run it: they say why.

    Args:
        spec: the network.
        module: the network with its weights, in evaluation mode; float32 or float64.

    Raises:
        ExportError: names the module that draws.
    """
    answers = ((sizes, _answer(spec, module, sizes)) for sizes in _tried(spec))
    sizes, answer = next(((s, a) for s, a in answers if a is not None), ({}, None))
    if answer is None or answer == _answer(spec, module, sizes):
        return
    first: dict[str, list[tuple[bytes, bytes]]] = {}
    second: dict[str, list[tuple[bytes, bytes]]] = {}
    _run(spec, module, sizes, first)
    _run(spec, module, sizes, second)
    culprit = next(_own_doing(first, second), "")
    named = dict(module.named_modules())
    kind = type(named.get(culprit, module)).__name__
    what = f"{culprit} ({kind})" if culprit else f"{kind}, in its own forward"
    raise ExportError(
        f"{spec.name}: the network is random: {what} gives another output for the same input",
        hint=HINT,
    )


def _tried(spec: ModelSpec) -> list[dict[str, int]]:
    """Sizes of free axes: a small height and width, and where those do not do the traced ones."""
    side = max(spec.least_size, SIDE)
    return [{}] if spec.fixed_size else [{"height": side, "width": side}, {}]


def _answer(spec: ModelSpec, module: torch.nn.Module, sizes: dict[str, int]) -> bytes | None:
    """The digest of a run's outputs; None where the network does not run."""
    try:
        with foreign(f"{spec.name}: the network", hint=HINT):
            return _run(spec, module, sizes)
    except ExportError:
        return None


def _run(
    spec: ModelSpec,
    module: torch.nn.Module,
    sizes: dict[str, int],
    calls: dict[str, list[tuple[bytes, bytes]]] | None = None,
) -> bytes:
    """The digest of a run's outputs; ``calls`` gets those of every module's calls, as they end."""
    import torch

    dtypes = [t.dtype for t in module.state_dict().values() if t.is_floating_point()]
    inputs = tuple(x.to(dtypes[0]) if dtypes else x for x in example_inputs(spec, sizes))
    hooks = []
    if calls is not None:
        for name, part in module.named_modules():

            def note(_: Any, given: Any, made: Any, name: str = name) -> None:
                calls.setdefault(name, []).append((_digest(given), _digest(made)))

            hooks.append(part.register_forward_hook(note))
    try:
        with torch.inference_mode(), one_torch_thread():
            return _digest(module(*inputs))
    finally:
        for hook in hooks:
            hook.remove()


def _own_doing(
    first: Mapping[str, list[tuple[bytes, bytes]]], second: Mapping[str, list[tuple[bytes, bytes]]]
) -> Iterator[str]:
    """Modules that were given the same in both runs and gave something else, inner ones first."""
    for name, calls in first.items():
        for (given, made), (again, other) in zip(calls, second.get(name, []), strict=False):
            if given == again and made != other:
                yield name


def _digest(value: Any) -> bytes:
    """Of all tensors in nested tuples, lists and dicts."""
    import torch

    whole = sha256()
    if isinstance(value, torch.Tensor):
        whole.update(f"{value.dtype}{tuple(value.shape)}".encode())
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(value, Mapping):
        for key in value:
            whole.update(f"{key}".encode() + _digest(value[key]))
    elif isinstance(value, (tuple, list)):
        for item in value:
            whole.update(_digest(item))
    else:
        whole.update(repr(type(value)).encode())
    return whole.digest()
