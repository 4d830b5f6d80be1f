"""One export from start to end: network, weights, trace, transforms, checks, file, lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunking.atomic import atomic_writer
from export import lock
from export.attach import attach
from export.finish import provenance_document, to_checked_proto
from export.self_check import self_check
from export.sources import WeightsSource
from export.spec import ModelSpec
from export.to_onnx import DEFAULT_OPSET, trace
from export.transforms import clean, fold_batchnorm, fold_transpose, simplify
from export.weights import Weights

if TYPE_CHECKING:
    import onnx

DEFAULT_VARIANT = "portable"
PORTABLE = (clean, fold_batchnorm, fold_transpose, simplify, clean)

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A file that was written, or found to be right already.

    Attributes:
        path: the ONNX file.
        sha256: its digest.
        size_bytes: its size.
        weights: what its weights are called in every report.
        nodes: how many nodes its graph has.
        seconds: what the export took; 0.0 where the file was there already.
    """

    path: Path
    sha256: str
    size_bytes: int
    weights: str
    nodes: int
    seconds: float


def export_model(
    spec: ModelSpec,
    source: WeightsSource,
    out: Path,
    *,
    opset: int = DEFAULT_OPSET,
    missing_only: bool = False,
    stage: Stage = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Exported:
    """Export one network to ``out/NAME.onnx``, with ``out/NAME.lock.json`` beside it.

    Args:
        spec: the network.
        source: the user's choice of weights.
        out: a folder; made where it is missing.
        opset: the ONNX opset.
        missing_only: keep a file that is whole and was made from the same weights and opset.
        stage: told what is being done.

    Raises:
        ExportError: the weights do not cover the network, or a check failed. Nothing is written.
    """
    started = time.perf_counter_ns()
    path = out / f"{file_stem(spec)}.onnx"
    stage("building the network")
    module = spec.build()
    stage("loading weights")
    weights = source.weights_for(spec, module)
    if missing_only and (found := _up_to_date(path, weights, opset)):
        return found
    proto, document = build_proto(spec, module, weights, opset=opset, stage=stage)
    stage("checking the file against the network")
    module.load_state_dict(dict(weights.tensors), strict=True)
    self_check(proto, spec, module)
    stage("writing")
    out.mkdir(parents=True, exist_ok=True)
    nodes = len(proto.graph.node)
    with atomic_writer(path) as stream:
        stream.write(proto.SerializeToString(deterministic=True))
    del proto
    lock.write_lock(path, document)
    written = lock.read_lock(path)
    assert written is not None  # it was written a line above
    return _result(path, written, nodes, (time.perf_counter_ns() - started) / 1e9)


def build_proto(
    spec: ModelSpec,
    module: Any,
    weights: Weights,
    *,
    opset: int,
    stage: Stage = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The finished graph and its provenance document. ``module``'s tensors are overwritten."""
    stage("tracing")
    graph = trace(spec, module, opset)
    model, provenance = attach(graph, spec, module, weights)
    changes: dict[str, int] = {}
    for transform in PORTABLE:
        stage(f"transform: {transform.NAME}")
        changes[transform.NAME] = changes.get(transform.NAME, 0) + transform.apply(
            model, provenance
        )
        provenance.require_sound(model, strict=spec.strict)
    document = provenance_document(
        model, spec, weights, provenance, variant=DEFAULT_VARIANT, transforms=changes
    )
    stage("checking the graph")
    return to_checked_proto(model, spec, document), document


def file_stem(spec: ModelSpec) -> str:
    """The file's name without ``.onnx``; ``timm:resnet18`` becomes ``timm_resnet18``."""
    return spec.name.replace(":", "_").replace("/", "_")


def _up_to_date(path: Path, weights: Weights, opset: int) -> Exported | None:
    """The file on disk, if its lock fits it and the wanted weights, opset and variant."""
    if not path.is_file():
        return None
    found = lock.read_lock(path)
    if found is None or found["file"] != lock.file_entry(path):
        return None
    same = (
        found["weights"]["digest"] == weights.digest
        and found["weights"]["label"] == weights.label
        and found["opset"] == opset
        and found["variant"] == DEFAULT_VARIANT
    )
    return _result(path, found, 0, 0.0) if same else None


def _result(path: Path, document: dict[str, Any], nodes: int, seconds: float) -> Exported:
    file = document["file"]
    label = document["weights"]["label"]
    return Exported(path, file["sha256"], file["size_bytes"], label, nodes, seconds)
