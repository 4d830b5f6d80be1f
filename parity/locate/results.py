"""What is found: parts of the network, what each adds to the error, and the verdict."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = 2
# A sound part is within this many times PyTorch float32's own error on the same inputs
# (docs/decisions/locate.md says what was measured).
FACTOR = 8.0
INPUT, OUTPUT = "input", "output"
Array = npt.NDArray[Any]
MOST_IN_MEMORY = 1 << 30  # bytes


@dataclass(frozen=True)
class LocatedPart:
    """What lies between reference values that go in and one that should come out.

    Attributes:
        order: its place in network order.
        modules: the modules of the reference that it covers, in network order.
        operators: what the reference computes there (ATen names).
        nodes: what the candidate computes there (ONNX operators); empty where it has nothing.
        value: the candidate's tensor at its end.
        anchor: how its end was tied to the reference: ``weights``, ``values``, ``next weights``
            (the input of the next node with weights), ``output``.
        shape: of the reference's value at its end.
        created: relative L2 error of the part, fed the reference's values.
        created_max: its largest error.
        torch32: what PyTorch float32 makes on the same inputs, relative L2.
        torch32_max: its largest error.
        ratio: the larger of both quotients; the yardstick is at least one rounding of the output.
        full_run: relative L2 error of the candidate's tensor in the whole run.
        share: of the sum of squares of all parts' ``created``.
        place: ``input`` before the first layer, ``output`` after the last one, else "".
        cause: what was done there, in words, where numbers say it; else "".
        differs: numbers of the file that are not the network's: weights, an epsilon.
        exact: the ratio with the file's operators computed in float64, None where that was not
            needed or not possible. Within `FACTOR`, the file is right and the kernel rounds.
        creates: whether it creates error: ``ratio`` (and ``exact``) above `FACTOR`, or ``differs``.
    """

    order: int
    modules: tuple[str, ...]
    operators: tuple[str, ...]
    nodes: tuple[str, ...]
    value: str
    anchor: str
    shape: tuple[int, ...]
    created: float
    created_max: float
    torch32: float
    torch32_max: float
    ratio: float
    full_run: float
    share: float = 0.0
    place: str = ""
    cause: str = ""
    differs: tuple[str, ...] = ()
    exact: float | None = None

    @property
    def creates(self) -> bool:
        """NaN is above every limit."""
        return bool(self.differs) or not (self.ratio <= FACTOR or self.kernel)

    @property
    def kernel(self) -> bool:
        """Whether the file is right and ONNX Runtime's own kernel rounds badly."""
        return not self.ratio <= FACTOR and self.exact is not None and self.exact <= FACTOR

    @property
    def name(self) -> str:
        """The modules as one name; "the input", "the output mask" where it is none of theirs."""
        if self.place == INPUT:
            return "the input"
        if self.place == OUTPUT:
            return f"the output {self.value}"
        return " + ".join(self.modules) or "the network itself"

    def sentence(self) -> str:
        """What was found, in words, where it creates error."""
        where = {OUTPUT: ", after the last layer,"}.get(self.place, "")
        if self.ratio <= FACTOR or self.kernel:
            return f"{self.name}{where} differs: {'; '.join(self.differs)}"
        shown = f"{self.created:.1e}" if math.isfinite(self.created) else "without limit"
        does = ", ".join(self.operators) or "the network computes nothing there"
        has = ", ".join(self.nodes) or "nothing"
        text = f"{self.name}{where} creates the error: {shown} ({does}; in the file {has})"
        if self.cause:
            text += f": {self.cause}"
        return text + "".join(f"; {difference}" for difference in self.differs)


