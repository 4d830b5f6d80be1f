"""Runs with inputs and outputs on the device (IO binding)."""

from __future__ import annotations

from typing import Any

from parity.runners.base import Feeds
from parity.runners.providers import import_onnxruntime

DEVICE = "cuda"  # TensorRT's memory too
DEVICE_ID = 0


def run_bound(session: Any, feeds: Feeds, names: list[str]) -> list[Any]:
    """Copy the inputs to the device, run there, and copy the outputs back.

    Without binding, ONNX Runtime would choose for each output where it lies; so every copy is
    made here, and the outputs are whole when this returns.

    Args:
        session: an ``InferenceSession`` on a CUDA device.
        feeds: the inputs, on the host.
        names: the outputs wanted.

    Returns:
        The outputs on the host, in the order of ``names``.
    """
    value = import_onnxruntime().OrtValue
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, value.ortvalue_from_numpy(array, DEVICE, DEVICE_ID))
    for name in names:
        # Without a shape, which dynamic axes leave open: ONNX Runtime allocates it.
        binding.bind_output(name, DEVICE, DEVICE_ID)
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    found: list[Any] = binding.copy_outputs_to_cpu()
    return found
