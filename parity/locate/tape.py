"""The reference, operator by operator: what PyTorch computes in float64, and in which module.

The network runs once under a dispatch mode that sees every ATen operator. A *value* is a tensor
up to its layout: views, permutations and copies of it are the same value. So what is a module in
the network (a convolution) and what is a function call in it (a GELU, a softmax, a sum) are
recorded alike, each with the innermost module that it was called in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from export.foreign import foreign, output_tensors
from export.spec import ModelSpec
from parity.errors import ParityError
from parity.locate.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

# Operators that only arrange, where they keep the number of elements.
# fmt: off
LAYOUT = frozenset((
    "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "clone", "contiguous", "detach",
    "dropout", "expand", "flatten", "lift_fresh", "movedim", "native_dropout", "permute",
    "reshape", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose",
    "unflatten", "unsqueeze", "view",
))
# fmt: on


@dataclass(frozen=True)
class Ref:
    """A tensor in a recorded operator's arguments, by its number."""

    tensor: int


@dataclass(frozen=True)
class Op:
    """One recorded operator.

    Attributes:
        index: its place in network order.
        name: its ATen name without overload, such as ``convolution``.
        scope: the innermost module that it was called in ("" for the network itself).
        call: the operator, its positional and its named arguments, tensors as `Ref`.
        outputs: numbers of the tensors that it gave.
        data: the values that it read, those that depend on the input only.
        params: tensors of the state dict that it read, directly or through other operators.
    """

    index: int
    name: str
    scope: str
    call: tuple[Any, tuple[Any, ...], dict[str, Any]]
    outputs: tuple[int, ...]
    data: tuple[int, ...]
    params: frozenset[str]


@dataclass
class Tape:
    """A recorded run of the reference.

    Attributes:
        store: the values, float64, by number.
        ops: operators that compute, in order.
        makers: for each tensor the operator that gave it, arranging ones too.
        value_of: for each tensor the number of its value (the first tensor that held it).
        producer: for each value the operator in ``ops`` that computed it.
        consumers: for each value the operators that read it, by index.
        shapes: the shape of each value as it was computed.
        params_of: tensors of the state dict behind each tensor that does not depend on the input.
        fixed: tensors that were there before the run: parameters, buffers, constants.
        inputs: values of the network's inputs, by name.
        outputs: values of its outputs, in order.
        output_shapes: their shapes.
    """

    store: Store
    ops: list[Op] = field(default_factory=list)
    makers: dict[int, Op] = field(default_factory=dict)
    value_of: dict[int, int] = field(default_factory=dict)
    producer: dict[int, Op] = field(default_factory=dict)
    consumers: dict[int, list[int]] = field(default_factory=dict)
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    params_of: dict[int, frozenset[str]] = field(default_factory=dict)
    fixed: dict[int, torch.Tensor] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)
    output_shapes: list[tuple[int, ...]] = field(default_factory=list)

    def array(self, value: int) -> npt.NDArray[np.float64]:
        """A value, float64, in the shape in which it was computed."""
        return self.store.get(value)

    def size(self, value: int) -> int:
        """How many elements a value has."""
        count = 1
        for axis in self.shapes[value]:
            count *= axis
        return count


def record(
    spec: ModelSpec, module: torch.nn.Module, feeds: Mapping[str, npt.NDArray[Any]], store: Store
) -> Tape:
    """Run a network in float64 and keep every value.

    Args:
        spec: the network's outputs.
        module: the network, in float64 and evaluation mode.
        feeds: its inputs by name, in the order in which it takes them.
        store: keeps the values.

    Raises:
        ParityError: the network does not run on these inputs.
    """
    import torch

    from parity.locate.recorder import Recorder

    recorder = Recorder(Tape(store), module)
    inputs = [
        recorder.add_input(name, torch.from_numpy(array).to(torch.float64))
        for name, array in feeds.items()
    ]
    shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
    hint = "choose another size with --size"
    with (
        foreign(f"the network on {shapes}", hint=hint, kind=ParityError),
        torch.no_grad(),
        _scopes(module, recorder.stack),
        recorder,
    ):
        given = module(*inputs)
    return recorder.finish(output_tensors(spec, given, kind=ParityError))


@contextmanager
def _scopes(module: torch.nn.Module, stack: list[str]) -> Iterator[None]:
    """Keep the names of the modules that are running on ``stack``."""
    handles = []
    for name, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(lambda *_, n=name: stack.append(n)))
        handles.append(
            part.register_forward_hook(lambda *_: (stack.pop(), None)[1], always_call=True)
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
