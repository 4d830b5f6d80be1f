"""One export from start to end: network, weights, trace, transforms, checks, file, lock."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunking.atomic import atomic_writer
from chunking.hashing import sha256_bytes
from export import lock
from export.attach import attach, require_all_used
from export.errors import ExportError
from export.finish import provenance_document, to_checked_proto
from export.replacing import existing, keeps, require_replaceable
from export.self_check import self_check
from export.sources import WeightsSource
from export.spec import ModelSpec
from export.to_onnx import check_opset, trace
from export.variants import DEFAULT_VARIANT, Variant, find_variant
from export.variants import file_stem as file_stem  # callers know it from here
from export.weights import Weights

if TYPE_CHECKING:
    import onnx
    import torch

Stage = Callable[[str], None]
LARGEST_PROTO = (1 << 31) - 1  # bytes of a protobuf message


@dataclass(frozen=True)
class Built:
    """A finished file that is not on disk yet.

    Attributes:
        data: the ONNX file's bytes.
        document: its lock.
        nodes: how many nodes its graph has.
    """

    data: bytes
    document: dict[str, Any]
    nodes: int


@dataclass(frozen=True)
class Exported:
    """A file that was written, or found to be right already.

    Attributes:
        path: the ONNX file.
        sha256: its digest.
        size_bytes: its size.
        weights: what its weights are called in every report.
        replaced: what the weights of the file before it were called, where they were others.
        nodes: how many nodes its graph has; 0 where the file was there already.
        seconds: what the export took; 0.0 where the file was there already.
    """

    path: Path
    sha256: str
    size_bytes: int
    weights: str
    replaced: str
    nodes: int
    seconds: float


def export_model(
    spec: ModelSpec,
    source: WeightsSource,
    out: Path,
    *,
    variant: str = DEFAULT_VARIANT,
    opset: int | None = None,
    missing_only: bool = False,
    stage: Stage = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Exported:
    """Export one network to ``out/NAME.onnx``, with ``out/NAME.lock.json`` beside it.

    A variant other than the portable one goes to ``out/NAME.VARIANT.onnx``.

    Args:
        spec: the network.
        source: the user's choice of weights.
        out: a folder; made where it is missing.
        variant: how the graph is made: `export.variants`.
        opset: the ONNX opset; the variant's own where None.
        missing_only: keep a file that is whole and was made from the same weights and opset.
        stage: told what is being done.

    Raises:
        ExportError: the weights do not cover the network, a check failed, the file there was made
            from a checkpoint and would be replaced by stand-in weights that nobody asked for, or
            the folder cannot be written. The old file is left as it was.
    """
    started = time.perf_counter_ns()
    recipe = find_variant(variant, spec)
    path = out / f"{file_stem(spec, variant)}.onnx"
    opset = _opset(recipe, opset)
    module, weights = _weighted(spec, source, stage)
    before = existing(path)
    if missing_only and before and keeps(before, path, spec, weights, opset, variant):
        return _exported(path, before)
    require_replaceable(path, before, weights, named=source.named_stand_in)
    built = _build(spec, module, weights, recipe, opset, stage)
    stage("writing")
    _write(path, built)
    seconds = (time.perf_counter_ns() - started) / 1e9
    return _exported(path, built.document, before, built.nodes, seconds)


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
    opset = _opset(recipe, opset)
    module, weights = _weighted(spec, source, stage)
    return _build(spec, module, weights, recipe, opset, stage)


def rebuild_file(spec: ModelSpec, weights: Weights, *, variant: str, opset: int) -> Built:
    """The bytes that `export_model` makes of these tensors, to hold a file to.

    The network's outputs are not looked at: that is what whoever compares the bytes goes on to do.

    Raises:
        ExportError: the network has no such variant, or it cannot be made at this opset.
    """
    recipe = find_variant(variant, spec)
    proto, document = build_proto(
        spec, spec.build(), weights, variant=recipe, opset=_opset(recipe, opset)
    )
    size = proto.ByteSize()
    if size > LARGEST_PROTO:
        raise ExportError(
            f"{spec.name}: {size:,} bytes, which are not made in memory again",
            hint="a lock that somebody signed can be trusted: parity gate --release",
        )
    data: bytes = proto.SerializeToString(deterministic=True)
    return _built(spec, data, document, variant, len(proto.graph.node))


def build_proto(
    spec: ModelSpec,
    module: torch.nn.Module,
    weights: Weights,
    *,
    variant: Variant,
    opset: int,
    stage: Stage = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The finished graph and its provenance document. ``module`` gets the weights."""
    stage("tracing")
    traced = variant.rewritten(spec, module)
    graph = trace(spec, traced, opset)
    del traced
    module.load_state_dict(dict(weights.tensors), strict=True, assign=True)  # no second copy
    model, provenance = attach(graph, spec, weights)
    changes: dict[str, int] = {}
    for transform in variant.transforms:
        stage(f"transform: {transform.NAME}")
        changed = transform.apply(model, provenance)
        changes[transform.NAME] = changes.get(transform.NAME, 0) + changed
        provenance.require_sound(model, strict=spec.strict)
    require_all_used(spec, weights, provenance)
    document = provenance_document(
        model, spec, weights, provenance, variant=variant.name, transforms=changes
    )
    stage("checking the graph")
    return to_checked_proto(model, spec, document), document


def _opset(variant: Variant, opset: int | None) -> int:
    """The user's opset, or the variant's own where the user chose none."""
    chosen = variant.opset if opset is None else opset
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
    proto, document = build_proto(spec, module, weights, variant=variant, opset=opset, stage=stage)
    nodes = len(proto.graph.node)
    data: bytes = proto.SerializeToString(deterministic=True)
    del proto
    gc.collect()  # graphs refer to themselves, and to the weights
    stage("checking the file against the network")
    self_check(data, spec, module, worst=variant.worst_relative)
    return _built(spec, data, document, variant.name, nodes)


def _built(
    spec: ModelSpec, data: bytes, document: dict[str, Any], variant: str, nodes: int
) -> Built:
    name = f"{file_stem(spec, variant)}.onnx"
    file = {"name": name, "size_bytes": len(data), "sha256": sha256_bytes(data)}
    return Built(data, {**document, "file": file}, nodes)


def _write(path: Path, built: Built) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path, reserve=len(built.data)) as stream:
            stream.write(built.data)
        lock.write_lock(path, built.document)
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be written ({error.strerror or error})",
            hint="free disk space, or choose a folder that you may write to with --out",
        ) from error


def _exported(
    path: Path,
    document: dict[str, Any],
    before: dict[str, Any] | None = None,
    nodes: int = 0,
    seconds: float = 0.0,
) -> Exported:
    file, label = document["file"], document["weights"]["label"]
    replaced = before["weights"]["label"] if before else ""
    return Exported(
        path,
        file["sha256"],
        file["size_bytes"],
        label,
        replaced if replaced != label else "",
        nodes,
        seconds,
    )
