"""From a torch network to an ONNX graph without weights. The only caller of torch.onnx.export.

The trace gives the graph's structure only: weights enter the graph as named inputs, and
`export.graph.finish` puts the checkpoint's tensors there by name. So no weight passes through the
tracer, and which tensor stands where is known by name, not guessed from bytes.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from trufor_onnx.errors import ExportError, TracerError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.outputs import output_tensors
from trufor_onnx.export.networks.spec import FLOATS, ModelSpec, TensorSpec
from trufor_onnx.export.variants import DEFAULT_OPSET, PLAIN_OPSET
from trufor_onnx.sessions import open_session

if TYPE_CHECKING:
    import onnx
    import torch

LEAST_OPSET = 17  # LayerNormalization is one operator from here on
TRACER_OPSET = 20  # the newest that torch's tracer writes; newer ones are converted to
TRACE_BATCH = 2  # one would let a tracer take the batch axis for a constant unseen
# Sizes of traced axes that are no batch, height or width; odd, and no two of them the same.
FIRST_SIZE, SIZE_STEP = 11, 4


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


@cache
def newest_opset() -> int:
    """The newest opset that the installed onnx writes and the installed ONNX Runtime runs.

    ONNX Runtime does not say which it is, so a graph of one node is tried (milliseconds).
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for opset in range(int(onnx.defs.onnx_opset_version()), LEAST_OPSET, -1):
        shape = onnx.TensorProto.FLOAT, [1]
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])],
            "probe",
            [onnx.helper.make_tensor_value_info("x", *shape)],
            [onnx.helper.make_tensor_value_info("y", *shape)],
        )
        imports = [onnx.helper.make_opsetid("", opset)]
        probe = onnx.helper.make_model_gen_version(graph, opset_imports=imports)
        try:
            open_session(probe.SerializeToString(), options)
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
            continue
        return opset
    return LEAST_OPSET


def check_opset(opset: int, *, least: int = LEAST_OPSET) -> None:
    """Refuse an opset that cannot be written or run here.

    Raises:
        ExportError: says the range.
    """
    newest = newest_opset()
    if not least <= opset <= newest:
        raise ExportError(
            f"opset {opset} is out of range: {least} to {newest} with the installed onnx "
            "and ONNX Runtime",
            hint=f"--opset {min(max(opset, least), newest)}",
        )


def trace(
    spec: ModelSpec,
    module: torch.nn.Module,
    opset: int = DEFAULT_OPSET,
    *,
    decisions: list[str] | None = None,
) -> onnx.ModelProto:
    """The network's graph at an opset; its weights are graph inputs named as in ``state_dict()``.

    ``module`` is changed: its tensors get values of their own, because the tracer merges tensors
    of equal content (two fresh BatchNorms, say), and that would depend on the checkpoint.

    Args:
        spec: the network's inputs and outputs.
        module: the network, in evaluation mode.
        opset: from 11 to `newest_opset`; what is older than a variant takes, `check_opset` refuses.
        decisions: gets the places (``network.py:12``) where the network turned a size or a value
            into a Python number or a yes or no: the graph holds what the traced example had.

    Raises:
        ExportError: the opset is out of range, the network itself does not run or returns what
            is no tensor.
        TracerError: it cannot be traced.
    """
    import onnx
    import torch

    check_opset(opset, least=PLAIN_OPSET)
    _make_distinct(module)
    with (
        tempfile.TemporaryDirectory() as folder,
        _quiet([] if decisions is None else decisions),
        one_torch_thread(),
        torch.no_grad(),
        flat_outputs(spec, module),
    ):
        target = Path(folder) / "graph.onnx"
        inputs = example_inputs(spec)
        newer = f"try --opset {TRACER_OPSET}; " if opset < TRACER_OPSET else ""
        try:
            with foreign(
                f"{spec.name}: the network cannot be traced at opset {opset} by torch's exporter, "
                "which",
                hint=f"{newer}an operator without an ONNX form has to be written otherwise",
                kind=TracerError,
            ):
                torch.onnx.export(
                    module,
                    inputs,
                    str(target),
                    dynamo=False,
                    opset_version=min(opset, TRACER_OPSET),
                    export_params=False,
                    do_constant_folding=False,
                    training=torch.onnx.TrainingMode.PRESERVE,
                    input_names=[tensor.name for tensor in spec.inputs],
                    output_names=[tensor.name for tensor in spec.outputs],
                    dynamic_axes=spec.dynamic_axes(),
                )
                graph = onnx.load(target)
        finally:
            # What the network itself does wrong is no fault of the tracer: that error goes first.
            # Not before the trace: a table that the network keeps would be a constant of it.
            network_outputs(spec, module, inputs)
    if opset <= TRACER_OPSET:
        return graph
    with foreign(
        f"{spec.name}: the graph cannot be converted to opset {opset} by onnx's converter, which",
        hint=f"--opset {TRACER_OPSET} or older needs no conversion",
        kind=TracerError,
    ):
        return onnx.version_converter.convert_version(graph, opset)


