"""The variants of an exported file: what is done to the graph, and for whom.

``NAME.onnx`` is the portable file, ``NAME.VARIANT.onnx`` any other; each has its own lock.
Which one to take: docs/variants.md.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trufor_onnx.errors import ExportError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.transforms import (
    clean,
    float16,
    fold_batchnorm,
    fold_transpose,
    fold_weights,
    int8,
    simplify,
)

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from trufor_onnx.export.graph.provenance import GraphProvenance

    # A module's class, and what takes its place: another ``forward``, no tensors of its own.
    Classes = Mapping[type[torch.nn.Module], type[torch.nn.Module]]

DEFAULT_OPSET = 17  # docs/decisions/opset.md
PLAIN_OPSET = 11  # the opset of widely copied TruFor exports
DEFAULT_VARIANT = "portable"


class Transform(Protocol):
    """A module of `export.transforms`."""

    NAME: str

    def apply(self, model: ir.Model, provenance: GraphProvenance) -> int:
        """Change the graph in place, keep its provenance true. Returns how much changed."""
        ...


@dataclass(frozen=True)
class Variant:
    """How a network becomes a file.

    Attributes:
        name: what users type after ``--variant``.
        title: one line for people.
        transforms: modules of `export.transforms`, in order.
        opset: the opset where the user chooses none.
        least_opset: the oldest opset that it can be written at.
        classes: ``"module:table"`` of classes that compute otherwise than the network's, the same
            thing (see `rewrite`); imported only when it is used. "" for none.
        models: the networks that it is made for; empty: all.
        worst_relative: what `export.graph.self_check` allows, as a share of an output's range.
        release: whether it may be shipped; else it is for benchmarks.
    """

    name: str
    title: str
    transforms: tuple[Transform, ...]
    opset: int = DEFAULT_OPSET
    least_opset: int = DEFAULT_OPSET
    classes: str = ""
    models: tuple[str, ...] = ()
    worst_relative: float = 1e-3
    release: bool = True

    def rewritten(self, spec: ModelSpec, module: torch.nn.Module) -> torch.nn.Module:
        """The network as this variant wants it traced: ``module``, or a second one like it.

        Args:
            spec: the network.
            module: the network, which is left as it is.
        """
        if not self.classes:
            return module
        module_name, _, table = self.classes.partition(":")
        classes = getattr(importlib.import_module(module_name), table)
        return rewrite(spec.build(), classes) if concerns(module, classes) else module


def concerns(module: torch.nn.Module, classes: Classes) -> bool:
    """Whether a part of the network is of one of the classes."""
    return any(type(part) in classes for part in module.modules())


def rewrite(module: torch.nn.Module, classes: Classes) -> torch.nn.Module:
    """Exchange classes in place: parameters keep their names and values."""
    for part in module.modules():
        if type(part) in classes:
            part.__class__ = classes[type(part)]
    return module


PLAIN = Variant(
    "plain",
    "baseline for benchmarks: opset 11, as the older tracer writes it",
    # What torch's own exporter does by default with weights, here with provenance.
    (fold_batchnorm, fold_transpose),
    opset=PLAIN_OPSET,
    least_opset=PLAIN_OPSET,
    release=False,
)
PORTABLE = Variant(
    DEFAULT_VARIANT,
    "standard operators, simplified: runs in any ONNX runtime",
    (clean, fold_batchnorm, fold_transpose, simplify, clean),
    classes="trufor_onnx.export.models.fusion:REWRITTEN",
)
ORT = Variant(
    "ort",
    "for ONNX Runtime: fused attention, fewer transposes, less memory",
    (clean, fold_weights, fold_batchnorm, simplify, clean),
    classes="trufor_onnx.export.models.ort:REWRITTEN",
    models=("noiseprint_pp", "mit_b2", "trufor", "trufor_head"),
)
FP16 = Variant(
    "fp16",
    "half the bytes, for GPUs: float16, with what is sensitive in float32",
    (*PORTABLE.transforms, float16),
    classes=PORTABLE.classes,
    models=("mit_b2", "trufor", "trufor_head"),
    worst_relative=0.03,
)
INT8 = Variant(
    "int8",
    "8-bit convolutions where a measured error budget allows them; else refused",
    (*PORTABLE.transforms, int8),
    models=("noiseprint_pp",),
    # The check's noise is outside of the pictures' ranges; the transform judges by pictures.
    worst_relative=0.5,
)
VARIANTS = {variant.name: variant for variant in (PLAIN, PORTABLE, ORT, FP16, INT8)}


def find_variant(name: str, spec: ModelSpec | None = None) -> Variant:
    """A variant by name.

    Args:
        name: what the user typed.
        spec: the network that it is wanted for, or None.

    Raises:
        ExportError: there is none of that name, or it is not made for this network.
    """
    variant = VARIANTS.get(name)
    if variant is None:
        raise ExportError(
            f"no variant {name!r}", hint=f"the variants are {', '.join(VARIANTS)}: --variant NAME"
        )
    if spec is not None and variant.models and spec.name not in variant.models:
        others = [v.name for v in VARIANTS.values() if not v.models or spec.name in v.models]
        raise ExportError(
            f"{spec.name}: the variant {name} is made for {', '.join(variant.models)} only",
            hint=f"this network has {', '.join(others)}",
        )
    return variant


def file_stem(spec: ModelSpec, variant: str = DEFAULT_VARIANT) -> str:
    """The file's name without ``.onnx``.

    ``timm:resnet18`` becomes ``timm_resnet18``, the ``ort`` variant of ``mit_b2`` ``mit_b2.ort``.
    """
    stem = spec.name.replace(":", "_").replace("@", "_")
    return stem if variant == DEFAULT_VARIANT else f"{stem}.{variant}"


def split_stem(stem: str) -> tuple[str, str]:
    """A file's name without ``.onnx``, as the model's stem and the variant ("": portable)."""
    model, _, variant = stem.rpartition(".")
    return (model, variant) if model and variant in VARIANTS else (stem, "")
