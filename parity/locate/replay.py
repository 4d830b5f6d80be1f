"""The yardstick: the same operators in PyTorch float32, on the same rounded inputs."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.parity.locate.tape import Op, Ref, Tape

if TYPE_CHECKING:
    import torch


MOST_OPS = 400  # that one search looks at


def replay(
    tape: Tape,
    value: int,
    frontier: Collection[int],
    *,
    half: bool = False,
    half_inputs: bool = False,
    others: Mapping[int, npt.NDArray[Any]] | None = None,
) -> npt.NDArray[np.float32]:
    """What float32 makes of a value, from other values that are given.

    Args:
        tape: the recorded reference.
        value: what is to be computed.
        frontier: values that are given, rounded to float32; the network's inputs always are.
        half: round every result to float16, as a half-precision file does.
        half_inputs: round what is given to float16.
        others: in place of the network's inputs.

    Returns:
        The value in the shape in which the reference computed it.
    """
    import torch

    memory: dict[int, torch.Tensor] = {
        tensor: torch.from_numpy(np.array(array, np.float32))
        for tensor, array in (others or {}).items()
    }
    wanted = [value]
    with torch.no_grad():
        while wanted:
            tensor = wanted[-1]
            if tensor in memory:
                wanted.pop()
                continue
            given = _given(tape, tensor, frontier, first=tensor == value)
            if given is not None:
                memory[tensor] = _rounded(given, half or half_inputs)
                continue
            op = tape.makers[tensor]
            from trufor_onnx.parity.locate.tape import refs

            missing = [t for t in refs(op.call[1:]) if t not in memory]
            if missing:
                wanted += missing
                continue
            results = _run(op.call, memory)
            for number, result in zip(op.outputs, results, strict=True):
                memory.setdefault(number, _rounded(result, half))
    array: npt.NDArray[np.float32] = memory[value].numpy()
    return array


def _given(
    tape: Tape, tensor: int, frontier: Collection[int], *, first: bool
) -> torch.Tensor | None:
    """A tensor that needs no operator: fixed, an input, or the given form of a value."""
    import torch

    if tensor in tape.fixed:
        found = tape.fixed[tensor].detach()
        return found.float() if found.dtype == torch.float64 else found
    is_base = tape.value_of[tensor] == tensor and tensor in tape.shapes
    if is_base and not first and (tensor in frontier or tensor not in tape.makers):
        array = tape.array(tensor)
        return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float64 else array)
    return None


def _rounded(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    import torch

    if half and tensor.dtype == torch.float32:
        return tensor.half().float()
    return tensor


def _run(call: tuple[Any, ...], memory: Mapping[int, torch.Tensor]) -> list[torch.Tensor]:
    import torch

    func, args, kwargs = call
    if func is torch.ops.aten.view.default:  # stored values lie otherwise in memory
        func = torch.ops.aten.reshape.default
    clone = bool(func._schema.is_mutable)

    def fill(given: Any) -> Any:
        if isinstance(given, Ref):
            tensor = memory[given.tensor]
            return tensor.clone() if clone else tensor
        if isinstance(given, Mapping):
            return {key: fill(inner) for key, inner in given.items()}
        if isinstance(given, list | tuple):
            return type(given)(fill(inner) for inner in given)
        return torch.float32 if given is torch.float64 else given

    results = func(*fill(args), **fill(kwargs))
    items = results if isinstance(results, list | tuple) else [results]
    return [item for item in items if isinstance(item, torch.Tensor)]


def reachable(tape: Tape, given: Collection[int], params: frozenset[str]) -> list[int]:
    """Values computed from ``given`` with exactly the tensors ``params``, in network order.

    Args:
        tape: the recorded reference.
        given: values to start from.
        params: tensors of the state dict; every one must take part, and no other.
    """
    used: dict[int, frozenset[str]] = dict.fromkeys(given, frozenset())
    ahead = sorted({index for value in given for index in tape.consumers.get(value, ())})
    queued = set(ahead)
    found = []
    for _ in range(MOST_OPS):
        if not ahead:
            break
        op = tape.ops[heapq.heappop(ahead)]
        if not op.params <= params or any(value not in used for value in op.data):
            continue
        through = op.params.union(*(used[value] for value in op.data))
        for value in op.outputs:
            if value in used or tape.value_of[value] != value:
                continue
            used[value] = through
            if through == params:
                found.append(value)
            for index in tape.consumers.get(value, ()):
                if index not in queued:
                    queued.add(index)
                    heapq.heappush(ahead, index)
    return found


def between(tape: Tape, value: int, given: Collection[int]) -> list[Op]:
    """The operators that lead from ``given`` (or the inputs) to a value, in network order."""
    ops: dict[int, Op] = {}
    ahead = [value]
    first = True
    while ahead:
        current = ahead.pop()
        op = tape.producer.get(current)
        if op is None or op.index in ops or (current in given and not first):
            continue
        first = False
        ops[op.index] = op
        ahead += op.data
    return [ops[index] for index in sorted(ops)]
