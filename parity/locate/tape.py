"""The reference, operator by operator: what PyTorch computes in float64, and in which module.

The network runs once under a dispatch mode that sees every ATen operator. A *value* is a tensor
up to its layout: views, permutations and copies of it are the same value. So what is a module in
the network (a convolution) and what is a function call in it (a GELU, a softmax, a sum) are
recorded alike, each with the innermost module that it was called in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ParityError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.outputs import output_tensors
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.parity.locate.results import Store

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


MARK = "_parity_locate_number"


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
        return math.prod(self.shapes[value])


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

    recorder = Recorder(Tape(store), module)
    tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
    inputs = [
        recorder.add_input(name, given.double() if given.is_floating_point() else given)
        for name, given in tensors.items()
    ]
    shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
    hint = "choose another size with --size"
    with (
        foreign(f"the network on {shapes}", hint=hint, kind=ParityError),
        torch.no_grad(),
        _scopes(module, recorder.stack),
        recorder,
    ):
        returned = module(*inputs)
    return recorder.finish(output_tensors(spec, returned, kind=ParityError))


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


def make_mode(recorder: Recorder) -> Any:
    """A dispatch mode that tells ``recorder`` of every operator."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves it untyped
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            frozen = recorder.arguments(args), recorder.arguments(kwargs or {})
            given = func(*args, **(kwargs or {}))
            recorder.note(func, *frozen, given)
            return given

    return Mode()  # type: ignore[no-untyped-call] # likewise


class Recorder:
    """Writes a tape while it is entered.

    Args:
        tape: an empty one.
        module: the network, whose state dict names the parameters.
    """

    def __init__(self, tape: Tape, module: torch.nn.Module) -> None:
        self.tape = tape
        self.stack: list[str] = []
        self._next = 0
        self._count = 0
        self._numbers: dict[int, int] = {}  # of tensors that live through the run, by identity
        self._mode = make_mode(self)
        self._alive = dict(module.state_dict(keep_vars=True))
        for name, tensor in self._alive.items():
            if id(tensor) not in self._numbers:
                self._fixed(tensor, frozenset([name]))

    def add_input(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Make a tensor known as an input. Returns it."""
        number = self._number()
        setattr(tensor, MARK, number)
        self._new_value(number, tensor)
        self.tape.inputs[name] = number
        return tensor

    def finish(self, outputs: Sequence[torch.Tensor]) -> Tape:
        """The tape, with the network's outputs."""
        self.tape.outputs = [self.tape.value_of[self._of(tensor)] for tensor in outputs]
        self.tape.output_shapes = [tuple(tensor.shape) for tensor in outputs]
        return self.tape

    def __enter__(self) -> None:
        self._mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._mode.__exit__(*error)

    def arguments(self, given: Any) -> Any:
        """Arguments with tensors as `Ref`."""
        import torch

        if isinstance(given, torch.Tensor):
            return Ref(self._of(given))
        if isinstance(given, Mapping):
            return {key: self.arguments(inner) for key, inner in given.items()}
        if isinstance(given, list | tuple):
            return type(given)(self.arguments(inner) for inner in given)
        return given

    def note(self, func: Any, args: Any, kwargs: Any, given: Any) -> None:
        """Write one operator down."""
        import torch

        items = given if isinstance(given, list | tuple) else [given]
        tensors = [item for item in items if isinstance(item, torch.Tensor)]
        if not tensors:
            return
        tape = self.tape
        read = list(dict.fromkeys(refs((args, kwargs))))
        name = func.overloadpacket.__name__
        data = tuple(dict.fromkeys(tape.value_of[t] for t in read if t not in tape.params_of))
        params = frozenset().union(*(tape.params_of.get(t, frozenset()) for t in read))
        numbers = tuple(self._number() for _ in tensors)
        call = func, args, kwargs
        op = Op(
            self._count, name, self.stack[-1] if self.stack else "", call, numbers, data, params
        )
        self._count += 1
        computes = False
        for number, tensor in zip(numbers, tensors, strict=True):
            setattr(tensor, MARK, number)
            tape.makers[number] = op
            if not data:
                tape.params_of[number] = params
                tape.value_of[number] = number
            elif name in LAYOUT and tensor.numel() == tape.size(data[0]) and _same(op, tensor):
                tape.value_of[number] = data[0]
            else:
                self._new_value(number, tensor)
                tape.producer[number] = op
                computes = True
        if computes:
            tape.ops.append(op)
            for value in data:
                tape.consumers.setdefault(value, []).append(len(tape.ops) - 1)

    def _new_value(self, number: int, tensor: torch.Tensor) -> None:
        tape = self.tape
        tape.value_of[number] = number
        tape.shapes[number] = tuple(tensor.shape)
        # A copy: later operators may change the tensor in place.
        tape.store.put(number, tensor.detach().cpu().numpy().copy())

    def _of(self, tensor: torch.Tensor) -> int:
        """A tensor's number; one that was never seen is a constant of the network's code."""
        number = getattr(tensor, MARK, None)
        if number is None:
            number = self._numbers.get(id(tensor))
        return self._fixed(tensor, frozenset()) if number is None else int(number)

    def _fixed(self, tensor: torch.Tensor, params: frozenset[str]) -> int:
        number = self._number()
        self._numbers[id(tensor)] = number
        self.tape.fixed[number] = tensor  # kept alive, so that its identity is not used again
        self.tape.value_of[number] = number
        self.tape.params_of[number] = params
        return number

    def _number(self) -> int:
        self._next += 1
        return self._next - 1


def refs(given: Any) -> list[int]:
    """Numbers of the tensors in arguments, in order."""
    if isinstance(given, Ref):
        return [given.tensor]
    inner = given.values() if isinstance(given, Mapping) else given
    return [n for i in inner for n in refs(i)] if isinstance(given, Mapping | list | tuple) else []


def _same(op: Op, tensor: torch.Tensor) -> bool:
    """Whether an arranging operator left the numbers as they are (a cast to integers does not)."""
    return len(op.data) == 1 and not op.params and tensor.is_floating_point()
