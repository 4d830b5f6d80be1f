"""The float64 reference must be a function of its weights, and float64: built twice, watched."""

from __future__ import annotations

import numpy as np

from chunking.errors import first_few
from export.spec import ModelSpec
from export.weights import Weights
from parity.errors import ParityError
from parity.runners.base import Feeds, Outputs
from parity.runners.torch_runner import TorchRunner

SINGLE = {"float32"}
SHOWN = 5


def require_reproducible(
    spec: ModelSpec, weights: Weights, feeds: Feeds, outputs: Outputs, *, threads: int
) -> list[str]:
    """Build the reference again and hold it to what the first one gave, bit for bit.

    Args:
        spec: the network.
        weights: its tensors.
        feeds: a trial's inputs.
        outputs: what the reference gave for them.
        threads: threads of an operator; 0 leaves torch's choice.

    Returns:
        Which modules compute in float32, a sentence each: there the reference is as PyTorch
        float32 is, and a ratio to its error says little.

    Raises:
        ParityError: an output differs, or a module computes in less than float32.
    """
    with TorchRunner(spec, weights, precision=64, threads=threads) as again:
        repeated, narrower = again.watched(feeds)
    for name, array in outputs.items():
        if not np.array_equal(array, repeated[name], equal_nan=True):
            raise ParityError(
                f"{spec.name}: the float64 reference, built twice, differs in {name}",
                hint="a tensor of the network is not set by its weights, or an operator is "
                "not deterministic; nothing can be compared with it",
            )
    said = [
        f"{module} computes in {' and '.join(sorted(types))}" for module, types in narrower.items()
    ]
    less = [text for text, types in zip(said, narrower.values(), strict=True) if types != SINGLE]
    if less:
        raise ParityError(
            f"{spec.name}: the reference is not float64 throughout: {first_few(less, SHOWN)}",
            hint="let it keep the precision of its input there: .to(x.dtype) in place of .half(); "
            "a reference that is coarser than the file cannot judge it",
        )
    return said
