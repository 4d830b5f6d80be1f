"""An onnxruntime that says what a test wants it to say: sessions, settings, profiles, bindings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from trufor_onnx.providers import NAMES

CUDA, CPU = NAMES["cuda"], NAMES["cpu"]


class EPFail(Exception):
    """One of ONNX Runtime's own errors."""


def node(name: str, provider: str, operator: str = "Conv", microseconds: int = 10) -> Any:
    """A node's event, as ONNX Runtime 1.32 writes it."""
    about = {"op_name": operator, "provider": provider}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": about}


@dataclass
class Script:
    """What the fake says and does.

    Attributes:
        at_start: what a new session says of its providers.
        after_run: what it says once it has run; None: the same.
        options: the settings that it says its first provider has; None: those asked for.
        events: its profile.
        available: what ``get_available_providers()`` says.
        fails: whether a run fails; with fallback left on, it would go on on the CPU unsaid.
        sessions: every session made.
    """

    at_start: list[str]
    after_run: list[str] | None = None
    options: dict[str, str] | None = None
    events: Any = None
    available: list[str] = field(default_factory=lambda: list(NAMES.values()))
    fails: bool = False
    sessions: list[Session] = field(default_factory=list)

    def module(self) -> Any:
        """What takes the place of ``onnxruntime`` in ``sys.modules``."""
        state = SimpleNamespace(EPFail=EPFail)
        return SimpleNamespace(
            SessionOptions=Options,
            RunOptions=SimpleNamespace,
            InferenceSession=lambda *given, **rest: Session(self, *given, **rest),
            get_available_providers=lambda: self.available,
            OrtValue=SimpleNamespace(ortvalue_from_numpy=Value),
            capi=SimpleNamespace(onnxruntime_pybind11_state=state),
        )


class Options(SimpleNamespace):
    """``SessionOptions``."""

    def add_session_config_entry(self, key: str, value: str) -> None:
        setattr(self, key, value)


@dataclass
class Value:
    """``OrtValue``."""

    array: Any
    device: str
    device_id: int


class Binding:
    """``IOBinding``: remembers in which order it was used."""

    def __init__(self) -> None:
        self.inputs: dict[str, Value] = {}
        self.outputs: dict[str, str] = {}
        self.did: list[str] = []

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        self.inputs[name] = value

    def bind_output(self, name: str, device: str, device_id: int) -> None:
        self.outputs[name] = f"{device}:{device_id}"

    def synchronize_outputs(self) -> None:
        self.did.append("synchronize")

    def copy_outputs_to_cpu(self) -> list[Any]:
        self.did.append("copy")
        return [np.full(1, index, np.float32) for index, _ in enumerate(self.outputs)]


class Session:
    """``InferenceSession``."""

    def __init__(
        self,
        script: Script,
        path: str,
        options: Any,
        providers: list[Any],
        enable_fallback: int = 1,
    ) -> None:
        self.path, self.options, self.asked = path, options, providers
        self.falls_back = enable_fallback == 1
        self.bindings: list[Binding] = []
        self.plain_runs = 0
        self._script = script
        self._providers = list(script.at_start)
        script.sessions.append(self)

    def disable_fallback(self) -> None:
        self.falls_back = False

    def get_providers(self) -> list[str]:
        return self._providers

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        name, asked = self.asked[0]
        given = self._script.options
        return {name: dict(asked) if given is None else given, CPU: {}}

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="image", type="tensor(float)", shape=[])]

    def get_modelmeta(self) -> Any:
        return SimpleNamespace(custom_metadata_map={})

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="noiseprint"), SimpleNamespace(name="second")]

    def io_binding(self) -> Binding:
        self.bindings.append(Binding())
        return self.bindings[-1]

    def run_with_iobinding(self, binding: Binding) -> None:
        self._run()
        binding.did.append("run")

    def run(self, names: list[str], _: dict[str, Any], options: Any) -> list[Any]:
        assert options.log_severity_level > self.options.log_severity_level
        self.plain_runs += 1
        self._run()
        return [np.zeros(1, np.float32) for _ in names]

    def end_profiling(self) -> str:
        path = Path(self.options.profile_file_prefix + "_2026.json")
        events = self._script.events
        if events is not None:
            path.write_text(events if isinstance(events, str) else json.dumps(events))
        return str(path)

    def _run(self) -> None:
        if self._script.fails:
            if not self.falls_back:
                raise EPFail("CUDA error: out of memory\nmore lines")
            self._providers = [CPU]
        elif self._script.after_run is not None:
            self._providers = list(self._script.after_run)
