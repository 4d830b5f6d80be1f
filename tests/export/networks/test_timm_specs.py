"""Any image backbone of timm goes through the same export, and what cannot says why."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from trufor_onnx.errors import CoverageError, ExportError
from trufor_onnx.export.build import ExportedFile, build_file, export_model
from trufor_onnx.export.cli import main
from trufor_onnx.export.graph.self_check import self_check
from trufor_onnx.export.graph.trace import one_torch_thread
from trufor_onnx.export.lock import read_lock
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.networks.timm_specs import import_timm
from trufor_onnx.export.weights.sources import WeightsSource

if find_spec("timm") is None:
    pytest.skip("timm is not installed (pip install 'trufor-onnx[timm]')", allow_module_level=True)
timm = import_timm()

SEED = WeightsSource(stand_in="s")


def against_torch(spec: ModelSpec, data: bytes, *, batch: int, size: tuple[int, int]) -> float:
    """The worst difference to torch, as a share of the range, with one's own session."""
    module = spec.build().eval()
    module.load_state_dict(dict(SEED.weights_for(spec, module).tensors))
    image = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode(), one_torch_thread():
        expected = module(image).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image.numpy()})
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# One of each kind of timm's own test networks; size, whether it is free, and a batch.
NETWORKS = [
    ("test_resnet", (61, 45), 3),
    ("test_convnext", (70, 39), 2),
    ("test_efficientnet", (37, 80), 2),
    ("test_nfnet", (64, 33), 1),
    ("test_mambaout", (51, 51), 2),
    ("test_byobnet", (33, 97), 2),
    ("test_vit", None, 3),
    ("test_vit_relpos", None, 2),
    ("test_coatnet", None, 2),
    ("test_maxvit", None, 1),
]


LONG = ("test_nfnet", "test_vit_relpos", "test_coatnet", "test_maxvit")
EVERY_NETWORK = [
    pytest.param(*entry, id=entry[0], marks=pytest.mark.slow if entry[0] in LONG else ())
    for entry in NETWORKS
]


@pytest.mark.parametrize(("name", "size", "batch"), EVERY_NETWORK)
def test_families(name: str, size: tuple[int, int] | None, batch: int) -> None:
    spec = find(f"timm:{name}")
    assert (spec.fixed_size is None) == (size is not None)
    built = build_file(spec, SEED)
    assert against_torch(spec, built.data, batch=batch, size=size or spec.fixed_size) < 1e-4
    graph = onnx.load_model_from_string(built.data).graph
    dims = graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == list(spec.inputs[0].axes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_networks_that_people_use(name: str) -> None:
    spec = find(f"timm:{name}")
    size = spec.fixed_size or (193, 225)
    assert against_torch(spec, build_file(spec, SEED).data, batch=2, size=size) < 1e-4


def test_the_specification_comes_from_the_data_config() -> None:
    spec = find("timm:test_vit")
    config = timm.get_pretrained_cfg("test_vit")
    assert spec.fixed_size == config.input_size[1:]
    assert spec.preprocessing.scale == 255.0
    assert spec.preprocessing.mean == config.mean
    assert spec.preprocessing.std == config.std
    assert spec.outputs[0].name == "logits"
    assert spec.outputs[0].axes == ("batch", 1000)
    assert spec.version == f"timm-{timm.__version__}"
    assert not spec.strict


def test_a_tag_chooses_the_config() -> None:
    tagged = timm.list_pretrained("test_resnet.*")[0]
    assert find(f"timm:{tagged}").name == f"timm:{tagged}"


@pytest.mark.parametrize(
    ("name", "problem", "hint"),
    [
        ("resnet181", "has no network called 'resnet181'", "near: resnet18"),
        ("qqqqqqqqqq", "has no network called", "timm.list_models() lists them"),
        ("", "has no network called ''", "timm.list_models() lists them"),
        ("resnet18.nosuch", "timm's resnet18 has no tag 'nosuch'", "a1_in1k"),
        ("test_resnet@", "'' is no size", "timm:test_resnet@224x224"),
        ("test_resnet@0x9", "'0x9' is no size", "224x224"),
        ("test_resnet@64", "'64' is no size", "224x224"),
        ("test_vit@64x64", "timm:test_vit does not run at 64 x 64", "its own size is 160 x 160"),
    ],
)
def test_names_that_are_not(name: str, problem: str, hint: str) -> None:
    with pytest.raises(ExportError) as refusal:
        find(f"timm:{name}")
    assert problem in refusal.value.problem
    assert hint in refusal.value.hint


def test_a_chosen_size() -> None:
    spec = find("timm:test_resnet@64x96")
    assert spec.fixed_size == (64, 96)
    assert spec.inputs[0].axes == ("batch", 3, 64, 96)
    assert against_torch(spec, build_file(spec, SEED).data, batch=2, size=(64, 96)) < 1e-4


def test_a_network_that_computes_with_sizes_in_python() -> None:
    """It runs at any size in torch, and its graph at one: the check says how to name that one."""
    with pytest.raises(ExportError, match="a size of the traced example is fixed in it") as refusal:
        build_file(find("timm:mobilevit_xxs"), SEED)
    assert refusal.value.hint == "let its size be fixed: timm:mobilevit_xxs@256x256"


def test_an_operator_that_has_no_onnx_form(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportError, match=r"cannot be traced at opset 17 .*rms_norm"):
        build_file(find("timm:test_vit4"), SEED)
    assert capfd.readouterr().out == ""


@pytest.fixture
def resnet() -> Any:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", pretrained=False)


def test_the_command(tmp_path: Path, resnet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(resnet.state_dict(), "mine.pth")
    assert main(["timm:test_resnet", "--weights", "mine.pth", "--out", "out"]) == 0
    assert "mine.pth" in capsys.readouterr().out
    path = tmp_path / "out/timm_test_resnet.onnx"
    locked = read_lock(path)
    assert locked is not None
    assert locked["model"] == "timm:test_resnet"
    assert locked["weights"]["file"] == "mine.pth"
    assert (tmp_path / "out/timm_test_resnet.lock.json").is_file()
    assert main(["check", "--onnx-models", "out", "--weights", "mine.pth"]) == 0
    spec = find("timm:test_resnet")
    resnet.eval()
    self_check(path.read_bytes(), spec, resnet)


def test_a_checkpoint_that_does_not_cover(tmp_path: Path, resnet: Any) -> None:
    rest = {n: t for n, t in resnet.state_dict().items() if n != "layer1.0.conv1.weight"}
    torch.save(rest, "mine.pth")
    with pytest.raises(CoverageError, match=r"missing 1 tensors.*\n +layer1\.0\.conv1\.weight"):
        export_model(find("timm:test_resnet"), WeightsSource(Path("mine.pth")), tmp_path)


def test_file_names(tmp_path: Path) -> None:
    exported: ExportedFile = export_model(find("timm:test_resnet@32x32"), SEED, tmp_path)
    assert exported.path.name == "timm_test_resnet_32x32.onnx"


def test_timm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    import_timm.cache_clear()
    try:
        with pytest.raises(
            ExportError, match="building a timm network needs timm, which is not installed"
        ):
            find("timm:resnet18")
    finally:
        import_timm.cache_clear()
