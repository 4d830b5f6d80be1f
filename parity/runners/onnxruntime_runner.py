"""ONNX Runtime, with proof of the provider that ran."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from parity.errors import ParityError, ProviderError
from parity.runners.base import Feeds, Outputs
from parity.runners.providers import CPU, NAMES, Provider, import_onnxruntime, require_ran

BACKEND = "onnxruntime"
ERRORS_ONLY = 3  # ONNX Runtime's log level; its warnings repeat what the report says


class OnnxRuntimeRunner:
    """An ONNX file in ONNX Runtime.

    Args:
        path: the file.
        provider: where it is to run.
        threads: threads of an operator; 0 leaves ONNX Runtime's own choice.

    Raises:
        ProviderError: the provider did not load.
        ParityError: the file cannot be loaded.
    """

    def __init__(self, path: Path, provider: Provider, *, threads: int = 0) -> None:
        onnxruntime = import_onnxruntime()
        self.backend = BACKEND
        self.provider = provider.name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads
        # Sessions in one process disturb each other by spinning threads.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted: list[Any] = [(provider.execution_provider, provider.options)]
        if provider.name != CPU:
            if provider.execution_provider not in onnxruntime.get_available_providers():
                require_ran(provider, [NAMES[CPU]])
            wanted.append(NAMES[CPU])  # for the few operators that a device does not have
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except _load_errors(onnxruntime) as error:
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            kind = ParityError if provider.name == CPU else ProviderError
            raise kind(
                f"{path}: ONNX Runtime cannot load it on {provider.name} ({first_line})",
                hint="check the file with `python -m export check`, or export it again",
            ) from error
        require_ran(provider, session.get_providers())
        self._session: Any = session

    def input_names(self) -> list[str]:
        """The file's inputs, in order."""
        return [tensor.name for tensor in self._session.get_inputs()]

    def run(self, feeds: Feeds) -> Outputs:
        """All outputs that the file has, by name."""
        names = [tensor.name for tensor in self._session.get_outputs()]
        try:
            arrays = self._session.run(names, feeds)
        except _run_errors() as error:
            first_line = str(error).strip().splitlines()[0]
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
            raise ParityError(
                f"ONNX Runtime failed on {shapes}: {first_line}",
                hint="the file does not take this shape; export it again with dynamic axes",
            ) from error
        return dict(zip(names, arrays, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session = None


def _load_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
        RuntimeError,
        OSError,
    )


def _run_errors() -> tuple[type[Exception], ...]:
    state = import_onnxruntime().capi.onnxruntime_pybind11_state
    return (
        state.Fail,
        state.InvalidArgument,
        state.NotImplemented,
        state.RuntimeException,
        RuntimeError,
        ValueError,
    )
