"""One exported file in ONNX Runtime, with proof of the provider that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chunking.errors import first_line
from chunking.hashing import sha256_file
from runtime.errors import AnalysisError, ModelError, ProviderError
from runtime.interrupting import interruptible
from runtime.model_files import ModelFile
from runtime.onnxruntime_errors import session_errors
from runtime.provenance import ModelInfo, model_info
from runtime.providers import (
    CPU,
    NAMES,
    import_onnxruntime,
    require_available,
    require_options,
    require_ran,
    wanted,
)

Arrays = dict[str, npt.NDArray[Any]]
ERRORS_ONLY = 3  # ONNX Runtime's log level
FLOAT16 = "tensor(float16)"
# Larger runs give their memory back; below, keeping it is quicker (docs/runtime.md).
KEEP_BELOW = 1 << 18  # pixels


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
        # Without fallback: a provider that fails would be replaced by the CPU unsaid.
        session = onnxruntime.InferenceSession(
            str(path), options, providers=wanted(providers), enable_fallback=0
        )
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
    session.disable_fallback()
    return session
