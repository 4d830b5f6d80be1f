"""Tiny networks to plant faults in, and `locate` on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.parity.gate.conftest import good, kept, make_release  # noqa: F401 - fixtures
from trufor_onnx.export.build import build_proto, export_model
from trufor_onnx.export.lock import METADATA_KEY
from trufor_onnx.export.networks.registry import TRUFOR_HEAD
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.variants import DEFAULT_OPSET, VARIANTS
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.locate.results import Located
from trufor_onnx.parity.locate.run import Question, locate

SEED = "golden"
Array = np.ndarray[Any, Any]
Change = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="session")
def head_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, Path]:
    """The head of the tiny detector, and its exported file; not to be changed."""
    from trufor_onnx.export.models.mit_b2 import EncoderConfig
    from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
    from trufor_onnx.export.models.trufor import TruForConfig

    encoder = EncoderConfig(
        channels=(4, 8, 12, 16), depths=(1, 1, 1, 1), heads=(1, 2, 3, 4), reductions=(8, 4, 2, 1)
    )
    config = TruForConfig(NoiseprintConfig(3, 4), encoder, decoder_width=6, score_width=5)
    spec = replace(TRUFOR_HEAD, name="tiny_head", builder_arguments={"config": config}, files=())
    folder = tmp_path_factory.mktemp("head")
    with warnings.catch_warnings():
        # torch's older tracer calls functions that torch itself calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        export_model(spec, WeightsSource(stand_in=SEED), folder)
    return spec, folder / "tiny_head.onnx"


@pytest.fixture
def networks(
    tiny: dict[str, ModelSpec],
    head_once: tuple[ModelSpec, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, ModelSpec]:
    """All tiny networks, registered."""
    known = {**tiny, "tiny_head": head_once[0]}
    monkeypatch.setattr("trufor_onnx.export.networks.registry.registered", lambda: known)
    monkeypatch.setattr("trufor_onnx.parity.locate.run.NOISEPRINT_PP", tiny["tiny_np"])
    return known


@pytest.fixture
def planted(
    networks: dict[str, ModelSpec],
    exported_once: Callable[[str], Path],
    head_once: tuple[ModelSpec, Path],
    make_images: Callable[..., Path],
    tmp_path: Path,
) -> Callable[..., Located]:
    """`locate` on a tiny network's file with a fault in it; ``foreign``: without its record."""
    images = make_images(1, size=(96, 112))

    def run(
        name: str, change: Change | None = None, *, foreign: bool = False, variant: str = ""
    ) -> Located:
        file = head_once[1] if name == "tiny_head" else exported_once(name)
        proto = as_variant(networks[name], variant) if variant else onnx.load(file)
        if change is not None:
            change(proto)
        if foreign:
            for tensor in proto.graph.initializer:
                if "folded" in tensor.name:
                    rename(proto, tensor.name, f"onnx::Conv_{len(tensor.name)}_{tensor.dims}")
            kept = [entry for entry in proto.metadata_props if entry.key != METADATA_KEY]
            del proto.metadata_props[:]
            proto.metadata_props.extend(kept)
        path = tmp_path / "candidate.onnx"
        onnx.save(proto, path)
        source = WeightsSource(stand_in=SEED)
        return locate(Question(name, source, path, image=images, size=(64, 96)))

    return run


def as_variant(spec: ModelSpec, variant: str) -> onnx.ModelProto:
    """A tiny network as one of the variants, which are made for the real ones by name."""
    module = spec.build()
    weights = WeightsSource(stand_in=SEED).weights_for(spec, module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as above
        return build_proto(
            spec, module, weights, variant=VARIANTS[variant], opset=DEFAULT_OPSET
        ).proto


def rename(proto: onnx.ModelProto, old: str, new: str) -> None:
    """Give an initializer another name, everywhere."""
    for tensor in proto.graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
    for node in proto.graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def set_weight(proto: onnx.ModelProto, name: str, change: Callable[[Array], Array]) -> None:
    """Change an initializer's numbers; it stays float32."""
    tensor = next(tensor for tensor in proto.graph.initializer if tensor.name == name)
    array = change(onnx.numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), name))


def scale_one(array: Array, factor: float) -> Array:
    """The least of its numbers is multiplied."""
    array.reshape(-1)[np.abs(array).argmin()] *= np.float32(factor)
    return array
