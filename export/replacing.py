"""What is done with a file that is there already, or should be: kept, made, or never replaced.

A lock is the record of a file that somebody proved. Where it says other weights than those at
hand, or the file's content is only elsewhere (pieces, git-lfs, DVC), a file made from what happens
to be here would take its place and its name: that is done on ``--replace`` only.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trufor_onnx.chunking import framing as onnx_records
from trufor_onnx.chunking.causes import pointer
from trufor_onnx.chunking.folders import OpenFile, default_folder, opened
from trufor_onnx.chunking.framing import BYTES, Field, Walker
from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ChunkingError, ExportError, LockError, UserError, command
from trufor_onnx.export import lock
from trufor_onnx.export.networks.spec import TRACER, ModelSpec
from trufor_onnx.export.variants import DEFAULT_VARIANT
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import Weights

DEFAULT_OUT = Path("onnx_models")
DVC = ".dvc"
MODEL_METADATA, KEY, VALUE = 14, 1, 2  # fields of onnx.proto: ModelProto, StringStringEntryProto
DIGITS = 8  # of a digest, in messages

Error = TypeVar("Error", bound=UserError)


@dataclass(frozen=True)
class Standing:
    """What is at a file's place before it is written.

    Attributes:
        path: the ONNX file.
        there: whether its content is there; a pointer to it is not.
        locked: its lock, or None where there is none that can be read.
        unreadable: why the lock that is there cannot be read, or "".
    """

    path: Path
    there: bool
    locked: dict[str, Any] | None
    unreadable: str


@dataclass(frozen=True)
class Commands:
    """What a user types to get this or that file of a network.

    Attributes:
        spec: the network.
        source: the user's choice of weights.
        out: the folder.
        variant: the variant.
    """

    spec: ModelSpec
    source: WeightsSource
    out: Path
    variant: str

    @property
    def replace(self) -> str:
        """Replaces what is there by what the user's choice of weights gives."""
        file, seed = self.source.choice_for(self.spec)
        weights = ["--weights", str(file)] if file is not None else []
        return self._export(*weights, *(["--stand-in", seed] if seed else []), "--replace")

    def restore(self, origin: dict[str, Any]) -> str:
        """Makes the file of the weights that a lock names."""
        file, seed = str(origin.get("file", "")), str(origin["seed"])
        weights = ["--weights", file or "FILE"] if origin["kind"] != "stand-in" else []
        return self._export(*weights, *(["--stand-in", seed] if seed else []))

    def _export(self, *options: str) -> str:
        variant = ["--variant", self.variant] if self.variant != DEFAULT_VARIANT else []
        out = ["--out", str(self.out)] if self.out != DEFAULT_OUT else []
        exporter = ["--exporter", self.spec.exporter] if self.spec.exporter != TRACER else []
        words = [self.spec.name, *options, *variant, *exporter, *out]
        return shlex.join(["python", "-m", "export", *words])


def standing(path: Path) -> Standing:
    """Look at the place of an ONNX file."""
    try:
        locked, unreadable = lock.read_lock(path), ""
    except LockError as error:
        locked, unreadable = None, error.problem
    return Standing(path, has_content(path), locked, unreadable)


def has_content(path: Path) -> bool:
    """Whether an ONNX file is there itself, not only a pointer to where it is kept."""
    return path.is_file() and not _pointer(path)


def require_here(path: Path, error: Callable[..., Error]) -> None:
    """Refuse a file whose content is kept elsewhere, and say how to get it.

    A file that nobody has is another matter: nothing is raised for it.

    Args:
        path: the ONNX file.
        error: the kind of error to raise.
    """
    if has_content(path):
        return
    pieces = default_folder(path)
    folder = path.absolute().parent
    pointers = [path.with_name(path.name + DVC)]
    pointers += [folder.with_name(folder.name + DVC)] if folder.name else []
    found = _pointer(path) if path.is_file() else None
    if found is None and pieces.exists():
        found = (
            f"not there, and its pieces are ({pieces})",
            f"merge them: {command('merge', pieces)}",
        )
    for kept in pointers:
        if found is None and path.parent.name and kept.is_file():
            found = f"not there, and DVC keeps it ({kept})", f"dvc pull {kept}"
    if found is None and path.is_symlink():
        found = "a link to a file that is not there", "git annex get, or dvc checkout, brings it"
    if found is not None:
        problem, hint = found
        raise error(f"{path} is {problem}", hint=hint)


