"""A finished graph is run against the network it was made of, at shapes it was not traced at.

This is not the parity harness: it only refuses a graph that a traced constant or a lost operator
made wrong, before such a file exists.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from trufor_onnx.errors import ExportError, first_few
from trufor_onnx.export.foreign import foreign, out_of_memory
from trufor_onnx.export.graph.finish import Outside
from trufor_onnx.export.graph.other_ways import Watch, probes
from trufor_onnx.export.graph.rounding import (
    HINT,
    WORST_RELATIVE,
    OtherWays,
    fix_hint,
    judge,
    suspicious,
)
from trufor_onnx.export.graph.trace import (
    example_inputs,
    input_shapes,
    network_outputs,
    trace_sizes,
)
from trufor_onnx.export.networks.spec import PIXEL_AXES, ModelSpec
from trufor_onnx.sessions import open_session

if TYPE_CHECKING:
    import onnxruntime
    import torch

# What a comparison at a size that was not asked for may cost; all of looking for them likewise.
MOST_SECONDS, MOST_ELEMENTS = 20.0, 1 << 23
LARGER = {"height": 520, "width": 392, "batch": 3}
SHOWN = 3  # places that a sentence names
LEAST_TRIED = (32, 48, 64, 96, 128, 192, 256, 384, 512)  # pixels, to find what a network takes
STEPS_TRIED = (2, 4, 8, 16, 32, 64)

Array = npt.NDArray[Any]


def self_check(
    data: bytes,
    spec: ModelSpec,
    module: torch.nn.Module,
    *,
    worst: float = WORST_RELATIVE,
    decisions: Sequence[str] = (),
    outside: Outside | None = None,
) -> tuple[str, ...]:
    """Compare ONNX Runtime with torch, at sizes of every free axis that were not traced.

    Args:
        data: the ONNX file's bytes.
        spec: the network.
        module: the network with the weights that the file should hold.
        worst: the worst difference allowed, as a share of an output's range.
        decisions: places where the network decided by a size or a value in Python: sizes at which
            it takes another way are looked for, and compared too.
        outside: the file beside it with its weights, or None.

    Returns:
        What could not be checked, and what ONNX Runtime rounds coarsely, a sentence each.

    Raises:
        ExportError: ONNX Runtime cannot run the graph; the network does not run at a size; or an
            output has another shape, is not finite, or is far from the network's.
    """
    with _on_disk(data, spec, outside) as file:
        names = [tensor.name for tensor in spec.outputs]
        others = OtherWays(
            spec,
            file,
            lambda feeds: _session(file, spec, plain=True).run(names, dict(feeds)),
            applies=worst <= WORST_RELATIVE,
        )
        check = _Check(_session(file, spec), spec, module, worst, others)
        done = [sizes for sizes, must in _runs(spec) if check.at(sizes, must=must)]
        ways = _other_ways(check, done, decisions) if decisions and spec.free_axes() else ()
    return (*check.empty(), *(note for _, note in others.notes.values()), *ways)


@contextmanager
def _on_disk(data: bytes, spec: ModelSpec, outside: Outside | None) -> Iterator[bytes | str]:
    """What a session is made of: the bytes, or a path where weights are in a file beside them."""
    if outside is None:
        yield data
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / outside.name.removesuffix(".data")
        try:
            path.write_bytes(data)
            with path.with_name(outside.name).open("wb") as stream:
                outside.write(stream)
        except OSError as error:
            raise ExportError(
                f"{spec.name}: no room to check the file ({error.strerror or error})",
                hint=f"{outside.size} bytes are wanted in {folder}: set TMPDIR to a larger disk",
            ) from error
        yield str(path)


def _session(
    file: bytes | str, spec: ModelSpec, *, plain: bool = False
) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; the log would say it twice
    options.intra_op_num_threads = 1
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Packing weights for speed would only cost memory here.
    options.add_session_config_entry("session.disable_prepacking", "1")
    loading = f"{spec.name}: ONNX Runtime cannot load the graph: it"
    hint = f"try another --opset; {HINT}"
    if any(tensor.dtype == "float64" for tensor in spec.inputs):
        hint = "ONNX Runtime computes few operators in float64: build the network with .float()"
    with foreign(loading, hint=hint):
        session: onnxruntime.InferenceSession = open_session(file, options)
        return session


@dataclass
class _Check:
    """One graph against its network, at one set of sizes after another.

    Attributes:
        session: the graph in ONNX Runtime.
        spec: the network.
        module: the network with its weights.
        worst: the worst difference allowed, as a share of an output's range.
        others: the graph in other ways.
        largest: elements of the largest inputs so far, and the seconds that they took.
        compared: outputs that had elements to compare.
    """

    session: onnxruntime.InferenceSession
    spec: ModelSpec
    module: torch.nn.Module
    worst: float
    others: OtherWays
    largest: tuple[int, float] = (0, 0.0)
    compared: set[str] = field(default_factory=set)

    def at(self, sizes: Mapping[str, int], *, must: bool = True, why: str = "") -> bool:
        """Compare at the sizes of free axes; False where the network itself does not run there.

        Args:
            sizes: the size of each free axis.
            must: the network has to run there.
            why: what is special there, for the error.
        """
        spec, where = self.spec, f"{self.spec.name} at {_described(self.spec, sizes)}{why}"
        started = time.perf_counter_ns()
        inputs = example_inputs(spec, sizes)
        feeds = {t.name: x.numpy() for t, x in zip(spec.inputs, inputs, strict=True)}
        try:
            expected = _run(spec, self.module, inputs)
        except ExportError as error:
            if not must:
                return False
            hint = error.hint if out_of_memory(error) else _size_hint(spec, self.module)
            raise ExportError(
                f"{where}: the network itself does not run, so that the graph cannot be checked "
                f"there ({error.problem})",
                hint=hint,
            ) from error
        running = (
            f"{where}: the graph does not run, a size of the traced example is fixed in it: it"
        )
        with foreign(running, hint=fix_hint(spec)):
            found = self.session.run([tensor.name for tensor in spec.outputs], feeds)
        named = zip(spec.outputs, expected, strict=True)
        self.compared |= {tensor.name for tensor, array in named if array.size}
        seconds = (time.perf_counter_ns() - started) / 1e9
        self.largest = max(self.largest, (self.elements(sizes), seconds))
        if suspicious(spec, where, expected, found, self.worst):
            with _in_float64(self.module):
                wide = tuple(x.double() if x.is_floating_point() else x for x in inputs)
                exact = _run(spec, self.module, wide)
            judge(where, exact, expected, found, self.worst, feeds, self.others)
        return True

    def empty(self) -> list[str]:
        """Outputs of which nothing was compared, a sentence each."""
        return [
            f"{self.spec.name}: its output {tensor.name} was empty at every size that was "
            "checked, so that none of its values was compared"
            for tensor in self.spec.outputs
            if tensor.name not in self.compared
        ]

    def elements(self, sizes: Mapping[str, int]) -> int:
        """How many numbers the inputs have."""
        return sum(math.prod(shape) for shape in input_shapes(self.spec, sizes))

    def affords(self, sizes: Mapping[str, int]) -> bool:
        """Whether a comparison there costs little enough, going by those that were made."""
        elements, (most, seconds) = self.elements(sizes), self.largest
        return elements <= MOST_ELEMENTS and elements * seconds <= MOST_SECONDS * most


def _runs(spec: ModelSpec) -> list[tuple[dict[str, int], bool]]:
    """The sizes of each run, and whether the network must run there.

    Twice all free axes have other sizes than the traced ones; then one at a time, the others as
    traced. Sizes that nobody declared may be none that the network takes: alone, they may fail.
    """
    least = max(spec.least_size, 24)
    traced = trace_sizes(spec)
    free = spec.free_axes()
    other: dict[str, tuple[int, ...]] = {
        axis: (traced[axis] - 3, 2 * traced[axis] + 1, 1) for axis in free
    }
    other |= {"batch": (1, 3), "height": (least + 45, least), "width": (least + 1, least)}
    other |= {axis: tuple(given[1:]) for axis, given in spec.sizes.items()}
    together = [{axis: other[axis][turn % len(other[axis])] for axis in free} for turn in (0, 1)]
    alone = {**other, **{axis: (traced[axis] + 13,) for axis in PIXEL_AXES}}
    alone |= {} if "batch" in spec.sizes else {"batch": (1,)}
    base = {axis: traced[axis] for axis in free}
    singly = [({**base, axis: size}, axis in spec.sizes) for axis in free for size in alone[axis]]
    runs: list[tuple[dict[str, int], bool]] = []
    for sizes, must in [*((sizes, True) for sizes in together), *singly]:
        if all(sizes != before for before, _ in runs):
            runs.append((sizes, must))
    return runs


def _other_ways(
    check: _Check, done: Sequence[dict[str, int]], decisions: Sequence[str]
) -> tuple[str, ...]:
    """Compare where the network takes another way; what cannot be is said, with the line."""
    started, spec = time.process_time(), check.spec
    traced = {axis: trace_sizes(spec)[axis] for axis in spec.free_axes()}
    watch = Watch.of(spec, check.module)
    ways = [watch.way(sizes) if watch else None for sizes in (traced, *done)]
    known = {way for way in ways if way is not None}
    if watch is None or ways[0] is None:
        return (_not_followed(check, traced, decisions),)
    notes = []
    for probe in probes(spec):
        if time.process_time() - started > MOST_SECONDS:
            notes.append(
                f"{spec.name} decides by sizes in Python ({first_few(decisions, SHOWN)}); "
                f"whether it takes another way from {_described(spec, probe)} on was not looked "
                "at: it takes long"
            )
            break
        way = watch.way(probe)
        if way is None or way in known:
            continue
        sizes, place = watch.smallest(probe, known), watch.where(way, known)
        if check.affords(sizes):
            why = f", where the network takes another way in Python ({place})"
            check.at(sizes, must=False, why=why)
        else:
            notes.append(
                f"{spec.name} takes another way in Python from {_described(spec, sizes)} on "
                f"({place}); a graph holds one way only, and it was not compared there: it "
                "would take long"
            )
        known |= {way, *(found for found in [watch.way(sizes)] if found is not None)}
    return tuple(notes)


def _not_followed(check: _Check, traced: Mapping[str, int], decisions: Sequence[str]) -> str:
    """A network that decides by values, say: it is compared at one larger size where that is cheap.

    Returns what remains to be said.
    """
    larger = {
        axis: check.spec.sizes[axis][-1] if axis in check.spec.sizes else LARGER.get(axis, size)
        for axis, size in traced.items()
    }
    checked = ""
    if check.affords(larger) and check.at(larger, must=False):
        checked = f", compared up to {_described(check.spec, larger)}"
    return (
        f"{check.spec.name} decides in Python ({first_few(decisions, SHOWN)}): "
        f"the graph holds the way that the traced example took at "
        f"{_described(check.spec, traced)}{checked}; pictures for which it "
        "would decide otherwise are answered wrongly"
    )


def _described(spec: ModelSpec, sizes: Mapping[str, int]) -> str:
    """``batch 1, size 69 x 25, seq 7``, as far as there are such axes."""
    free = {**sizes}
    height, width = spec.fixed_size or (free.pop("height", 0), free.pop("width", 0))
    batch = free.pop("batch", 0)
    parts = [f"batch {batch}"] if batch else []
    parts += [f"size {height} x {width}"] if height or width else []
    return ", ".join([*parts, *(f"{axis} {size}" for axis, size in free.items())]) or "its size"


@contextmanager
def _in_float64(module: torch.nn.Module) -> Iterator[None]:
    """Let a network compute in float64 inside the block; its own tensors come back."""
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    own = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.double()
        yield
    finally:
        for tensor, data in zip(tensors, own, strict=True):
            tensor.data = data


def _run(spec: ModelSpec, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[Array]:
    return [tensor.numpy() for tensor in network_outputs(spec, module, inputs)]


def _size_hint(spec: ModelSpec, module: torch.nn.Module) -> str:
    """Which sizes a network takes that does not run at all that its spec allows: tried out."""
    if spec.fixed_size:
        return "its spec's fixed_size is none that it takes"
    if not {"height", "width"} <= set(spec.free_axes()):
        return "say in its spec which sizes its free axes take (docs/adding-a-network.md)"

    def runs(sizes: Mapping[str, int]) -> bool:
        try:
            _run(spec, module, example_inputs(spec, sizes))
        except ExportError:
            return False
        return True

    def takes(least: int) -> bool:
        tried = replace(spec, least_size=least)
        return all(runs(sizes) for sizes, must in _runs(tried) if must)

    enough = next((least for least in LEAST_TRIED if takes(least)), 0)
    if enough:
        below = max((least for least in LEAST_TRIED if least < enough), default=spec.least_size)
        while enough - below > 1:
            middle = (below + enough) // 2
            below, enough = (below, middle) if takes(middle) else (middle, enough)
        return f"the least size at which it runs is {enough}: say least_size={enough} in its spec"
    for step in STEPS_TRIED:
        several = range(64 // step + 1, 64 // step + 5)
        sides = ({"height": step * n, "width": step * (n + 1)} for n in several)
        if all(runs({**trace_sizes(spec), "batch": 1, **side}) for side in sides):
            return (
                f"it runs where sides are multiples of {step} only: let its forward pad them, or "
                "say fixed_size=(HEIGHT, WIDTH) in its spec"
            )
    height, width = spec.trace_size
    return f"if it runs at one size only, say fixed_size=({height}, {width}) in its spec"
