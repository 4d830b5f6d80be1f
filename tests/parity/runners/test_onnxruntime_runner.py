"""ONNX Runtime as it is, with bound runs, and one that lies about what ran."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.parity.runners import onnxruntime_runner
from trufor_onnx.parity.runners import onnxruntime_runner as binding
from trufor_onnx.parity.runners.onnxruntime_runner import (
    OnnxRuntimeRunner,
    require_options,
    require_ran,
)
from trufor_onnx.providers import MEASURED, NAMES, Provider, parse_providers

CPU = Provider("cpu", required=True)
CUDA = Provider("cuda", required=True, options={"use_tf32": "0"})


def feeds(*shape: int) -> dict[str, Any]:
    return {"image": np.zeros(shape or (1, 3, 8, 8), np.float32)}


def test_a_file_runs_and_gives_named_outputs(exported_once: Callable[[str], Path]) -> None:
    with OnnxRuntimeRunner(exported_once("tiny_np"), CPU, threads=1) as runner:
        assert (runner.backend, runner.provider) == ("onnxruntime", "cpu")
        contract = runner.contract()
        assert [port.name for port in contract.inputs] == ["image"]
        assert contract.inputs[0].axes == ("batch", 3, "height", "width")
        assert contract.outputs == ("noiseprint",)
        assert "trufor_onnx.preprocessing" in contract.metadata
        found = runner.run(feeds(2, 3, 9, 7))
    assert {name: array.shape for name, array in found.items()} == {"noiseprint": (2, 1, 9, 7)}


def test_cuda_asked_for_and_absent_says_what_is_missing(
    exported_once: Callable[[str], Path],
) -> None:
    """The onnxruntime of this environment has no CUDA."""
    with pytest.raises(ProviderRunError, match="CUDAExecutionProvider did not load") as caught:
        OnnxRuntimeRunner(exported_once("tiny_np"), CUDA)
    assert "trufor-onnx[gpu]" in caught.value.hint


def test_a_silent_fallback_at_the_start_is_caught(lie: Any) -> None:
    lie([NAMES["cpu"]])
    with pytest.raises(ProviderRunError, match="cuda was asked for and CPUExecutionProvider ran"):
        OnnxRuntimeRunner(Path("x.onnx"), CUDA)


def test_a_silent_fallback_while_running_is_caught(lie: Any) -> None:
    lie([NAMES["cuda"], NAMES["cpu"]], after_run=[NAMES["cpu"]])
    with (
        OnnxRuntimeRunner(Path("x.onnx"), CUDA) as runner,
        pytest.raises(ProviderRunError, match="CPUExecutionProvider ran"),
    ):
        runner.run(feeds())


def test_onnxruntime_s_own_fallback_is_off_so_that_its_error_is_seen(lie: Any) -> None:
    script = lie([NAMES["cuda"], NAMES["cpu"]], fails=True)
    with (
        OnnxRuntimeRunner(Path("x.onnx"), CUDA) as runner,
        pytest.raises(ParityError, match=r"failed on image .*: CUDA error: out of memory\n"),
    ):
        runner.run(feeds())
    assert not script.sessions[0].falls_back


def test_a_list_of_available_providers_is_not_believed(lie: Any) -> None:
    """It says CUDA, the session too, and the nodes run on the CPU."""
    lie([NAMES["cuda"], NAMES["cpu"]], events=[])
    runner = OnnxRuntimeRunner(Path("x.onnx"), CUDA, profile=True)
    with runner, pytest.raises(ProviderRunError, match=r"cuda .* computed no node \(nothing ran\)"):
        runner.run(feeds())
    lie([NAMES["cuda"]], available=[NAMES["cpu"]])
    with pytest.raises(ProviderRunError, match="CUDAExecutionProvider did not load"):
        OnnxRuntimeRunner(Path("x.onnx"), CUDA)


def test_a_provider_that_runs_is_told_its_settings(lie: Any) -> None:
    script = lie([NAMES["cuda"], NAMES["cpu"]])
    with OnnxRuntimeRunner(Path("x.onnx"), CUDA, threads=3) as runner:
        assert set(runner.run(feeds())) == {"noiseprint", "second"}
    (session,) = script.sessions
    assert session.asked == [(NAMES["cuda"], {"use_tf32": "0"}), NAMES["cpu"]]
    assert session.options.intra_op_num_threads == 3
    assert getattr(session.options, "session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"use_tf32": "1"}, "use_tf32 is 1, not 0"),
        ({"device_id": "0"}, "use_tf32 is not named, not 0"),
        ({}, "use_tf32 is not named, not 0"),
    ],
)
def test_other_settings_than_those_given_are_refused(
    lie: Any, found: dict[str, str], words: str
) -> None:
    lie([NAMES["cuda"], NAMES["cpu"]], options=found)
    with pytest.raises(ProviderRunError, match=words):
        OnnxRuntimeRunner(Path("x.onnx"), CUDA)


def test_on_cuda_inputs_and_outputs_are_bound_to_the_device(lie: Any) -> None:
    script = lie([NAMES["cuda"], NAMES["cpu"]])
    given = feeds()
    with OnnxRuntimeRunner(Path("x.onnx"), CUDA) as runner:
        found = runner.run(given)
    (session,) = script.sessions
    (binding,) = session.bindings
    assert session.plain_runs == 0
    assert binding.inputs["image"].array is given["image"]
    assert (binding.inputs["image"].device, binding.inputs["image"].device_id) == ("cuda", 0)
    assert binding.outputs == {"noiseprint": "cuda:0", "second": "cuda:0"}
    assert binding.did == ["run", "synchronize", "copy"]
    assert {name: array[0] for name, array in found.items()} == {"noiseprint": 0, "second": 1}


def test_a_bound_run_that_falls_back_is_caught_too(lie: Any) -> None:
    script = lie([NAMES["cuda"], NAMES["cpu"]], after_run=[NAMES["cpu"]])
    runner = OnnxRuntimeRunner(Path("x.onnx"), CUDA)
    with runner, pytest.raises(ProviderRunError, match="CPUExecutionProvider ran"):
        runner.run(feeds())
    assert script.sessions[0].bindings


def test_nodes_lost_to_the_cpu_are_counted(lie: Any, fake: ModuleType) -> None:
    cuda, cpu = NAMES["cuda"], NAMES["cpu"]
    events = [fake.node("a", cuda), fake.node("b", cpu, "Shape"), fake.node("c", cpu, "Shape")]
    lie([cuda, cpu], events=events)
    with OnnxRuntimeRunner(Path("x.onnx"), CUDA, profile=True) as runner:
        assert runner.placement is None
        runner.run(feeds())
        assert runner.placement is not None
        assert runner.placement.fell_back_ops == {"Shape": 2}
        assert runner.placement.options == {"use_tf32": "0"}
        runner.run(feeds())  # profiled no more


@pytest.mark.parametrize("events", ["", "{", "{}", "[1]", None])
def test_without_a_profile_nothing_is_proven(lie: Any, events: Any) -> None:
    lie([NAMES["cuda"], NAMES["cpu"]], events=events)
    runner = OnnxRuntimeRunner(Path("x.onnx"), CUDA, profile=True)
    with runner, pytest.raises(ParityError, match="nothing proves where nodes ran"):
        runner.run(feeds())


def test_a_real_session_s_nodes_are_placed_and_no_file_is_left(
    exported_once: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported_once("tiny_np")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with OnnxRuntimeRunner(path, CPU, threads=1, profile=True) as runner:
        plain = runner.run(feeds())
        assert not list(tmp_path.iterdir())
        again = runner.run(feeds())
        assert np.array_equal(plain["noiseprint"], again["noiseprint"])
        placement = runner.placement
    assert placement is not None
    assert set(placement.nodes) == {NAMES["cpu"]} and placement.nodes[NAMES["cpu"]] >= 3
    assert placement.time_share == {NAMES["cpu"]: 1.0}
    assert placement.fell_back == 0
    for how in ("not run", "not loaded"):
        monkeypatch.chdir(tmp_path)
        if how == "not run":
            OnnxRuntimeRunner(path, CPU, profile=True).__exit__(None, None, None)
        else:
            with pytest.raises(ParityError, match="cannot load it"):
                OnnxRuntimeRunner(Path(__file__), CPU, profile=True)
        assert not list(tmp_path.iterdir()), how


@pytest.mark.parametrize("content", [b"", b"no onnx", None])
def test_a_file_that_cannot_be_loaded_is_an_error_without_traceback(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParityError, match=r"x\.onnx: ONNX Runtime cannot load it on cpu") as caught:
        OnnxRuntimeRunner(path, CPU)
    assert "\n" not in caught.value.problem


def test_other_inputs_than_the_file_takes_are_an_error(
    exported_once: Callable[[str], Path],
) -> None:
    with OnnxRuntimeRunner(exported_once("tiny_np"), CPU, threads=1) as runner:
        wrong = [
            {},
            {"rgb": np.zeros((1, 3, 8, 8), np.float32)},
            {"image": np.zeros((1, 3, 8, 8), np.float64)},
            {"image": np.zeros((1, 4, 8, 8), np.float32)},
            {"image": np.zeros((3, 8, 8), np.float32)},
        ]
        for given in wrong:
            with pytest.raises(ParityError, match="ONNX Runtime failed on"):
                runner.run(given)


def test_a_graph_that_fails_while_running_is_an_error(tmp_path: Path) -> None:
    """Two sizes that do not fit, known only at run time."""
    free = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n"])]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [2, 3])
    node = helper.make_node("Reshape", ["image", "s"], ["y"])
    graph = helper.make_graph([node], "g", free, out, [shape])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "x.onnx")
    with OnnxRuntimeRunner(tmp_path / "x.onnx", CPU, threads=1) as runner:
        assert runner.run(feeds(6))["y"].shape == (2, 3)
        with pytest.raises(ParityError, match=r"failed on image \(5,\)"):
            runner.run(feeds(5))


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "DEVICE", "cpu")
    monkeypatch.setattr(onnxruntime_runner, "BINDS", ("cpu",))


def random_feeds(*shape: int) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(0).random(shape, dtype=np.float32)}


def test_bound_and_plain_runs_give_the_same_outputs(
    exported_once: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shape in (("tiny_np", (2, 3, 9, 7)), ("tiny_trufor", (1, 3, 40, 33))):
        with OnnxRuntimeRunner(exported_once(name), CPU, threads=1) as runner:
            plain = runner.run(random_feeds(*shape))
            with monkeypatch.context() as patch:
                patch.setattr(binding, "DEVICE", "cpu")
                patch.setattr(onnxruntime_runner, "BINDS", ("cpu",))
                found = runner.run(random_feeds(*shape))
        assert list(found) == list(plain)
        for output, array in found.items():
            assert array.dtype == plain[output].dtype
            assert np.array_equal(array, plain[output])


@pytest.mark.usefixtures("bound")
def test_outputs_of_one_run_stay_when_another_is_made(
    exported_once: Callable[[str], Path],
) -> None:
    """Nothing that a caller holds lies in memory that the next run takes."""
    with OnnxRuntimeRunner(exported_once("tiny_np"), CPU, threads=1) as runner:
        first = runner.run(random_feeds(1, 3, 8, 8))["noiseprint"]
        kept = first.copy()
        runner.run({"image": np.ones((1, 3, 8, 8), np.float32)})
        assert np.array_equal(first, kept)
        assert runner.run(random_feeds(1, 3, 16, 8))["noiseprint"].shape == (1, 1, 16, 8)


@pytest.mark.usefixtures("bound")
def test_wrong_inputs_are_an_error_here_too(exported_once: Callable[[str], Path]) -> None:
    with OnnxRuntimeRunner(exported_once("tiny_np"), CPU, threads=1) as runner:
        for given in (
            {},
            {"rgb": np.zeros((1, 3, 8, 8), np.float32)},
            {"image": np.zeros((1, 4, 8, 8), np.float32)},
        ):
            with pytest.raises(ParityError, match="ONNX Runtime failed on"):
                runner.run(given)


@pytest.mark.parametrize("name", MEASURED)
def test_a_session_that_says_another_provider_is_refused(name: str) -> None:
    provider = Provider(name, required=True)
    require_ran(provider, [NAMES[name], NAMES["cpu"]])
    for said in ([], ["AzureExecutionProvider", NAMES[name]]):
        with pytest.raises(ProviderRunError, match=f"{name} was asked for and .* ran"):
            require_ran(provider, said)


def test_the_hint_says_what_is_missing() -> None:
    with pytest.raises(ProviderRunError) as caught:
        require_ran(Provider("cuda", required=True), [NAMES["cpu"]])
    assert "CUDAExecutionProvider did not load" in caught.value.problem
    assert "trufor-onnx[gpu]" in caught.value.hint and "cuDNN" in caught.value.hint


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_settings_are_held_to_what_the_session_says(name: str) -> None:
    (provider,) = parse_providers(name)
    require_options(provider, provider.options | {"device_id": "0"})
    spelt = {key: {"0": "False"}.get(value, value) for key, value in provider.options.items()}
    require_options(provider, spelt)
    for key in provider.options:
        others = {k: v for k, v in provider.options.items() if k != key}
        for wrong in (others, others | {key: "1"}, others | {key: ""}):
            with pytest.raises(ProviderRunError, match=key):
                require_options(provider, wrong)


def test_a_provider_that_names_no_setting_is_believed_until_it_names_another() -> None:
    (openvino,) = parse_providers("openvino")
    require_options(openvino, {})
    with pytest.raises(ProviderRunError, match="device_type is GPU, not CPU"):
        require_options(openvino, {"device_type": "GPU"})
