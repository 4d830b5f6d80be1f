"""The float64 reference must be a function of its weights: built twice, it says the same."""

from __future__ import annotations

import numpy as np

from export.spec import ModelSpec
from export.weights import Weights
from parity.errors import ParityError
from parity.runners.base import Feeds, Outputs
from parity.runners.torch_runner import TorchRunner


def require_reproducible(
    spec: ModelSpec, weights: Weights, feeds: Feeds, outputs: Outputs, *, threads: int
) -> None:
    """Build the reference again and hold it to what the first one gave, bit for bit.

    Args:
        spec: the network.
        weights: its tensors.
        feeds: a trial's inputs.
        outputs: what the reference gave for them.
        threads: threads of an operator; 0 leaves torch's choice.

    Raises:
        ParityError: an output differs.
    """
    with TorchRunner(spec, weights, precision=64, threads=threads) as again:
        repeated = again.run(feeds)
    for name, array in outputs.items():
        if not np.array_equal(array, repeated[name], equal_nan=True):
            raise ParityError(
                f"{spec.name}: the float64 reference, built twice, differs in {name}",
                hint="a tensor of the network is not set by its weights, or an operator is "
                "not deterministic; nothing can be compared with it",
            )