def require_to_be_made(found: Standing, *, commands: Commands) -> None:
    """Refuse to make a file whose content is elsewhere, or whose lock cannot be read.

    Args:
        found: what is at its place.
        commands: for the error's hint.

    Raises:
        ExportError: says how to get the file.
    """
    if found.there:
        return
    require_here(
        found.path,
        lambda problem, hint: ExportError(
            f"{problem}; none is made in its place",
            hint=f"{hint}; or replace it: {commands.replace}",
        ),
    )
    if found.unreadable:
        raise ExportError(
            f"{found.path} is not there, and its lock cannot be read ({found.unreadable})",
            hint=f"restore both, or replace them: {commands.replace}",
        )


def keeps(
    found: Standing, spec: ModelSpec, weights: Weights, opset: int, variant: str
) -> dict[str, Any] | None:
    """The lock of a file that is whole and was made of this network, weights and opset, or None.

    The toolchain is not asked for: a release's file is as good when another torch is installed.
    """
    locked = found.locked
    if not found.there or locked is None:
        return None
    wanted = {
        "model": spec.name,
        "network_version": spec.version,
        "opset": opset,
        "variant": variant,
    }
    whole = lock.describes(locked, found.path)
    kept = whole and all(locked[key] == value for key, value in wanted.items())
    kept = kept and locked.get("exporter", TRACER) == spec.exporter
    return locked if kept and _same(locked["weights"], weights) else None


def require_replaceable(
    found: Standing, weights: Weights, *, commands: Commands, named: bool = True
) -> None:
    """Refuse to replace a file or a lock of other weights, or a file of which nobody knows.

    Args:
        found: what is at the file's place.
        weights: what it would be replaced with.
        commands: for the error's hint.
        named: the stand-in weights were asked for by name; else they are what was left.

    Raises:
        ExportError: says what is there, and the command.
    """
    for what, origin in _origins(found):
        if origin is not None and _same(origin, weights):
            continue
        again = f"to replace it all the same: {commands.replace}"
        elsewhere = "or another folder with --out"
        if origin is None:
            raise ExportError(
                f"{what} does not say what weights it is of; it is not replaced unasked",
                hint=f"{again}; {elsewhere}",
            )
        label, digest = str(origin["label"]), str(origin["digest"])
        kept = commands.restore(origin)
        if not named and weights.kind == "stand-in" and origin["kind"] != "stand-in":
            raise ExportError(
                f"{what} was made from {label}, and no checkpoint is found now; "
                "it is not replaced by stand-in weights",
                hint=f"name the checkpoint where it is: {kept}; {again}; {elsewhere}",
            )
        ours = weights.label
        if label == ours:  # two files of one name, say
            label, ours = f"{label} ({digest[:DIGITS]})", f"others ({weights.digest[:DIGITS]})"
        raise ExportError(
            f"{what} was made from {label}, the weights at hand are {ours}; "
            "it is not replaced unasked",
            hint=f"{again}; to make the one that it says: {kept}; {elsewhere}",
        )


def require_free(found: Standing, data: Path, *, commands: Commands) -> None:
    """Refuse to replace a file of weights that no ONNX file and no lock beside it speaks for.

    Raises:
        ExportError: there is one.
    """
    if data.exists() and not found.there and found.locked is None:
        raise ExportError(
            f"{data} is there without its ONNX file; it is not replaced unasked",
            hint=f"bring {found.path.name} too, or replace both: {commands.replace}",
        )


