"""Inputs that are not one picture: arrays in files, a JSON lines manifest, a seeded generator.

A case is one set of named arrays, in the network's own types: nothing is resized, and no number is
changed but for a wider float that the network takes narrower.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from trufor_onnx.arrays import ARRAYS, ONLY, read_arrays
from trufor_onnx.documents import parse_json, read_bytes
from trufor_onnx.errors import ParityError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.networks.preprocess import read_image, to_input
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing, TensorSpec
from trufor_onnx.export.networks.users import code_of, is_users
from trufor_onnx.files import sha256_bytes
from trufor_onnx.finding import SUFFIXES
from trufor_onnx.parity.inputs.cases import Array, Case, LoadedCase, Pixels

LINES = ".jsonl"
LARGEST_MANIFEST = 64 << 20  # bytes
MOST_LINES = 100_000
HINT = (
    "a folder of .npz or .safetensors files, one a case, its arrays called as the inputs; a .jsonl "
    'manifest of lines {"image": "a.png", "label": [3]}; or feeds.py:generate'
)

Given = Mapping[str, Array]


@dataclass(frozen=True)
class FeedsCase(Case):
    """One set of inputs; it is run as it is.

    Attributes:
        source: where the arrays are: a file, a manifest's line, or the arrays themselves.
        folder: of the files that a manifest's line names.
    """

    source: Any = field(default=None, compare=False, repr=False)
    folder: Path = Path()

    @property
    def label(self) -> str:
        """None; they are neither real nor fake."""
        return ""

    def load(self) -> LoadedCase:
        """The case with its arrays.

        Raises:
            ParityError: a file cannot be read, or holds no arrays.
        """
        if isinstance(self.source, Path):
            given, sha256 = read_arrays(self.source)
        else:
            given = {name: _value(one, name, self.folder) for name, one in self.source.items()}
            sha256 = ""
        packed = _packed(given)
        return LoadedCase(self, packed, (sha256 or sha256_bytes(packed.tobytes()),), given)


def find_feeds(where: str, *, most: int | None = None, seed: int | None = None) -> list[FeedsCase]:
    """The cases of a set of inputs, in order of their names, of the lines, or as they are made.

    Args:
        where: a folder of ``.npz``, ``.npy`` or ``.safetensors`` files, one of these, a ``.jsonl``
            manifest, or ``FILE.py:CALLABLE``, which is called with a seed and gives mappings of
            names to arrays. An array in a ``.npy`` file is the only input's.
        most: only the first so many.
        seed: for what makes them; 0 where None.

    Raises:
        ParityError: there is no such place, or nothing in it.
        ExportError: the code fails.
    """
    if most is not None and most < 1:
        raise ParityError("--max-images must be 1 or more", hint="leave it out for all")
    path = Path(where)
    if is_users(where):
        found = _made(where, seed or 0)
    elif path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in ARRAYS and p.is_file())
        found = (FeedsCase(p.relative_to(path).as_posix(), (), source=p) for p in files)
    elif path.is_file() and path.suffix in ARRAYS:
        found = iter([FeedsCase(path.name, (), source=path)])
    elif path.is_file() and path.suffix == LINES:
        found = _lines(path)
    else:
        raise ParityError(f"{where}: no inputs there", hint=HINT)
    cases = list(islice(found, most))
    if not cases:
        raise ParityError(f"{where}: no inputs there", hint=HINT)
    return cases


def _made(where: str, seed: int) -> Iterator[FeedsCase]:
    make = code_of(where)
    with foreign(f"{where}: calling it with seed {seed}", hint="it gives mappings of arrays"):
        for number, given in enumerate(make(seed)):
            if not isinstance(given, Mapping):
                raise ParityError(f"{where}: gave {type(given).__name__}, no mapping", hint=HINT)
            arrays = {str(name): np.array(array) for name, array in given.items()}
            yield FeedsCase(f"generated:{number}", (), source=arrays)


def _lines(path: Path) -> Iterator[FeedsCase]:
    lines = read_bytes(path, what="manifest", largest=LARGEST_MANIFEST, hint=HINT).splitlines()
    if len(lines) > MOST_LINES:
        raise ParityError(f"{path}: more than {MOST_LINES} lines", hint="split it")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line)
        except ValueError as error:
            raise ParityError(f"{path}, line {number}: {error}", hint=HINT) from error
        if not isinstance(entry, dict) or not entry:
            raise ParityError(f"{path}, line {number}: no object of inputs", hint=HINT)
        yield FeedsCase(f"{path.name}:{number}", (), source=entry, folder=path.parent)


def _value(given: Any, name: str, folder: Path) -> Array:
    """An input's array: as it is, out of numbers, or of a file that a manifest names."""
    if isinstance(given, np.ndarray):
        return given
    if not isinstance(given, str):
        array = np.array(given) if _is_numbers(given) else None
        if array is None or array.dtype.kind not in "fiub":
            raise ParityError(f"{name}: neither numbers nor a file's name", hint=HINT)
        return array
    inside = PurePosixPath(given)
    if inside.is_absolute() or ".." in inside.parts or "\\" in given:
        raise ParityError(f"{name}: {given!r} lies outside the manifest's folder", hint=HINT)
    path = folder / inside
    if path.suffix.lower() in SUFFIXES:
        return read_image(path).rgb
    if path.suffix not in ARRAYS:
        raise ParityError(f"{path}: neither a picture nor an array", hint=HINT)
    arrays, _ = read_arrays(path)
    if len(arrays) > 1 and name not in arrays:
        raise ParityError(f"{path}: holds {', '.join(arrays)}, no {name}", hint=HINT)
    return arrays.get(name, next(iter(arrays.values())))


