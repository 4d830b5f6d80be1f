"""One exported file in ONNX Runtime, with proof of the provider that runs."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import AnalysisError, ModelError, ProviderError, first_line
from trufor_onnx.files import sha256_file
from trufor_onnx.providers import CPU, NAMES, OPTIONS, install_hint, not_in_force, wanted
from trufor_onnx.runtime.model_files import ModelFile, ModelInfo, model_info
from trufor_onnx.sessions import import_onnxruntime, open_session, session_errors

Arrays = dict[str, npt.NDArray[Any]]
ERRORS_ONLY = 3  # ONNX Runtime's log level
FLOAT16 = "tensor(float16)"
# Larger runs give their memory back; below, keeping it is quicker (docs/runtime.md).
KEEP_BELOW = 1 << 18  # pixels


_running: set[int] = set()
_numbers = itertools.count()


def interruptible(
    call: Callable[[], Any], stop: Callable[[], None], errors: tuple[type[Exception], ...]
) -> Any:
    """Make a call; if the main thread is interrupted meanwhile, leave it and go on with that.

    Args:
        call: what takes long.
        stop: asks the call to end soon; used when nobody waits for it any more.
        errors: what the call may raise; raised here.

    Returns:
        What the call returns.
    """
    number = next(_numbers)
    _running.add(number)
    if threading.current_thread() is not threading.main_thread():
        try:
            return call()  # signals go to the main thread only
        finally:
            _running.discard(number)
    outcome: list[Any] = []
    failure: list[Exception] = []
    ended = threading.Event()  # an interrupted `join` would take the thread for ended

    def work() -> None:
        try:
            outcome.append(call())
        except errors as error:
            failure.append(error)
        finally:
            _running.discard(number)
            ended.set()

    try:
        threading.Thread(target=work, name="runtime", daemon=True).start()
        ended.wait()
    except BaseException:
        stop()
        raise
    if failure:
        raise failure[0]
    return outcome[0]


def ended(code: int) -> int:
    """A command's exit code; if a call is still at work, the process ends with it at once.

    The end of the interpreter takes down what native code is using: it would wait, or crash.
    """
    if _running:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


class Session:
    """A network ready to run, in any thread.

    Args:
        file: the network's file.
        providers: where it is to run; the first must be the one that does.
        threads: threads of an operator; 0 leaves ONNX Runtime's own choice.
        inputs: the names that its inputs must have.
        outputs: the names that its outputs must have.

    Raises:
        ModelError: the file is missing, damaged or another network's.
        ProviderError: the provider did not load.
    """

    def __init__(
        self,
        file: ModelFile,
        providers: Sequence[str],
        *,
        inputs: Sequence[str],
        outputs: Sequence[str],
        threads: int = 0,
    ) -> None:
        path = file.whole()
        self.provider = providers[0]
        self._path = path
        with ThreadPoolExecutor(1) as beside:  # both take a second on 270 MB
            digest = beside.submit(sha256_file, path)
            self._session = _open(path, providers, threads)
        require_ran(self.provider, self._session.get_providers())
        settings = self._session.get_provider_options()
        require_options(self.provider, settings.get(NAMES[self.provider], {}))
        self._types = {tensor.name: tensor.type for tensor in self._session.get_inputs()}
        found = [tensor.name for tensor in self._session.get_outputs()]
        if list(self._types) != list(inputs) or not set(outputs) <= set(found):
            raise ModelError(
                f"{path}: inputs {', '.join(self._types)} and outputs {', '.join(found)} are not "
                f"those of {file.network}",
                hint=f"export it again: python -m export {file.network}",
            )
        self._outputs = list(outputs)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.info: ModelInfo = model_info(file, path, digest.result(), metadata)

    def run(self, feeds: Mapping[str, npt.NDArray[np.float32]]) -> Arrays:
        """The outputs by name, float32. Ctrl-C ends it at once.

        Raises:
            AnalysisError: the network failed, or another provider than the one asked for ran.
        """
        onnxruntime = import_onnxruntime()
        options = onnxruntime.RunOptions()
        pixels = max(array.shape[-1] * array.shape[-2] for array in feeds.values())
        if pixels > KEEP_BELOW and self.provider == CPU:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        given = {
            name: array.astype(np.float16) if self._types[name] == FLOAT16 else array
            for name, array in feeds.items()
        }

        def stop() -> None:
            options.terminate = True

        errors = session_errors(onnxruntime)
        try:
            arrays = interruptible(
                lambda: self._session.run(self._outputs, given, options), stop, errors
            )
        except errors as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
            raise AnalysisError(
                f"{self._path.name} failed on {shapes}: {first_line(error)}",
                hint="if memory ran out, a smaller --tile or the `ort` variant needs less",
            ) from error
        require_ran(self.provider, self._session.get_providers())
        return {
            name: np.asarray(array, dtype=np.float32)
            for name, array in zip(self._outputs, arrays, strict=True)
        }


def open_first(
    files: Sequence[ModelFile],
    providers: Sequence[str],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    threads: int = 0,
) -> Session:
    """A session of the first file that this ONNX Runtime can run.

    Raises:
        ModelError: none can be; the last one's reason.
        ProviderError: the provider did not load.
    """
    for file in files[:-1]:
        try:
            return Session(file, providers, inputs=inputs, outputs=outputs, threads=threads)
        except UnknownOperatorError:
            continue  # an older ONNX Runtime, or another provider: the portable file is next
    return Session(files[-1], providers, inputs=inputs, outputs=outputs, threads=threads)


class UnknownOperatorError(ModelError):
    """This ONNX Runtime does not have an operator of the file."""


def _open(path: Path, providers: Sequence[str], threads: int) -> Any:
    onnxruntime = import_onnxruntime()
    require_available(providers[0])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    # A pattern is one block a shape, kept; without, the arena's blocks serve all shapes.
    options.enable_mem_pattern = False
    # Two sessions in one process disturb each other by spinning threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return open_session(path, options, wanted(providers))
    except session_errors(onnxruntime) as error:
        text = first_line(error)
        if "is not a registered function/op" in text or "NOT_IMPLEMENTED" in text:
            raise UnknownOperatorError(
                f"{path}: this ONNX Runtime lacks an operator of it ({text})",
                hint="use the portable file (--variant portable), or a newer ONNX Runtime",
            ) from error
        kind = ModelError if providers[0] == CPU else ProviderError
        raise kind(
            f"{path}: ONNX Runtime cannot load it on {providers[0]} ({text})",
            hint="get the file again, or export it again: python -m export trufor_head",
        ) from error


def require_options(name: str, found: Mapping[str, str]) -> None:
    """Refuse a session whose provider has other settings than those that parity measures with.

    Args:
        name: of the provider.
        found: as for `not_in_force`.

    Raises:
        ProviderError: a setting has another value, or is not there where all are named.
    """
    wrong = not_in_force(name, OPTIONS.get(name, {}), found)
    if wrong:
        raise ProviderError(
            f"{name} does not have the settings that it was given: {wrong}",
            hint="its results would not be those that were measured; install another ONNX Runtime",
        )


def require_available(name: str) -> None:
    """Refuse a provider that this build of ONNX Runtime does not have at all.

    Raises:
        ProviderError: see above.
    """
    if NAMES[name] not in import_onnxruntime().get_available_providers():
        raise _absent(name, f"this build of ONNX Runtime has no {NAMES[name]}")


def require_ran(name: str, session_providers: Sequence[str]) -> None:
    """Refuse a session that fell back to another provider.

    Args:
        name: what was asked for.
        session_providers: what the session says of itself (``session.get_providers()``).

    Raises:
        ProviderError: the session's first provider is not the one asked for.
    """
    ran = session_providers[0] if session_providers else "nothing"
    if ran != NAMES[name]:
        raise _absent(name, f"{ran} would run in its place")


def _absent(name: str, why: str) -> ProviderError:
    return ProviderError(f"{name} was asked for and did not load: {why}", hint=install_hint(name))
