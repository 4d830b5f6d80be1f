"""One export from start to end: network, weights, trace, transforms, checks, file, lock."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError, TracerError
from trufor_onnx.export import lock
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.dynamo import LEAST_OPSET as DYNAMO_OPSET
from trufor_onnx.export.graph.dynamo import trace_dynamo
from trufor_onnx.export.graph.finish import (
    Outside,
    attach,
    move_out,
    provenance_document,
    require_all_used,
    to_checked_proto,
)
from trufor_onnx.export.graph.repeatable import require_no_random_operators, require_repeatable
from trufor_onnx.export.graph.self_check import self_check
from trufor_onnx.export.graph.trace import check_opset, trace
from trufor_onnx.export.networks.spec import DYNAMO, ModelSpec
from trufor_onnx.export.replacing import (
    Commands,
    keeps,
    require_as_locked,
    require_free,
    require_replaceable,
    require_to_be_made,
    standing,
)
from trufor_onnx.export.variants import DEFAULT_VARIANT, Variant, find_variant
from trufor_onnx.export.variants import file_stem as file_stem  # callers know it from here
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.files import atomic_writer, sha256_bytes

if TYPE_CHECKING:
    import onnx
    import torch

TRANSFORM_HINT = (
    "try another --opset, or `export list` for another --variant; please report this with the "
    "command you ran"
)

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """A finished file that is not on disk yet.

    Attributes:
        data: the ONNX file's bytes.
        document: its lock.
        nodes: how many nodes its graph has.
        outside: the file beside it with its weights, or None where it has them itself.
        decisions: what `trace` had to say of Python decisions by sizes or values.
        warnings: what could not be checked, a sentence each.
    """

    data: bytes
    document: dict[str, Any]
    nodes: int
    outside: Outside | None
    decisions: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A graph with its weights, all transforms done; its document is not yet of a file."""

    proto: onnx.ModelProto
    document: dict[str, Any]
    outside: Outside | None
    decisions: tuple[str, ...]


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written, or found to be right already.

    Attributes:
        path: the ONNX file.
        sha256: its digest.
        size_bytes: its size, with that of the file with its weights where there is one.
        weights: what its weights are called in every report.
        replaced: what the weights of the file before it were called, where they were others.
        nodes: how many nodes its graph has; 0 where the file was there already.
        seconds: what the export took; 0.0 where the file was there already.
        variant: how its graph was made.
        source: the choice of weights.
        warnings: what the export could not check, a sentence each.
    """

    path: Path
    sha256: str
    size_bytes: int
    weights: str
    replaced: str
    nodes: int
    seconds: float
    variant: str
    source: WeightsSource = field(repr=False)
    warnings: tuple[str, ...] = ()


def export_model(
    spec: ModelSpec,
    source: WeightsSource,
    out: Path,
    *,
    variant: str = DEFAULT_VARIANT,
    opset: int | None = None,
    missing_only: bool = False,
    replace: bool = False,
    stage: Stage = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> ExportedFile:
    """Export one network to ``out/NAME.onnx``, with ``out/NAME.lock.json`` beside it.

    A variant other than the portable one goes to ``out/NAME.VARIANT.onnx``.

    Args:
        spec: the network.
        source: the user's choice of weights.
        out: a folder; made where it is missing.
        variant: how the graph is made: `export.variants`.
        opset: the ONNX opset; the variant's own where None.
        missing_only: keep a file that is whole and was made from the same weights and opset.
        replace: whatever is there may be replaced: a file or a lock of other weights, pieces, a
            pointer to a file that is kept elsewhere (`export.replacing`).
        stage: told what is being done.

    Raises:
        ExportError: the weights do not cover the network, a check failed, something there would
            be replaced that nobody said may be, or the folder cannot be written. What was there is
            left as it was.
    """
    started = time.perf_counter_ns()
    recipe = find_variant(variant, spec)
    path = out / f"{file_stem(spec, variant)}.onnx"
    opset = _opset(spec, recipe, opset)
    found = standing(path)
    commands = Commands(spec, source, out, variant)
    if not replace:
        require_to_be_made(found, commands=commands)
    module, weights = _weighted(spec, source, stage)
    if missing_only and (kept := keeps(found, spec, weights, opset, variant)):
        return _exported(path, kept, source)
    if not replace:
        require_replaceable(found, weights, commands=commands, named=source.named_stand_in)
    built = _build(spec, module, weights, recipe, opset, stage)
    if not replace:
        require_as_locked(found, built.document, commands=commands)
        if built.outside is not None:
            require_free(found, lock.data_path(path), commands=commands)
    stage("writing")
    _write(path, built, found.locked)
    seconds = (time.perf_counter_ns() - started) / 1e9
    return dataclasses.replace(
        _exported(path, built.document, source, found.locked),
        nodes=built.nodes,
        seconds=seconds,
        warnings=built.warnings,
    )


def build_file(
    spec: ModelSpec,
    source: WeightsSource,
    *,
    variant: str = DEFAULT_VARIANT,
    opset: int | None = None,
    stage: Stage = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Built:
    """The file that `export_model` would write, in memory. Raises as it does."""
    recipe = find_variant(variant, spec)
    opset = _opset(spec, recipe, opset)
    module, weights = _weighted(spec, source, stage)
    return _build(spec, module, weights, recipe, opset, stage)


def rebuild_file(spec: ModelSpec, weights: Weights, *, variant: str, opset: int) -> Built:
    """The bytes that `export_model` makes of these tensors, to hold a file to.

    The network's outputs are not looked at: that is what whoever compares the bytes goes on to do.

    Raises:
        ExportError: the network has no such variant, or it cannot be made at this opset.
    """
    recipe = find_variant(variant, spec)
    opset = _opset(spec, recipe, opset)
    finished = build_proto(spec, spec.build(), weights, variant=recipe, opset=opset)
    if finished.outside is not None:
        raise ExportError(
            f"{spec.name}: {finished.outside.size:,} bytes, which are not made in memory again",
            hint="a lock that somebody signed can be trusted: parity gate --release",
        )
    return _built(spec, recipe, finished)


def build_proto(
    spec: ModelSpec,
    module: torch.nn.Module,
    weights: Weights,
    *,
    variant: Variant,
    opset: int,
    stage: Stage = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Finished:
    """The finished graph and its provenance document.

    Args:
        spec: the network.
        module: the network itself, which gets the weights.
        weights: its weights.
        variant: how the graph is made.
        opset: the ONNX opset.
        stage: told what is being done.

    Raises:
        ExportError: as `export_model` does.
    """
    stage("tracing")
    decisions: list[str] = []
    traced = variant.rewritten(spec, module)
    graph = _graph(spec, traced, opset, decisions)
    del traced
    require_no_random_operators(graph, spec)
    with foreign(f"{spec.name}: setting its weights", hint=TRANSFORM_HINT):
        module.load_state_dict(dict(weights.tensors), strict=True, assign=True)  # no second copy
    require_repeatable(spec, module)
    with foreign(f"{spec.name}: setting its weights", hint=TRANSFORM_HINT):
        model, provenance = attach(graph, spec, weights)
    changes: dict[str, int] = {}
    for transform in variant.transforms:
        stage(f"transform: {transform.NAME}")
        with foreign(f"{spec.name}: the transform {transform.NAME}", hint=TRANSFORM_HINT):
            changed = transform.apply(model, provenance)
        changes[transform.NAME] = changes.get(transform.NAME, 0) + changed
        provenance.require_sound(model, strict=spec.strict)
    require_all_used(spec, weights, provenance)
    document = provenance_document(
        model, spec, weights, provenance, variant=variant.name, transforms=changes
    )
    stage("checking the graph")
    outside = move_out(model, lock.data_path(_onnx_name(spec, variant)).name)
    with foreign(f"{spec.name}: checking the graph", hint=TRANSFORM_HINT):
        proto = to_checked_proto(model, spec, document)
    return Finished(proto, document, outside, tuple(decisions))


def _graph(
    spec: ModelSpec, module: torch.nn.Module, opset: int, decisions: list[str]
) -> onnx.ModelProto:
    """The graph by the exporter of the spec; where the tracer fails, the other one is tried.

    Raises:
        ExportError: says whether the other one would do.
    """
    if spec.exporter == DYNAMO:
        return trace_dynamo(spec, module, opset)
    try:
        return trace(spec, module, opset, decisions=decisions)
    except TracerError as error:
        try:
            trace_dynamo(spec, spec.build(), max(opset, DYNAMO_OPSET))
        except ExportError:
            raise error from None
        raise ExportError(
            error.problem, hint=f"--exporter {DYNAMO} does (it was tried), or say so in its spec"
        ) from error


def _file_name(spec: ModelSpec, variant: Variant) -> str:
    return f"{file_stem(spec, variant.name)}.onnx"


def _opset(spec: ModelSpec, variant: Variant, opset: int | None) -> int:
    """The user's opset, or the variant's own where the user chose none."""
    own = max(variant.opset, DYNAMO_OPSET) if spec.exporter == DYNAMO else variant.opset
    chosen = own if opset is None else opset
    check_opset(chosen, least=variant.least_opset)
    return chosen


def _weighted(
    spec: ModelSpec, source: WeightsSource, stage: Stage
) -> tuple[torch.nn.Module, Weights]:
    stage("building the network")
    module = spec.build()
    stage("loading weights")
    return module, source.weights_for(spec, module)


def _build(
    spec: ModelSpec,
    module: torch.nn.Module,
    weights: Weights,
    variant: Variant,
    opset: int,
    stage: Stage,
) -> Built:
    finished = build_proto(spec, module, weights, variant=variant, opset=opset, stage=stage)
    built = _built(spec, variant, finished)
    del finished
    gc.collect()  # graphs refer to themselves, and to the weights
    stage("checking the file against the network")
    warnings = self_check(
        built.data,
        spec,
        module,
        worst=variant.worst_relative,
        decisions=built.decisions,
        outside=built.outside,
    )
    return dataclasses.replace(built, warnings=warnings)


def _built(spec: ModelSpec, variant: Variant, finished: Finished) -> Built:
    data: bytes = finished.proto.SerializeToString(deterministic=True)
    name, outside = _onnx_name(spec, variant).name, finished.outside
    file: dict[str, Any] = {"name": name, "size_bytes": len(data), "sha256": sha256_bytes(data)}
    file |= {"external": [outside.entry()]} if outside else {}
    document = {**finished.document, "file": file}
    return Built(data, document, len(finished.proto.graph.node), outside, finished.decisions)


def _onnx_name(spec: ModelSpec, variant: Variant) -> Path:
    return Path(f"{file_stem(spec, variant.name)}.onnx")


def _write(path: Path, built: Built, before: dict[str, Any] | None) -> None:
    beside = lock.data_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:  # both are whole on the disk before one gets its name
            if built.outside is not None:
                reserve = built.outside.size
                built.outside.write(stack.enter_context(atomic_writer(beside, reserve=reserve)))
            stream = stack.enter_context(atomic_writer(path, reserve=len(built.data)))
            stream.write(built.data)
        lock.write_lock(path, built.document)
        if built.outside is None and before is not None and "external" in before["file"]:
            beside.unlink(missing_ok=True)  # that of the file before, which is replaced
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be written ({error.strerror or error})",
            hint="free disk space, or choose a folder that you may write to with --out",
        ) from error


def _exported(
    path: Path,
    document: dict[str, Any],
    source: WeightsSource,
    before: dict[str, Any] | None = None,
) -> ExportedFile:
    file, label = document["file"], document["weights"]["label"]
    replaced = before["weights"]["label"] if before else ""
    return ExportedFile(
        path=path,
        sha256=file["sha256"],
        size_bytes=sum(f["size_bytes"] for f in (file, *file.get("external", ()))),
        weights=label,
        replaced=replaced if replaced != label else "",
        nodes=0,
        seconds=0.0,
        variant=document["variant"],
        source=source,
    )
