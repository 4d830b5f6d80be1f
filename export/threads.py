"""Small work on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch's operators run on one thread inside the block.

    For inputs of a few kilobytes threads mostly wait for each other, and they wait busily:
    on 2 cores with other work on them, a run of TruFor at 77 x 33 took 26 s with two threads and
    0.6 s with one.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
