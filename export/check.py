"""Rebuild an exported file and compare it with its lock: are these the bytes that were locked?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chunking.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK
from export.build import export_model, file_stem
from export.errors import ExportError
from export.lock import read_lock
from export.registry import find
from export.sources import WeightsSource
from export.toolchain import toolchain

SHOWN = 6  # differing initializers that a finding names


@dataclass(frozen=True)
class Finding:
    """What a rebuild said of one lock.

    Attributes:
        outcome: one of the exit codes: 0 the same, 1 different, 2 could not compare.
        sentence: the outcome in words, with the lock's name.
    """

    outcome: int
    sentence: str


def locks(folder: Path, models: Sequence[str]) -> list[Path]:
    """The locks to check: those of ``models``, or all in the folder.

    Raises:
        ExportError: there are none, or a model's is missing.
    """
    if models:
        found = [folder / f"{file_stem(find(name))}.lock.json" for name in models]
    else:
        found = sorted(folder.glob("*.lock.json"))
    missing = [path.name for path in found if not path.is_file()]
    if missing or not found:
        raise ExportError(
            f"no lock file in {folder}: {', '.join(missing) or '*.lock.json'}",
            hint="make one with `python -m export MODEL`",
        )
    return found


def check_lock(path: Path, source: WeightsSource) -> Finding:
    """Rebuild a lock's model and compare digests, without touching the folder.

    Args:
        path: the lock file.
        source: weights for locks of a checkpoint; stand-in locks rebuild from their own seed.
    """
    locked = read_lock(path.with_name(path.name.removesuffix(".lock.json") + ".onnx"))
    assert locked is not None  # `locks` gave the path of a file that is there
    name, weights = locked["model"], locked["weights"]
    if weights["kind"] == "stand-in":
        source = WeightsSource(stand_in=weights["seed"])
    with tempfile.TemporaryDirectory() as folder:
        built = export_model(find(name), source, Path(folder), opset=locked["opset"])
        rebuilt = read_lock(built.path)
    assert rebuilt is not None  # `export_model` wrote it
    if rebuilt["file"]["sha256"] == locked["file"]["sha256"]:
        return Finding(EXIT_OK, f"{path.name}: the same bytes, {built.sha256[:16]}")
    if rebuilt["weights"]["digest"] != weights["digest"]:
        return Finding(
            EXIT_COULD_NOT,
            f"{path.name}: locked with {weights['label']}, rebuilt with "
            f"{rebuilt['weights']['label']}; name the checkpoint with --weights",
        )
    if rebuilt["toolchain"] != locked["toolchain"]:
        other = ", ".join(
            f"{package} {version} (locked {locked['toolchain'].get(package, 'absent')})"
            for package, version in toolchain().items()
            if locked["toolchain"].get(package) != version
        )
        return Finding(
            EXIT_COULD_NOT,
            f"{path.name}: another toolchain writes other bytes: {other}; install the locked "
            "versions with `pip install -c constraints.txt -e '.[dev]'`",
        )
    names = _differing(locked["initializers"], rebuilt["initializers"])
    what = f"initializers {', '.join(names[:SHOWN])}" if names else "the graph, no initializer"
    return Finding(EXIT_FAILED, f"{path.name}: DIFFERENT bytes from the same toolchain: {what}")


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where any differs, else 2 where any could not be compared, else 0."""
    outcomes = {finding.outcome for finding in findings}
    if EXIT_FAILED in outcomes:
        return EXIT_FAILED
    return EXIT_OK if outcomes == {EXIT_OK} else EXIT_COULD_NOT


def _differing(locked: list[dict[str, object]], rebuilt: list[dict[str, object]]) -> list[str]:
    """Names of initializers that only one side has, or whose digests differ."""
    old = {str(entry["name"]): entry["sha256"] for entry in locked}
    new = {str(entry["name"]): entry["sha256"] for entry in rebuilt}
    return [name for name in sorted(old | new) if old.get(name) != new.get(name)]