@dataclass(frozen=True)
class Located:
    """The answer.

    Attributes:
        model: the network.
        file: the candidate: name, size, digest.
        proof: what is known of its weights as a whole, as `parity run` says it.
        weights: what the reference's weights are called.
        image: what it was run on.
        shapes: of the inputs, by name.
        origins: how many initializers were tied to the reference's weights, in which way.
        parts: in network order.
        outputs: relative L2 error of each output in the whole run of the file as it is.
        quantised: whether the file computes with 8-bit numbers; its parts are then judged by those.
        notes: what could not be looked at, or is otherwise than the network has it, in words.
        environment: versions and machine.
    """

    model: str
    file: dict[str, Any]
    proof: str
    weights: str
    image: str
    shapes: dict[str, tuple[int, ...]]
    origins: dict[str, int]
    parts: tuple[LocatedPart, ...]
    outputs: dict[str, float]
    quantised: bool
    notes: tuple[str, ...]
    environment: dict[str, Any]

    @property
    def faults(self) -> list[LocatedPart]:
        """Parts that create error, in network order."""
        return [part for part in self.parts if part.creates]

    def sentence(self) -> str:
        """The answer in words."""
        return " ".join((self._found(), *(f"Note: {note}." for note in self.notes)))

    def _found(self) -> str:
        faults = self.faults
        step = max(self.parts, key=lambda part: part.created)
        largest = f"the largest step {100 * step.created:.2g} % ({step.name})"
        if faults:
            first = faults[0]
            more = f" {len(faults) - 1} more parts do." if len(faults) > 1 else ""
            more += f" The file computes with 8-bit numbers: {largest}." if self.quantised else ""
            if not first.ratio > FACTOR and not math.isnan(first.ratio):
                return f"{first.sentence()}.{more}"
            share = f"{first.ratio:.0f}x PyTorch float32's own, {100 * first.share:.1f} % of all"
            return f"{first.sentence()}, {share} that is created.{more}"
        worst = max(self.parts, key=lambda part: part.ratio)
        count = len(self.parts)
        if self.quantised:
            return f"No part creates more error than 8-bit numbers do: {count} parts, {largest}."
        kernel = [part for part in self.parts if part.kernel]
        if kernel:
            first = max(kernel, key=lambda part: part.ratio)
            return (
                f"No part of the file creates error: {count} parts. ONNX Runtime's own kernel "
                f"rounds badly in {len(kernel)}, most in {first.name} ({', '.join(first.nodes)}): "
                f"{first.ratio:.1f}x PyTorch float32's own, and right if computed in float64."
            )
        return (
            f"No part creates error beyond float32 rounding: {count} parts, the "
            f"largest {worst.ratio:.1f}x PyTorch float32's own ({worst.name})."
        )


def shares(created: Sequence[float]) -> list[float]:
    """Each part's square over the sum of squares; infinite ones share all."""
    squares = [value * value if math.isfinite(value) else math.inf for value in created]
    infinite = squares.count(math.inf)
    if infinite:
        return [1.0 / infinite if square == math.inf else 0.0 for square in squares]
    total = math.fsum(squares)
    return [square / total if total else 0.0 for square in squares]


class Store:
    """Arrays by number. A context manager: the temporary folder goes when it ends.

    Args:
        most: bytes that are kept in memory; what is put in later goes to disk.
    """

    def __init__(self, most: int = MOST_IN_MEMORY) -> None:
        self._most = most
        self._held = 0
        self._arrays: dict[int, Array] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def put(self, key: int, array: Array) -> None:
        """Keep an array."""
        if self._held + array.nbytes <= self._most:
            self._arrays[key] = array
            self._held += array.nbytes
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="parity-locate-")
        np.save(self._file(key), array)

    def get(self, key: int) -> Array:
        """The array that was kept under a number."""
        found = self._arrays.get(key)
        if found is None:
            found = np.load(self._file(key))
        return found

    @property
    def folder(self) -> Path | None:
        """The temporary folder, where one was needed."""
        return None if self._folder is None else Path(self._folder.name)

    def _file(self, key: int) -> Path:
        if self._folder is None:
            raise KeyError(key)
        return Path(self._folder.name, f"{key}.npy")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._arrays.clear()
        if self._folder is not None:
            self._folder.cleanup()
