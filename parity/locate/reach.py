"""Which of the reference's values can be computed from given values with given weights."""

from __future__ import annotations

import heapq
from collections.abc import Collection

from parity.locate.tape import Op, Tape

MOST_OPS = 400  # that one search looks at


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
