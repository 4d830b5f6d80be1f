"""What is to be measured, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trufor_onnx.errors import ParityError
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.results.statistics import LEAST_ROUNDS
from trufor_onnx.providers import Provider

ONNXRUNTIME, TORCH32 = "onnxruntime", "torch32"
BACKENDS = (ONNXRUNTIME, TORCH32)
SOURCE_VARIANT = "source"  # PyTorch runs no exported file
CANDIDATE = "candidate"

Size = tuple[int, int]


@dataclass(frozen=True)
class Rules:
    """How contestants take turns.

    Attributes:
        rounds: at least so many.
        min_seconds: rounds go on until each process has measured this long.
        warmups: unrecorded calls of each process after its first.
        turn_ms: a process makes as many calls in a turn as the slowest contestant does in this
            time, one at least.
        most_rounds: and no more than these.
        threads: threads of an operator; 0 leaves the backend's choice.
        spinning: let idle threads of ONNX Runtime wait in a loop, as they do by default.
        seed: of the order in each round, and of the bootstrap.
    """

    rounds: int = 15
    min_seconds: float = 1.0
    warmups: int = 2
    turn_ms: float = 30.0
    most_rounds: int = 500
    threads: int = 0
    spinning: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not be judged.

        Raises:
            ParityError: too few rounds for an interval, or more than there may be.
        """
        if not LEAST_ROUNDS <= self.rounds <= self.most_rounds:
            raise ParityError(
                f"{self.rounds} rounds: not between {LEAST_ROUNDS} and {self.most_rounds}",
                hint="of fewer rounds nothing can be said of the noise; choose with --repeats",
            )


@dataclass(frozen=True)
class BenchPlan:
    """What the user asked for.

    Attributes:
        models: networks.
        variants: of exported files.
        sizes: heights and widths in pixels.
        providers: where ONNX Runtime is to run.
        backends: ``onnxruntime``, ``torch32``.
        rules: how contestants take turns.
        baseline: the variant or backend that others are compared with.
        memory: measure peak memory too.
        source: the choice of weights, for files that must be exported and for PyTorch.
        images: where the picture comes from.
        folder: where exported files are.
        candidates: files to measure beside the exported ones, by network.
    """

    models: tuple[str, ...]
    source: WeightsSource
    providers: tuple[Provider, ...]
    variants: tuple[str, ...] = ("portable",)
    sizes: tuple[Size, ...] = ((256, 256),)
    backends: tuple[str, ...] = (ONNXRUNTIME,)
    rules: Rules = Rules()
    baseline: str = "portable"
    memory: bool = True
    images: Path = Path("sample_dataset")
    folder: Path = Path("onnx_models")
    candidates: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What one worker process is to run.

    Attributes:
        backend: ``onnxruntime`` or ``torch32``.
        inputs: an ``.npz`` file with the inputs by name.
        threads: threads of an operator; 0 leaves the backend's choice.
        spinning: see `Rules`.
        path: the ONNX file ("" for PyTorch).
        provider: where it runs.
        required: whether the provider was asked for by name.
        model: the network, for PyTorch.
        weights: a checkpoint or a folder of them, for PyTorch; "" without.
        stand_in: a seed, for PyTorch; None without.
    """

    backend: str
    inputs: str
    threads: int = 0
    spinning: bool = False
    path: str = ""
    provider: str = "cpu"
    required: bool = True
    model: str = ""
    weights: str = ""
    stand_in: str | None = None
