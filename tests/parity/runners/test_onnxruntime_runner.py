"""ONNX Runtime as it is, and one that lies about what ran."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from parity.errors import ParityError, ProviderError
from parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from parity.runners.providers import NAMES, Provider

CPU = Provider("cpu", required=True)
CUDA = Provider("cuda", required=True, options={"use_tf32": "0"})


def feeds(*shape: int) -> dict[str, Any]:
    return {"image": np.zeros(shape or (1, 3, 8, 8), np.float32)}


class EPFail(Exception):
    pass


class LyingSession:
    """A session that has, or turns to, other providers than it was asked for."""

    made: list[dict[str, Any]] = []  # noqa: RUF012 - emptied by the fixture
    at_start: list[str]
    after_run: list[str]
    fails: bool

    def __init__(self, path: str, options: Any, providers: list[Any], **rest: Any) -> None:
        self.made.append({"path": path, "options": options, "providers": providers, **rest})
        self._fallback = rest.get("enable_fallback", 1) == 1
        self._providers = list(self.at_start)

    def disable_fallback(self) -> None:
        self._fallback = False

    def get_providers(self) -> list[str]:
        return self._providers

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="noiseprint")]

    def run(self, names: list[str], _: dict[str, Any]) -> list[Any]:
        self._providers = list(self.after_run)
        if self.fails:
            if not self._fallback:
                raise EPFail("CUDA error: out of memory\nmore lines")
            self._providers = [NAMES["cpu"]]
        return [np.zeros(1, np.float32) for _ in names]


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Put an onnxruntime in place that says it has CUDA."""

    def replace(
        at_start: list[str], after_run: list[str] | None = None, fails: bool = False
    ) -> list[dict[str, Any]]:
        session = type(
            "Session",
            (LyingSession,),
            {"at_start": at_start, "after_run": after_run or at_start, "fails": fails, "made": []},
        )
        options = SimpleNamespace(add_session_config_entry=lambda *_: None)
        module = SimpleNamespace(
            SessionOptions=lambda: options,
            InferenceSession=session,
            get_available_providers=lambda: list(NAMES.values()),
            capi=SimpleNamespace(onnxruntime_pybind11_state=SimpleNamespace(EPFail=EPFail)),
        )
        monkeypatch.setitem(sys.modules, "onnxruntime", module)  # type: ignore[arg-type] # a fake
        return session.made

    return replace


def test_a_file_runs_and_gives_named_outputs(exported_once: Callable[[str], Path]) -> None:
    with OnnxRuntimeRunner(exported_once("tiny_np"), CPU, threads=1) as runner:
        assert (runner.backend, runner.provider) == ("onnxruntime", "cpu")
        assert runner.input_names() == ["image"]
        found = runner.run(feeds(2, 3, 9, 7))
    assert {name: array.shape for name, array in found.items()} == {"noiseprint": (2, 1, 9, 7)}


def test_cuda_asked_for_and_absent_says_what_is_missing(
    exported_once: Callable[[str], Path],
) -> None:
    """The onnxruntime of this environment has no CUDA."""
    with pytest.raises(ProviderError, match="CUDAExecutionProvider did not load") as caught:
        OnnxRuntimeRunner(exported_once("tiny_np"), CUDA)
    assert "trufor-onnx[gpu]" in caught.value.hint


def test_a_silent_fallback_at_the_start_is_caught(lie: Any) -> None:
    lie([NAMES["cpu"]])
    with pytest.raises(ProviderError, match="cuda was asked for and CPUExecutionProvider ran"):
        OnnxRuntimeRunner(Path("x.onnx"), CUDA)


def test_a_silent_fallback_while_running_is_caught(lie: Any) -> None:
    lie([NAMES["cuda"], NAMES["cpu"]], after_run=[NAMES["cpu"]])
    with (
        OnnxRuntimeRunner(Path("x.onnx"), CUDA) as runner,
        pytest.raises(ProviderError, match="CPUExecutionProvider ran"),
    ):
        runner.run(feeds())


def test_onnxruntime_s_own_fallback_is_off_so_that_its_error_is_seen(lie: Any) -> None:
    made = lie([NAMES["cuda"], NAMES["cpu"]], fails=True)
    with (
        OnnxRuntimeRunner(Path("x.onnx"), CUDA) as runner,
        pytest.raises(ParityError, match=r"failed on image .*: CUDA error: out of memory\n"),
    ):
        runner.run(feeds())
    assert made[0]["enable_fallback"] == 0


def test_a_provider_that_runs_is_told_its_settings(lie: Any) -> None:
    made = lie([NAMES["cuda"], NAMES["cpu"]])
    with OnnxRuntimeRunner(Path("x.onnx"), CUDA, threads=3) as runner:
        assert set(runner.run(feeds())) == {"noiseprint"}
    assert made[0]["providers"] == [(NAMES["cuda"], {"use_tf32": "0"}), NAMES["cpu"]]
    assert made[0]["options"].intra_op_num_threads == 3


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
