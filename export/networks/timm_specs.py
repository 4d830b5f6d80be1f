"""Any image backbone of timm as a network of ours. The one place that imports timm."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import INSTALL_HINT, foreign
from trufor_onnx.export.graph.trace import one_torch_thread
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing, TensorSpec

if TYPE_CHECKING:
    import torch

LEAST_SIZE = 32  # pixels a side; backbones reduce by 32
ODD_SIZE = (77, 33)  # a network that runs at this takes any size

logger = logging.getLogger(__name__)


@cache
def import_timm() -> Any:
    """The timm module, also beside a torchvision whose compiled operators do not load.

    Raises:
        ExportError: timm is not installed, or does not load.
    """
    with warnings.catch_warnings(), foreign("building a timm network", hint=INSTALL_HINT):
        warnings.simplefilter("ignore")  # timm's and torchvision's own deprecations
        import timm
    return timm


def build(name: str) -> torch.nn.Module:
    """A timm network without pretrained weights: those come from a checkpoint, proven complete.

    ``exportable`` makes timm leave out what tracers do not follow, fused attention among it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `import_timm`
        timm = import_timm()
        with foreign(f"timm:{name}: building the network", hint="another network, or another timm"):
            network: torch.nn.Module = timm.create_model(name, pretrained=False, exportable=True)
    return network


def timm_spec(name: str) -> ModelSpec:
    """The network's inputs, outputs and preprocessing, from its timm data config.

    Height and width are free where the network runs at an odd size, and else fixed to the
    config's input size. ``NAME@HEIGHTxWIDTH`` fixes them: some networks run at any size in torch,
    but compute with sizes in Python, which a graph cannot follow.

    Args:
        name: as timm has it, with or without a tag: ``resnet18``, ``resnet18.a1_in1k``,
            ``mobilevit_xxs@256x256``.

    Raises:
        ExportError: timm has no such network, it takes no colour images, or not this size.
    """
    timm = import_timm()
    timm_name, size = _split_size(name)
    _require_known(timm, timm_name)
    network = build(timm_name).eval()
    given: Any = network  # timm's attributes are not those of every module
    config = timm.data.resolve_data_config(model=network)
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ExportError(
            f"timm:{name} takes {channels} channels, not the 3 of a colour image",
            hint="choose another network",
        )
    own_fixed = bool(given.pretrained_cfg.get("fixed_input_size", False))
    if size is not None and size != (height, width):
        if own_fixed or not _runs_at(network, size):
            raise ExportError(
                f"timm:{timm_name} does not run at {size[0]} x {size[1]}",
                hint=f"its own size is {height} x {width}",
            )
        height, width = size
    fixed = size is not None or own_fixed or not _runs_at(network, ODD_SIZE)
    axes = ("batch", 3, *((height, width) if fixed else ("height", "width")))
    output = TensorSpec("logits", ("batch", given.num_classes), "class logits")
    if not given.num_classes:
        output = TensorSpec("features", ("batch", given.num_features), "pooled features")
    return ModelSpec(
        name=f"timm:{name}",
        title=f"{timm_name} of timm {timm.__version__}",
        version=f"timm-{timm.__version__}",
        inputs=(TensorSpec("image", axes, "(RGB / 255 - mean) / std"),),
        outputs=(output,),
        builder="trufor_onnx.export.networks.timm_specs:build",
        builder_arguments={"name": timm_name},
        preprocessing=Preprocessing(
            scale=255.0, mean=tuple(config["mean"]), std=tuple(config["std"])
        ),
        fixed_size=(height, width) if fixed else None,
        least_size=LEAST_SIZE,
        trace_size=(height, width),
        strict=False,
    )


def _require_known(timm: Any, name: str) -> None:
    base, _, tag = name.partition(".")
    names = timm.list_models()
    if base not in names:
        near = difflib.get_close_matches(base, names, n=6, cutoff=0.5)
        raise ExportError(
            f"timm {timm.__version__} has no network called {base!r}",
            hint=f"near: {', '.join(near)}" if near else "timm.list_models() lists them",
        )
    tagged = timm.list_pretrained(f"{base}.*")
    if tag and name not in tagged:
        raise ExportError(
            f"timm's {base} has no tag {tag!r}",
            hint=f"there are {', '.join(t.partition('.')[2] for t in tagged) or 'none'}",
        )


def _split_size(name: str) -> tuple[str, tuple[int, int] | None]:
    """``resnet18@256x320`` is ``resnet18`` at height 256 and width 320."""
    timm_name, at, size = name.partition("@")
    if not at:
        return timm_name, None
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size)
    if found is None:
        raise ExportError(
            f"timm:{name}: {size!r} is no size", hint=f"such as timm:{timm_name}@224x224"
        )
    return timm_name, (int(found[1]), int(found[2]))


def _runs_at(network: torch.nn.Module, size: tuple[int, int]) -> bool:
    import torch

    try:
        with (
            foreign(f"the network at {size[0]} x {size[1]}", hint="another size"),
            torch.inference_mode(),
            one_torch_thread(),
        ):
            network(torch.zeros(1, 3, *size))
    except ExportError as error:
        logger.info("%s", error.problem)
        return False
    return True
