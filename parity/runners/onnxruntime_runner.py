"""ONNX Runtime, with proof of the provider that ran."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from trufor_onnx.errors import ParityError, ProviderRunError, first_line
from trufor_onnx.export.foreign import PICTURE_HINT, out_of_memory
from trufor_onnx.parity.inputs.cases import LoadedCase
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.contract import Contract, Port
from trufor_onnx.parity.runners.placement import Placement, Profile, placement_of
from trufor_onnx.providers import (
    CPU,
    CUDA,
    NAMES,
    TENSORRT,
    Provider,
    import_to_measure,
    install_hint,
    not_in_force,
)
from trufor_onnx.sessions import open_session, session_errors

DEVICE = "cuda"  # TensorRT's memory too
DEVICE_ID = 0
BINDS = (CUDA, TENSORRT)  # inputs and outputs lie on the device
BACKEND = "onnxruntime"
RAISED = 4  # ONNX Runtime's log level that leaves out what it raises too
ERRORS_ONLY = 3  # ONNX Runtime's log level; its warnings repeat what the report says


def run_bound(session: Any, feeds: Feeds, names: list[str]) -> list[Any]:
    """Copy the inputs to the device, run there, and copy the outputs back.

    Without binding, ONNX Runtime would choose for each output where it lies; so every copy is
    made here, and the outputs are whole when this returns.

    Args:
        session: an ``InferenceSession`` on a CUDA device.
        feeds: the inputs, on the host.
        names: the outputs wanted.

    Returns:
        The outputs on the host, in the order of ``names``.
    """
    value = import_to_measure().OrtValue
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, value.ortvalue_from_numpy(array, DEVICE, DEVICE_ID))
    for name in names:
        # Without a shape, which dynamic axes leave open: ONNX Runtime allocates it.
        binding.bind_output(name, DEVICE, DEVICE_ID)
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    found: list[Any] = binding.copy_outputs_to_cpu()
    return found


class OnnxRuntimeRunner:
    """An ONNX file in ONNX Runtime.

    Args:
        path: the file.
        provider: where it is to run.
        threads: threads of an operator; 0 leaves ONNX Runtime's own choice.
        profile: profile the first run, which then proves where the nodes were computed.
        spinning: let idle threads of the session wait in a loop, as ONNX Runtime does by itself.

    Attributes:
        asked: the provider as it was asked for.
        placement: where the nodes of the first run were computed; None before it, or without
            ``profile``.

    Raises:
        ProviderError: the provider did not load, or has other settings than it was given.
        ParityError: the file cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        provider: Provider,
        *,
        threads: int = 0,
        profile: bool = False,
        spinning: bool = False,
    ) -> None:
        self._onnxruntime = onnxruntime = import_to_measure()
        self.backend = BACKEND
        self.provider = provider.name
        self.placement: Placement | None = None
        self.asked = provider
        self._session: Any = None
        available = onnxruntime.get_available_providers()
        if provider.name != CPU and provider.execution_provider not in available:
            require_ran(provider, [NAMES[CPU]])
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads
        # Sessions in one process disturb each other by spinning threads.
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        self._profile = Profile(options) if profile else None
        try:
            self._session = self._open(path, options)
        except BaseException:
            self._end_profile()
            raise

    def contract(self) -> Contract:
        """What the file says of its inputs, its outputs and how pictures enter."""
        ports = [Port(t.name, t.type, tuple(t.shape)) for t in self._session.get_inputs()]
        outputs = [tensor.name for tensor in self._session.get_outputs()]
        metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        return Contract(tuple(ports), tuple(outputs), metadata)

    def run(self, feeds: Feeds) -> Outputs:
        """All outputs that the file has, by name.

        Raises:
            ProviderError: another provider than the one asked for ran.
            ParityError: the file does not run on these inputs.
        """
        onnxruntime = self._onnxruntime
        names = [tensor.name for tensor in self._session.get_outputs()]
        try:
            if self.provider in BINDS:
                arrays = run_bound(self._session, feeds, names)
            else:
                quiet = onnxruntime.RunOptions()
                quiet.log_severity_level = RAISED  # what fails is raised; each case says it once
                arrays = self._session.run(names, feeds, quiet)
        except session_errors(onnxruntime) as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
            hint = "the file does not take this shape; export it again with dynamic axes"
            raise ParityError(
                f"ONNX Runtime failed on {shapes}: {first_line(error)}",
                hint=PICTURE_HINT if out_of_memory(error) else hint,
            ) from error
        require_ran(self.asked, self._session.get_providers())
        if self._profile is not None:
            self._place(self._profile)
        return dict(zip(names, arrays, strict=True))

    def run_case(self, loaded: LoadedCase, feeds: Feeds) -> Outputs:  # noqa: ARG002 - feeds say it all
        """As `run`: what the case was made of is for the runtime only."""
        return self.run(feeds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._session = None
        self._end_profile()

    def _open(self, path: Path, options: Any) -> Any:
        provider = self.asked
        try:
            session = open_session(path, options, provider.session_providers())
        except session_errors(self._onnxruntime) as error:
            kind = ParityError if provider.name == CPU else ProviderRunError
            raise kind(
                f"{path}: ONNX Runtime cannot load it on {provider.name} ({first_line(error)})",
                hint="check the file with `python -m export check`, or export it again",
            ) from error
        require_ran(provider, session.get_providers())
        require_options(provider, _options(session, provider))
        return session

    def _place(self, profile: Profile) -> None:
        """Read where the nodes ran, and profile no further."""
        self._profile = None
        events = profile.end(self._session)
        options = _options(self._session, self.asked)
        self.placement = placement_of(events, self.asked, options)

    def _end_profile(self) -> None:
        if self._profile is not None:
            self._profile.discard()
            self._profile = None


def _options(session: Any, provider: Provider) -> dict[str, str]:
    """The settings that a session's provider has, as the session says."""
    found = session.get_provider_options().get(provider.execution_provider, {})
    return {str(key): str(value) for key, value in found.items()}


def require_ran(provider: Provider, session_providers: list[str]) -> None:
    """Refuse a session that fell back to another provider.

    Args:
        provider: what was asked for.
        session_providers: what the session says of itself (``session.get_providers()``).

    Raises:
        ProviderError: the first provider of the session is not the one asked for.
    """
    ran = session_providers[0] if session_providers else "none"
    if ran != provider.execution_provider:
        raise ProviderRunError(
            f"{provider.name} was asked for and {ran} ran: {provider.execution_provider} did not "
            "load",
            hint=install_hint(provider.name),
        )


def require_options(provider: Provider, found: Mapping[str, str]) -> None:
    """Refuse a session whose provider has other settings than those that were asked for.

    Args:
        provider: what was asked for, with its settings.
        found: the settings that the session has (``session.get_provider_options()``).

    Raises:
        ProviderError: a setting has another value, or is not there where all are named.
    """
    wrong = not_in_force(provider.name, provider.options, found)
    if wrong:
        raise ProviderRunError(
            f"{provider.name} does not have the settings that it was given: {wrong}",
            hint="figures under other settings would not be comparable; use the onnxruntime of "
            "constraints.txt",
        )
