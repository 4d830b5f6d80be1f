"""PyTorch on the CPU: in float64 the reference, in float32 the source that users know."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from export.foreign import PICTURE_HINT, foreign, output_tensors
from export.repeatable import require_repeatable
from export.spec import ModelSpec
from export.weights import Weights
from parity.errors import ParityError
from parity.runners.base import Feeds, Outputs

if TYPE_CHECKING:
    import torch


SET_HINT = "the network and its weights do not belong together; begin the run anew"
ONEDNN, NATIVE = "onednn", "native"


class TorchRunner:
    """A network in PyTorch.

    Args:
        spec: the network.
        weights: its tensors, complete.
        precision: 64 for the reference, 32 for the source.
        threads: threads of an operator; 0 leaves torch's own choice.
        kernel: ``onednn``, or ``native`` for dense convolutions in float32 without it.

    Raises:
        ExportError: the reference is random.

    Attributes:
        replaced: how many convolutions do not run as torch would run them by itself.
    """

    def __init__(
        self,
        spec: ModelSpec,
        weights: Weights,
        *,
        precision: int,
        threads: int = 0,
        kernel: str = ONEDNN,
    ) -> None:
        import torch

        from parity.runners.float32 import use_native_convolutions
        from parity.runners.float64 import replace_convolutions

        self.backend = f"torch{precision}"
        self.provider = "cpu"
        self._spec = spec
        self._dtype = {64: torch.float64, 32: torch.float32}[precision]
        if threads:
            torch.set_num_threads(threads)
        module: torch.nn.Module = spec.build()
        with foreign(f"{spec.name}: setting its weights", hint=SET_HINT, kind=ParityError):
            module.load_state_dict(dict(weights.tensors), strict=True)
            self._module: torch.nn.Module | None = module.to(self._dtype).eval()
        self.replaced = 0
        if precision == 64:
            self.replaced = replace_convolutions(module)
            require_repeatable(spec, module)  # what differs from itself is no reference
        elif kernel == NATIVE:
            self.replaced = use_native_convolutions(module)

    def run(self, feeds: Feeds) -> Outputs:
        """Named outputs, in this runner's precision.

        Raises:
            ParityError: the network does not run on these inputs, for want of memory perhaps, or
                returns something else than the outputs of its spec.
        """
        import torch

        assert self._module is not None  # `run` is called inside the `with` block
        inputs = [
            torch.from_numpy(feeds[tensor.name]).to(self._dtype) for tensor in self._spec.inputs
        ]
        shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
        with (
            foreign(
                f"{self._spec.name} in {self.backend} on {shapes}",
                hint="the network itself does not take this picture: take it out, or say in its "
                "spec what it takes (least_size, fixed_size)",
                kind=ParityError,
                memory_hint=PICTURE_HINT,
            ),
            torch.inference_mode(),
        ):
            given = self._module(*inputs)
        outputs = output_tensors(self._spec, given, kind=ParityError)
        return {
            tensor.name: output.numpy()
            for tensor, output in zip(self._spec.outputs, outputs, strict=True)
        }

    def watched(self, feeds: Feeds) -> tuple[Outputs, dict[str, set[str]]]:
        """As `run`, and which modules made narrower numbers of float64 ones, with their types."""
        from parity.runners.precision import watching

        assert self._module is not None
        with watching(self._module) as found:
            outputs = self.run(feeds)
        return outputs, found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._module = None  # the weights go; two networks in float64 need not fit in memory
