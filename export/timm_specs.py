"""Any image backbone of timm as a network of ours. The one place that imports timm."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from export.errors import ExportError
from export.spec import ModelSpec, Preprocessing, TensorSpec

if TYPE_CHECKING:
    import torch

INSTALL_HINT = "pip install 'trufor-onnx[export,timm]', or `make setup` in a checkout"
# Operators that torchvision registers only with its compiled part, which does not load beside
# every build of torch. timm never calls them; importing torchvision wants them declared.
MISSING_OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: list[torch.library.Library] = []  # a declaration lasts as long as its library object


@cache
def import_timm() -> Any:
    """The timm module, also beside a torchvision whose compiled operators do not load.

    Raises:
        ExportError: timm is not installed.
    """
    import torch

    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in MISSING_OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            declared.define(schema)
    _library.append(declared)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm's and torchvision's own deprecations
            import timm
    except ModuleNotFoundError as error:
        raise ExportError(
            f"timm networks need {error.name}, which is not installed", hint=INSTALL_HINT
        ) from error
    return timm


def build(name: str) -> torch.nn.Module:
    """A timm network without pretrained weights: those come from a checkpoint, proven complete."""
    network: torch.nn.Module = import_timm().create_model(name, pretrained=False, exportable=True)
    return network


def timm_spec(name: str) -> ModelSpec:
    """The network's inputs, outputs and preprocessing, from its timm data config.

    Height and width are fixed to the config's input size where timm says so
    (``fixed_input_size``), and free elsewhere.

    Raises:
        ExportError: timm has no such network.
    """
    timm = import_timm()
    if name not in timm.list_models(exclude_filters=""):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:6]
        raise ExportError(
            f"timm has no network called {name!r}",
            hint=f"it has {', '.join(near)}" if near else "timm.list_models() lists them",
        )
    network = build(name)
    config = timm.data.resolve_data_config(model=network)
    channels, height, width = config["input_size"]
    fixed = bool(network.pretrained_cfg.get("fixed_input_size", False))
    axes = ("batch", channels, *((height, width) if fixed else ("height", "width")))
    classes = network.num_classes
    output = TensorSpec("logits", ("batch", classes), "class logits")
    if not classes:
        output = TensorSpec("features", ("batch", network.num_features), "pooled features")
    return ModelSpec(
        name=f"timm:{name}",
        title=f"{name} of timm {timm.__version__}",
        version=f"timm-{timm.__version__}",
        inputs=(TensorSpec("image", axes, "(RGB / 255 - mean) / std"),),
        outputs=(output,),
        builder="export.timm_specs:build",
        builder_arguments={"name": name},
        preprocessing=Preprocessing(
            scale=255.0, mean=tuple(config["mean"]), std=tuple(config["std"])
        ),
        fixed_size=(height, width) if fixed else None,
        least_size=32,
        trace_size=(height, width),
        strict=False,
    )
