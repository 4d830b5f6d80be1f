"""PyTorch on the CPU: in float64 the reference, in float32 the source that users know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from trufor_onnx.errors import ParityError
from trufor_onnx.export.foreign import PICTURE_HINT, foreign
from trufor_onnx.export.graph.outputs import output_tensors
from trufor_onnx.export.graph.repeatable import require_repeatable
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.parity.runners.base import Feeds, Outputs

if TYPE_CHECKING:
    import torch

SET_HINT = "the network and its weights do not belong together; begin the run anew"
ONEDNN, NATIVE = "onednn", "native"
ROOT = "the network's own forward"


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
        dtype: of its numbers.
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

        self.backend = f"torch{precision}"
        self.provider = "cpu"
        self._spec = spec
        # A network in half precision is measured against itself: float32 would be nearer to float64
        # than any file of it can be.
        own = torch.float16 if spec.inputs[0].dtype == "float16" else torch.float32
        self.dtype = torch.float64 if precision == 64 else own
        if threads:
            torch.set_num_threads(threads)
        module: torch.nn.Module = spec.build()
        with foreign(f"{spec.name}: setting its weights", hint=SET_HINT, kind=ParityError):
            module.load_state_dict(dict(weights.tensors), strict=True)
            self._module: torch.nn.Module | None = module.to(self.dtype).eval()
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
        given = [torch.from_numpy(feeds[tensor.name]) for tensor in self._spec.inputs]
        inputs = [one.to(self.dtype) if one.is_floating_point() else one for one in given]
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
            returned = self._module(*inputs)
        outputs = output_tensors(self._spec, returned, kind=ParityError)
        return {
            tensor.name: output.numpy()
            for tensor, output in zip(self._spec.outputs, outputs, strict=True)
        }

    def watched(self, feeds: Feeds) -> tuple[Outputs, dict[str, set[str]]]:
        """As `run`, and which modules made narrower numbers of float64 ones, with their types."""

        assert self._module is not None
        with watching(self._module) as found:
            outputs = self.run(feeds)
        return outputs, found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._module = None  # the weights go; two networks in float64 need not fit in memory


def replace_convolutions(module: torch.nn.Module) -> int:
    """Let every convolution that allows it run as a sum over its taps. Returns how many do."""
    count = 0
    for layer in module.modules():
        if not is_plain(layer) or not _keeps_size(layer):
            continue
        if layer.groups == 1:
            convolve = _dense
        elif layer.groups == layer.in_channels == layer.out_channels:
            convolve = _depthwise
        else:
            continue
        layer.forward = partial(convolve, layer)  # type: ignore[method-assign] # an instance
        count += 1
    return count


def is_plain(layer: torch.nn.Module) -> TypeGuard[torch.nn.Conv2d]:
    """Whether a layer computes what `torch.nn.Conv2d` does, of its own weight as it is.

    A class of its own may standardise the weight or pad by itself (timm's ``ScaledStdConv2d``): it
    is the network, and nothing else may run in its place.
    """
    import torch

    if not isinstance(layer, torch.nn.Conv2d):
        return False
    return not any(
        getattr(type(layer), name) is not getattr(torch.nn.Conv2d, name) or name in vars(layer)
        for name in ("forward", "_conv_forward")
    )


def _keeps_size(layer: torch.nn.Conv2d) -> bool:
    """Square kernel, stride 1, "same" zero padding, no dilation."""
    size = layer.kernel_size[0]
    return (
        layer.kernel_size == (size, size)
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and size % 2 == 1
        and layer.padding == (size // 2, size // 2)
        and layer.padding_mode == "zeros"
    )


def _dense(layer: torch.nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) to (B, C', H, W), as ``layer`` computes it."""
    import torch

    size = layer.kernel_size[0]
    border = size // 2
    batch, channels, height, width = maps.shape
    stride = width + 2 * border  # of a padded row
    # One row more below, so that the last shifts do not run over the end.
    padded = torch.nn.functional.pad(maps, (border, border, border, border + 1))
    flat = padded.reshape(batch, channels, -1)
    span = height * stride  # every padded row's columns; the surplus ones are cut off at the end
    result = maps.new_empty(batch, layer.out_channels, span)
    for image in range(batch):
        target = result[image]
        for tap in range(size * size):
            shift = (tap // size) * stride + tap % size
            view = flat[image, :, shift : shift + span]
            kernel = layer.weight[:, :, tap // size, tap % size]
            if tap == 0:
                torch.mm(kernel, view, out=target)
            else:
                torch.addmm(target, kernel, view, out=target)
    grid = result.reshape(batch, layer.out_channels, height, stride)[..., :width]
    return grid if layer.bias is None else grid + layer.bias[:, None, None]


def _depthwise(layer: torch.nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) to the same shape, as ``layer`` computes it."""
    import torch

    size = layer.kernel_size[0]
    height, width = maps.shape[2:]
    padded = torch.nn.functional.pad(maps, (size // 2,) * 4)
    result = torch.zeros_like(maps, memory_format=torch.contiguous_format)
    if layer.bias is not None:
        result += layer.bias[:, None, None]
    for row in range(size):
        for column in range(size):
            view = padded[:, :, row : row + height, column : column + width]
            result.addcmul_(view, layer.weight[:, :, row, column, None])
    return result


def use_native_convolutions(module: torch.nn.Module) -> int:
    """Let dense convolutions larger than 1 x 1 run without oneDNN. Returns how many do."""
    count = 0
    for layer in module.modules():
        if not is_plain(layer) or layer.padding_mode != "zeros":
            continue
        if layer.groups == 1 and max(layer.kernel_size) > 1:
            layer.forward = partial(_convolve, layer)  # type: ignore[method-assign] # an instance
            count += 1
    return count


def _convolve(layer: torch.nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) to (B, C', H', W'), by PyTorch's own kernel."""
    import torch

    # Not `torch.backends.mkldnn.flags`: that one warns about TF32 on every call.
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        return torch.nn.functional.conv2d(
            maps,
            layer.weight,
            layer.bias,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        )
    finally:
        torch._C._set_mkldnn_enabled(before)


@contextmanager
def watching(module: torch.nn.Module) -> Iterator[dict[str, set[str]]]:
    """Within the block, note each module that makes a narrower number of a float64 one.

    Casts, sums with a ``dtype`` of their own, copies into a tensor of another type: whatever takes
    float64 and gives float32, float16 or bfloat16. Numbers that were never float64 (a mask, a
    position) are not meant.

    Yields:
        The types by the module's name, filled while the module runs.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    narrow = (torch.float32, torch.float16, torch.bfloat16)
    found: dict[str, set[str]] = {}
    inside: list[str] = []

    class CastWatch(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's own is untyped
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # Before the operator runs: one that writes into its own argument changes nothing here.
            wide = any(tensor.dtype == torch.float64 for tensor in _tensors((args, kwargs)))
            given = func(*args, **(kwargs or {}))
            for tensor in _tensors(given) if wide else ():
                if tensor.dtype in narrow:
                    name = inside[-1] if inside else ROOT
                    found.setdefault(name, set()).add(str(tensor.dtype).removeprefix("torch."))
            return given

    def enter(name: str) -> Any:
        return lambda *_: inside.append(name)

    def leave(*_: Any) -> None:
        inside.pop()

    hooks = []
    for name, layer in module.named_modules():
        hooks.append(layer.register_forward_pre_hook(enter(name or ROOT)))
        hooks.append(layer.register_forward_hook(leave))
    try:
        with CastWatch():  # type: ignore[no-untyped-call] # as above
            yield found
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(given: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, list | tuple):
        for inner in given:
            yield from _tensors(inner)
    elif isinstance(given, dict):
        for inner in given.values():
            yield from _tensors(inner)