def require_as_locked(found: Standing, document: dict[str, Any], *, commands: Commands) -> None:
    """A file that is made for a lock that is there is the locked one, byte for byte.

    Args:
        found: what was at the file's place.
        document: the lock of the file that was made.
        commands: for the error's hint.

    Raises:
        ExportError: the file is another one.
    """
    locked = found.locked
    if found.there or locked is None or document == locked:
        return
    keys = (k for k in ("network_version", "opset") if document[k] != locked[k])
    reasons = [f"{key} {document[key]}, locked {locked[key]}" for key in keys]
    reasons += [
        f"{package} {document['toolchain'].get(package)}, locked {locked['toolchain'].get(package)}"
        for package in sorted(document["toolchain"] | locked["toolchain"])
        if document["toolchain"].get(package) != locked["toolchain"].get(package)
    ]
    raise ExportError(
        f"{found.path} is not there, and what these weights give now is not what its lock "
        f"describes ({'; '.join(reasons) or 'other bytes from the same toolchain'}); it is not "
        "written",
        hint="bring the locked file, or the locked versions (constraints.txt); or replace the "
        f"lock: {commands.replace}",
    )


def _origins(found: Standing) -> list[tuple[str, dict[str, Any] | None]]:
    """What lock and file each say of their weights; None where the file says nothing.

    A file that its lock describes says the same; one that is damaged beyond reading says nothing
    and is mended from its lock.
    """
    locked, path = found.locked, found.path
    given: list[tuple[str, dict[str, Any] | None]] = []
    if locked is not None:
        what = path if found.there else f"{lock.lock_path(path)} is there without its file, which"
        given.append((str(what), locked["weights"]))
    if not found.there or (locked and lock.describes(locked, path)):
        return given
    try:
        given.append((str(path), _embedded(path)))
    except (ChunkingError, OSError):  # no whole ONNX file
        if locked is None and path.stat().st_size:
            given.append((str(path), None))
    return given


def _embedded(path: Path) -> dict[str, Any] | None:
    """What an ONNX file's metadata says of its weights, or None.

    Raises:
        ChunkingError: it is no whole ONNX file.
    """
    with opened(path, follow_link=True) as file:
        for _ in onnx_records.records(file):
            pass
        walker = Walker(file)
        texts = [
            _text(file, entry)
            for field in walker.fields(0, file.size)
            if field.number == MODEL_METADATA and field.wire == BYTES
            for entry in [{part.number: part for part in walker.fields(field.body, field.end)}]
            if KEY in entry and _text(file, entry, KEY) == lock.METADATA_KEY.encode()
        ]
    try:
        weights = parse_json(texts[0])["weights"] if texts else None
    except (ValueError, KeyError, TypeError):
        return None
    keys = ("label", "kind", "digest", "seed")
    if not isinstance(weights, dict) or not all(isinstance(weights.get(k), str) for k in keys):
        return None
    return weights if all(weights[key].isprintable() for key in keys) else None


def _text(file: OpenFile, entry: dict[int, Field], number: int = VALUE) -> bytes:
    field = entry.get(number)
    if field is None or field.wire != BYTES:
        return b""
    return file.read_at(field.body, min(field.end - field.body, lock.LARGEST_LOCK))


def _same(origin: dict[str, Any], weights: Weights) -> bool:
    return bool(origin["digest"] == weights.digest and origin["label"] == weights.label)


def _pointer(path: Path) -> tuple[str, str] | None:
    """What a file is that only says where its content is kept, with the mend; else None."""
    try:
        with opened(path, follow_link=True) as file:
            cause = pointer(file.descriptor, file.size)
    except (ChunkingError, OSError):
        return None
    mend = cause.hint.removeprefix("run: ")
    return (f"{cause.text}, not the file itself", mend) if cause.text else None
