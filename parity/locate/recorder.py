"""The dispatch mode that writes a `Tape`. Imports torch; imported where a network runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parity.locate.tape import LAYOUT, Op, Ref, Tape

if TYPE_CHECKING:
    import torch

MARK = "_parity_locate_number"


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
