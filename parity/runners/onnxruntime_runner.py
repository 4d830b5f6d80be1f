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
        self._asked = provider
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
            # Without fallback: a provider that fails would be replaced by the CPU unsaid.
            session = onnxruntime.InferenceSession(
                str(path), options, providers=wanted, enable_fallback=0
            )
        except _errors(onnxruntime) as error:
            kind = ParityError if provider.name == CPU else ProviderError
            raise kind(
                f"{path}: ONNX Runtime cannot load it on {provider.name} ({_first_line(error)})",
                hint="check the file with `python -m export check`, or export it again",
            ) from error
        session.disable_fallback()
        require_ran(provider, session.get_providers())
        self._session: Any = session

    def input_names(self) -> list[str]:
        """The file's inputs, in order."""
        return [tensor.name for tensor in self._session.get_inputs()]

    def run(self, feeds: Feeds) -> Outputs:
        """All outputs that the file has, by name.

        Raises:
            ProviderError: another provider than the one asked for ran.
            ParityError: the file does not run on these inputs.
        """
        names = [tensor.name for tensor in self._session.get_outputs()]
        try:
            arrays = self._session.run(names, feeds)
        except _errors(import_onnxruntime()) as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
            raise ParityError(
                f"ONNX Runtime failed on {shapes}: {_first_line(error)}",
                hint="the file does not take this shape; export it again with dynamic axes",
            ) from error
        require_ran(self._asked, self._session.get_providers())
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


def _errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: its own errors have no common base but Exception."""
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return (
        *(kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception)),
        RuntimeError,
        MemoryError,
        OSError,
        ValueError,
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
