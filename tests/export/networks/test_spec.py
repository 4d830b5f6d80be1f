"""A specification that cannot work says so when it is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing, TensorSpec


def test_dynamic_axes() -> None:
    assert MIT_B2.dynamic_axes()["rgb"] == {0: "batch", 2: "height", 3: "width"}
    assert MIT_B2.dynamic_axes()["fused_1"] == {0: "batch", 2: "height_8", 3: "width_8"}
    assert TRUFOR.dynamic_axes()["score"] == {0: "batch"}


def test_the_preprocessing_contract() -> None:
    assert Preprocessing().document() == {
        "channels": "RGB",
        "layout": "NCHW",
        "dtype": "float32",
        "scale": 256.0,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    }


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": "../evil"}, "its name must start"),
        ({"name": "a/b"}, "its name must start"),
        ({"name": ""}, "its name must start"),
        ({"inputs": ()}, "it needs an input and an output"),
        ({"outputs": ()}, "it needs an input and an output"),
        ({"outputs": (TensorSpec("image", (1,), ""),)}, "have one name"),
        ({"builder": "no.function"}, "its builder must be"),
    ],
)
def test_what_cannot_work(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ExportError, match=fault):
        replace(NOISEPRINT_PP, **changes)


def make(**arguments: Any) -> Any:
    import torch

    return torch.nn.Linear(**arguments).train()


def spec_of(builder: str, **arguments: Any) -> ModelSpec:
    return replace(NOISEPRINT_PP, builder=builder, builder_arguments=arguments)


def test_building() -> None:
    module = spec_of(f"{__name__}:make", in_features=2, out_features=3).build()
    assert module.weight.shape == (3, 2)
    assert not module.training


def test_building_without_the_package() -> None:
    with pytest.raises(ExportError, match="needs no_such_package, which is not installed"):
        spec_of("no_such_package.networks:make").build()


def test_building_without_the_function() -> None:
    with pytest.raises(ExportError, match="has no absent"):
        spec_of(f"{__name__}:absent").build()