def _is_numbers(given: Any) -> bool:
    """Whether nested lists are a rectangle of numbers."""
    try:
        np.array(given)
    except ValueError:
        return False
    return True


def _packed(given: Given) -> Pixels:
    """All that decides the inputs, as bytes (1, N, 1, 1): names, types, shapes, values."""
    parts = []
    for name, array in sorted(given.items()):
        parts.append(f"{name} {array.dtype.str} {array.shape};".encode())
        parts.append(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(b"".join(parts), np.uint8).reshape(1, -1, 1, 1)


def given_feeds(spec: ModelSpec, given: Given, preprocessing: Preprocessing) -> dict[str, Array]:
    """A network's inputs out of given arrays, each checked against what the network takes.

    Args:
        spec: the network.
        given: by the inputs' names; ``""``: the only one's. An (H, W, 3) uint8 picture for an input
            (batch, 3, height, width) goes through the preprocessing.
        preprocessing: the contract of pictures.

    Raises:
        ParityError: one is missing, too many, of another type, or of other axes.
    """
    names = [tensor.name for tensor in spec.inputs]
    if set(given) == {ONLY} and len(names) == 1:
        given = {names[0]: given[ONLY]}
    if set(given) != set(names):
        raise ParityError(
            f"{spec.name} takes {', '.join(names)}; given are "
            f"{', '.join(name or 'one without a name' for name in given)}",
            hint="call the arrays as the network's inputs",
        )
    found = {t.name: _fitting(spec, t, given[t.name], preprocessing) for t in spec.inputs}
    sizes: dict[str, int] = {}
    for tensor in spec.inputs:
        for axis, size in zip(tensor.axes, found[tensor.name].shape, strict=True):
            if isinstance(axis, str) and sizes.setdefault(axis, size) != size:
                raise ParityError(
                    f"{spec.name}: {axis} is {size} in {tensor.name}, {sizes[axis]} before it",
                    hint="inputs of one case share their free axes",
                )
    return found


def _fitting(
    spec: ModelSpec, tensor: TensorSpec, array: Array, preprocessing: Preprocessing
) -> Array:
    wanted = np.dtype(tensor.dtype)
    picture = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
    if picture and len(tensor.axes) == 4 and wanted.kind == "f":
        return to_input(array, preprocessing).astype(wanted)
    what = f"{spec.name}: its input {tensor.name}"
    axes = ", ".join(map(str, tensor.axes))
    if array.ndim != len(tensor.axes) or any(
        isinstance(axis, int) and axis != size
        for axis, size in zip(tensor.axes, array.shape, strict=True)
    ):
        raise ParityError(
            f"{what} is ({axes}), given is {array.shape}", hint="give it with the batch's axis"
        )
    made = array.astype(wanted)
    same_kind = array.dtype.kind == wanted.kind or {array.dtype.kind, wanted.kind} <= set("iu")
    if not same_kind or (wanted.kind != "f" and not np.array_equal(made, array)):
        raise ParityError(
            f"{what} is {tensor.dtype}, given is {array.dtype}", hint="give it in its own type"
        )
    return np.ascontiguousarray(made)


def smallest(cases: Iterable[FeedsCase]) -> FeedsCase:
    """The first case that can be read, of the least bytes among the first few.

    Raises:
        ParityError: none can.
    """
    found: list[tuple[int, int, FeedsCase]] = []
    problems: list[str] = []
    for number, case in enumerate(cases):
        try:
            found.append((case.load().pixels.size, number, case))
        except ParityError as error:
            problems.append(error.problem)
        if len(found) == 8:
            break
    if not found:
        raise ParityError(f"no inputs can be read: {'; '.join(problems[:3])}", hint=HINT)
    return min(found)[2]


def example_of(where: str, seed: int | None = None) -> Given:
    """One set of inputs, from which it is found what a user's network takes.

    Raises:
        ParityError: none can be read.
    """
    given = smallest(find_feeds(where, most=8, seed=seed)).load().given
    assert given is not None  # a case of feeds has them
    return given