@contextmanager
def flat_outputs(spec: ModelSpec, module: torch.nn.Module) -> Iterator[None]:
    """Let a network return a tuple in the order of its spec, if it returns anything else."""
    import torch

    def flatten(_module: object, _inputs: object, given: object) -> object:
        plain = isinstance(given, torch.Tensor) or (
            isinstance(given, tuple | list) and all(isinstance(x, torch.Tensor) for x in given)
        )
        return None if plain else output_tensors(spec, given)  # None: as it is

    hook = module.register_forward_hook(flatten)
    try:
        yield
    finally:
        hook.remove()


def network_outputs(
    spec: ModelSpec,
    module: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    *,
    hint: str = "mend its forward, or say in its spec what it takes (inputs, trace_size, "
    "least_size); an input of another dtype says so: TensorSpec(..., dtype='int64')",
) -> tuple[torch.Tensor, ...]:
    """Run a network of anybody's.

    Args:
        spec: the network's outputs.
        module: the network.
        inputs: tensors in the order of the spec.
        hint: what to do where it fails.

    Raises:
        ExportError: it fails in any way, or returns what `export.graph.outputs` does not take.
    """
    import torch

    given = [
        f"{tensor.name} {tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}"
        for tensor, x in zip(spec.inputs, inputs, strict=True)
    ]
    what = f"{spec.name}: the network, run on {', '.join(given)},"
    with foreign(what, hint=hint), torch.inference_mode(), one_torch_thread():
        returned = module(*inputs)
    return output_tensors(spec, returned)


def trace_sizes(spec: ModelSpec) -> dict[str, int]:
    """The traced example's size of every free axis: over 1, and no two of other axes the same.

    An axis of size 1 would be broadcast: whatever is written into the graph there would fit any
    other size too, and be wrong.
    """
    height, width = spec.fixed_size or spec.trace_size
    sizes = {"batch": TRACE_BATCH, "height": height, "width": width}
    others = [axis for axis in spec.free_axes() if axis not in sizes]
    sizes |= {axis: FIRST_SIZE + SIZE_STEP * n for n, axis in enumerate(others)}
    return sizes | {axis: given[0] for axis, given in spec.sizes.items()}


def input_shapes(spec: ModelSpec, sizes: Mapping[str, int]) -> list[list[int]]:
    """The shape of each input; free axes that ``sizes`` does not name are as traced."""
    free = {**trace_sizes(spec), **sizes}
    return [
        [axis if isinstance(axis, int) else free[axis] for axis in tensor.axes]
        for tensor in spec.inputs
    ]


def example_inputs(
    spec: ModelSpec, sizes: Mapping[str, int] | None = None
) -> tuple[torch.Tensor, ...]:
    """Inputs of the network's shapes, with values that are the same everywhere.

    Floats are in [0, 1), whole numbers from 0 to below `TensorSpec.below`.

    Args:
        spec: the network.
        sizes: of free axes by name; `trace_sizes` for those not named.
    """
    import torch

    generator = torch.Generator().manual_seed(0)

    def made(tensor: TensorSpec, shape: list[int]) -> torch.Tensor:
        if tensor.dtype in FLOATS:
            return torch.rand(shape, generator=generator).to(getattr(torch, tensor.dtype))
        whole = torch.randint(0, tensor.below, shape, generator=generator)
        return whole.to(getattr(torch, tensor.dtype))

    shapes = input_shapes(spec, sizes or {})
    return tuple(made(*pair) for pair in zip(spec.inputs, shapes, strict=True))


def _make_distinct(module: torch.nn.Module) -> None:
    """Give every floating-point tensor of the state dict a first element of its own."""
    import torch

    with torch.no_grad():
        for number, tensor in enumerate(module.state_dict().values(), start=1):
            if tensor.is_floating_point() and tensor.numel():
                tensor[(0,) * tensor.dim()] = number * 2.0**-12


@contextmanager
def _quiet(decisions: list[str]) -> Iterator[None]:
    """Silence what is known and harmless; anything else the tracer says stays visible.

    Where it says that a size or a value became a Python number, the place is kept.
    """
    import torch

    # torch turns its log on whenever it exports, and writes the whole graph of a network that
    # cannot be exported to standard output (torch 2.13).
    name = "_jit_onnx_log"
    log = getattr(torch._C, name, None)
    # torch leaves this name out of its types.
    category = torch.jit.TracerWarning  # type: ignore[attr-defined]
    library = str(Path(torch.__file__).parent)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", category)
        # The older tracer is a decision: docs/decisions/exporter.md.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            if log is not None:
                setattr(torch._C, name, lambda *_: None)
            yield
        finally:
            if log is not None:
                setattr(torch._C, name, log)
    for warning in said:
        if not issubclass(warning.category, category):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        elif not warning.filename.startswith(library):  # torch's own code knows the tracer
            place = f"{Path(warning.filename).name}:{warning.lineno}"
            decisions += [] if place in decisions else [place]
