"""What every runner is: a context manager with one verb."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

Outputs = dict[str, npt.NDArray[Any]]
Feeds = dict[str, npt.NDArray[np.float32]]


class Runner(Protocol):
    """A network ready to run in one backend.

    Attributes:
        backend: what reports call it, ``torch32`` or ``onnxruntime``.
        provider: where it really runs, ``cpu`` or ``cuda``.
    """

    backend: str
    provider: str

    def run(self, feeds: Feeds) -> Outputs:
        """Named outputs for named inputs."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...
