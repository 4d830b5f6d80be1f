"""Rebuild an exported file and compare it with its lock: are these the bytes that were locked?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.external_data import same_files
from trufor_onnx.chunking.folders import LOCK_SUFFIX
from trufor_onnx.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK
from trufor_onnx.errors import ExportError, first_few
from trufor_onnx.export.build import build_file
from trufor_onnx.export.lock import file_entry, lock_path, read_lock
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.spec import TRACER, ModelSpec
from trufor_onnx.export.variants import VARIANTS, file_stem, find_variant
from trufor_onnx.export.weights.sources import WeightsSource

SHOWN = 6  # differing initializers that a finding names


@dataclass(frozen=True)
class Checked:
    """What a rebuild said of one lock.

    Attributes:
        outcome: one of the exit codes: 0 the same, 1 different, 2 could not compare.
        sentence: the outcome in words, with the lock's name.
    """

    outcome: int
    sentence: str


def locked_files(folder: Path, models: Sequence[str]) -> list[Path]:
    """The ONNX files (there or not) whose locks are to be checked.

    Args:
        folder: where the locks are.
        models: whose locks, of every variant; all in the folder where this is empty.

    Raises:
        ExportError: there are no locks, or a model's is missing.
    """
    if models:
        found = [path for name in models for path in _of_model(folder, find(name))]
    else:
        locks = sorted(folder.glob(f"*{LOCK_SUFFIX}"))
        found = [p.with_name(p.name.removesuffix(LOCK_SUFFIX) + ".onnx") for p in locks]
    missing = [lock_path(path).name for path in found if not lock_path(path).is_file()]
    if missing or not found:
        raise ExportError(
            f"no lock file in {folder}: {', '.join(missing) or '*.lock.json'}",
            hint="make one with `python -m export MODEL`",
        )
    return found


def _of_model(folder: Path, spec: ModelSpec) -> list[Path]:
    """The files of a model's variants that have locks; the portable one where none has."""
    stems = [file_stem(spec, variant) for variant in VARIANTS]
    locked = [p for p in (folder / f"{s}.onnx" for s in stems) if lock_path(p).is_file()]
    return locked or [folder / f"{file_stem(spec)}.onnx"]


def check_file(
    path: Path,
    source: WeightsSource,
    *,
    stage: Callable[[str], None] = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Checked:
    """Rebuild an ONNX file by its lock, in memory, and compare; nothing is written.

    Args:
        path: the ONNX file; only its lock need be there.
        source: weights for locks of a checkpoint; stand-in locks rebuild from their own seed.
        stage: told what is being done.

    Raises:
        ExportError: the lock cannot be read, or the network cannot be built.
    """
    locked = read_lock(path)
    if locked is None:
        raise ExportError(
            f"no lock file in {path.parent}: {lock_path(path).name}",
            hint="make one with `python -m export MODEL`",
        )
    name = lock_path(path).name
    spec = replace(find(locked["model"]), exporter=locked.get("exporter", TRACER))
    variant = find_variant(locked["variant"], spec)
    if file_stem(spec, variant.name) != path.stem:
        what = f"is the lock of {file_stem(spec, variant.name)}, under another name"
        return Checked(EXIT_FAILED, f"{name}: {what}")
    if spec.version != locked["network_version"]:
        return Checked(
            EXIT_COULD_NOT,
            f"{name}: locked at network version {locked['network_version']}, this is version "
            f"{spec.version}; export it again",
        )
    weights = locked["weights"]
    if weights["kind"] == "stand-in":
        source = WeightsSource(stand_in=weights["seed"])
    rebuilt = build_file(
        spec, source, variant=variant.name, opset=locked["opset"], stage=stage
    ).document
    outcome, sentence = _compare(locked, rebuilt)
    there = outcome == EXIT_OK and path.is_file()
    if there and not same_files(file_entry(path), locked["file"]):
        outcome, sentence = EXIT_FAILED, f"{path.name} beside it is not the file that it locks"
    return Checked(outcome, f"{name}: {sentence}")


def exit_code(findings: Iterable[Checked]) -> int:
    """1 where any differs, else 2 where any could not be compared, else 0."""
    outcomes = {finding.outcome for finding in findings}
    if EXIT_FAILED in outcomes:
        return EXIT_FAILED
    return EXIT_OK if outcomes == {EXIT_OK} else EXIT_COULD_NOT


def _compare(locked: dict[str, Any], rebuilt: dict[str, Any]) -> tuple[int, str]:
    """Outcome and sentence for a lock and the document of its rebuild."""
    if rebuilt == locked:
        return EXIT_OK, f"the same bytes, {rebuilt['file']['sha256'][:16]}"
    names = _differing(locked["initializers"], rebuilt["initializers"])
    stand_in = locked["weights"]["kind"] == "stand-in"
    if rebuilt["weights"]["digest"] != locked["weights"]["digest"] and not stand_in:
        before, now = _weights(locked), _weights(rebuilt)
        return EXIT_COULD_NOT, (
            f"locked with {before}, rebuilt with {now}: other weights in "
            f"{first_few(names, SHOWN)}; name the checkpoint with --weights, and the seed with "
            "--stand-in where it has one"
        )
    if rebuilt["toolchain"] != locked["toolchain"]:
        other = _other_versions(locked["toolchain"], rebuilt["toolchain"])
        mend = "install the locked versions with `pip install -c constraints.txt -e '.[dev]'`"
        return EXIT_COULD_NOT, f"another toolchain writes other bytes: {other}; {mend}"
    if names:
        what = f"initializers {first_few(names, SHOWN)}"
    elif rebuilt["file"]["sha256"] != locked["file"]["sha256"]:
        what = "the graph; no initializer differs"
    else:
        keys = sorted(k for k in rebuilt.keys() | locked.keys() if rebuilt.get(k) != locked.get(k))
        return EXIT_FAILED, f"DIFFERENT lock, though the file is the same: {', '.join(keys)}"
    return EXIT_FAILED, f"DIFFERENT bytes from the same toolchain: {what}"


def _other_versions(locked: dict[str, str], rebuilt: dict[str, str]) -> str:
    return ", ".join(
        f"{package} {rebuilt.get(package)} (locked {locked.get(package)})"
        for package in sorted(locked | rebuilt)
        if locked.get(package) != rebuilt.get(package)
    )


def _weights(document: dict[str, Any]) -> str:
    return f"{document['weights']['label']} ({document['weights']['digest'][:8]})"


def _differing(locked: list[dict[str, Any]], rebuilt: list[dict[str, Any]]) -> list[str]:
    """Names of initializers that only one side has, or whose entries differ."""
    old = {str(entry["name"]): entry for entry in locked}
    new = {str(entry["name"]): entry for entry in rebuilt}
    return [name for name in sorted(old | new) if old.get(name) != new.get(name)]
