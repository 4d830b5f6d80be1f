"""Where a network in float64 computes in less: a cast inside makes the reference none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROOT = "the network's own forward"


@contextmanager
def watching(module: torch.nn.Module) -> Iterator[dict[str, set[str]]]:
    """Within the block, note each module that makes a narrower number of a float64 one.

    Casts, sums with a ``dtype`` of their own, copies into a tensor of another type: whatever takes
    float64 and gives float32, float16 or bfloat16. Numbers that were never float64 (a mask, a
    position) are not meant.

    Yields:
        The types by the module's name, filled while the module runs.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    narrow = (torch.float32, torch.float16, torch.bfloat16)
    found: dict[str, set[str]] = {}
    inside: list[str] = []

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's own is untyped
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # Before the operator runs: one that writes into its own argument changes nothing here.
            wide = any(tensor.dtype == torch.float64 for tensor in _tensors((args, kwargs)))
            given = func(*args, **(kwargs or {}))
            for tensor in _tensors(given) if wide else ():
                if tensor.dtype in narrow:
                    name = inside[-1] if inside else ROOT
                    found.setdefault(name, set()).add(str(tensor.dtype).removeprefix("torch."))
            return given

    def enter(name: str) -> Any:
        return lambda *_: inside.append(name)

    def leave(*_: Any) -> None:
        inside.pop()

    hooks = []
    for name, layer in module.named_modules():
        hooks.append(layer.register_forward_pre_hook(enter(name or ROOT)))
        hooks.append(layer.register_forward_hook(leave))
    try:
        with Watch():  # type: ignore[no-untyped-call] # as above
            yield found
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(given: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, list | tuple):
        for inner in given:
            yield from _tensors(inner)
    elif isinstance(given, dict):
        for inner in given.values():
            yield from _tensors(inner)
