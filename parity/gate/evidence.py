"""Everything that the rules look at, read once: reports, locks, measurements of cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trufor_onnx import documents
from trufor_onnx.documents import DIGEST, below, digest_of
from trufor_onnx.errors import LockError, ParityError
from trufor_onnx.export.lock import lock_path, read_lock
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.gate.costs import Costs, costs_of, is_costs
from trufor_onnx.parity.results import release_layout as layout
from trufor_onnx.parity.results.rows import (
    SCHEMA_VERSION,
    SOURCE,
    Report,
    Row,
    files_of,
    from_document,
)
from trufor_onnx.parity.results.sketch import Outputs, bundled, is_bundle, recorded

LARGEST = 2 << 30  # bytes
HINT = "make it anew with `parity run`"


@dataclass(frozen=True)
class JudgedFile:
    """One file of one network of the report.

    Attributes:
        model: the network's name.
        variant: the exported variant, or ``candidate``.
        is_first: whether it is the network's first file.
        about: its provenance as the report has it.
        path: where its file should be; None where the report's name for it is no file name.
        lock: the lock beside the file, or None.
        lock_problem: why the lock cannot be read, or "".
        rows: the rows of its candidates, of images and shapes.
        source_rows: the rows of PyTorch float32.
        signed_by: the release whose valid signature covers this very lock, or "".
    """

    model: str
    variant: str
    is_first: bool
    about: Mapping[str, Any]
    path: Path | None
    lock: Mapping[str, Any] | None
    lock_problem: str
    rows: tuple[Row, ...]
    source_rows: tuple[Row, ...]
    signed_by: str = ""

    @property
    def name(self) -> str:
        """As messages call it."""
        return self.model if self.is_first else f"{self.model} {self.variant}"

    @property
    def sha256(self) -> str:
        """The digest of the file that was measured."""
        return str(self.said("file", "sha256"))

    def said(self, *keys: str) -> Any:
        """What the report says below some keys, or None."""
        return below(self.about, *keys)


@dataclass(frozen=True)
class Location:
    """What `parity locate` found in one file.

    Attributes:
        model: the network's name.
        variant: the exported variant, or ``candidate``.
        sha256: the digest of the file that was looked at ("" where there was none).
        sentence: the answer in words.
        first: the first part that creates error, or "".
        problem: why it could not be looked at, or "".
    """

    model: str
    variant: str
    sha256: str
    sentence: str
    first: str
    problem: str = ""


@dataclass(frozen=True)
class Evidence:
    """What there is to judge.

    Attributes:
        report_path: what hints name.
        report: the run, or None where the report contradicts itself.
        report_problem: in what it does, or "".
        subjects: the files of its networks.
        baselines: earlier runs.
        costs: time and memory, or None.
        cost_baselines: those of earlier releases.
        outputs: what the networks of earlier releases compute, of reports and bundles.
        located: what `parity locate` found in each file; None where nobody asked it.
    """

    report_path: Path
    report: Report | None
    report_problem: str
    subjects: tuple[JudgedFile, ...] = ()
    baselines: tuple[Report, ...] = ()
    costs: Costs | None = None
    cost_baselines: tuple[Costs, ...] = field(default=())
    outputs: tuple[Outputs, ...] = field(default=())
    located: tuple[Location, ...] | None = None

    def knows(self, model: str) -> bool:
        """Whether a baseline of either kind has a network; one that none has is new."""
        return any(model in old.models for old in self.baselines) or any(
            cost.model == model for old in self.cost_baselines for cost in old.entries.values()
        )

    def computes(self, model: str) -> bool:
        """Whether a baseline has a network, or a bundle of references its outputs."""
        return self.knows(model) or any(old.versions(model) for old in self.outputs)


def gather(
    report_path: Path,
    *,
    models_dir: Path,
    bench: Path | None = None,
    baselines: Sequence[Path] = (),
    signed: Mapping[str, str] | None = None,
) -> Evidence:
    """Read everything that a gate needs.

    Args:
        report_path: a ``parity.json``.
        models_dir: where the ONNX files, their locks and their pieces are.
        bench: a ``bench.json``.
        baselines: earlier releases: their folders, reports of either kind, bundles of references.
        signed: by SHA-256, the locks that a signed release vouches for, with the release's name
            (`parity.release.verify.signed_locks`).

    Raises:
        ParityError: a file is missing or of another kind or version. A report that was edited is
            no such error: a rule says so.
    """
    document = read_json(report_path)
    if document.get("schema_version") != SCHEMA_VERSION or "rows" not in document:
        raise ParityError(
            f"{report_path}: no parity report of schema version {SCHEMA_VERSION}", hint=HINT
        )
    costs = costs_of(read_json(bench), str(bench)) if bench else None
    reports, cost_baselines, outputs = _baselines(baselines)
    try:
        report = from_document(document, str(report_path))
    except ParityError as error:
        problem = error.problem
        if document.get(DIGEST) != _digest(document):
            problem = f"{report_path}: its content is not what its digest was made of"
        return Evidence(report_path, None, problem, (), reports, costs, cost_baselines, outputs)
    subjects = tuple(
        replace(subject, signed_by=(signed or {}).get(_lock_sha256(subject), ""))
        for subject in _subjects(report, models_dir)
    )
    return Evidence(report_path, report, "", subjects, reports, costs, cost_baselines, outputs)


def _lock_sha256(subject: JudgedFile) -> str:
    if subject.lock is None or subject.path is None:
        return ""
    return sha256_file(lock_path(subject.path))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ParityError: there is none.
    """
    document = documents.read_json(path, what="report", largest=LARGEST, hint=HINT)
    if not isinstance(document, dict):
        raise ParityError(f"{path}: not a report", hint=HINT)
    return document


def _digest(document: Mapping[str, Any]) -> str:
    try:
        return digest_of(document)
    except ValueError:  # NaN or infinity: no report has them
        return ""


def _baselines(
    paths: Sequence[Path],
) -> tuple[tuple[Report, ...], tuple[Costs, ...], tuple[Outputs, ...]]:
    reports, costs, outputs = [], [], []
    for path in (inner for given in paths for inner in _parts(given)):
        if is_bundle(path):
            outputs.append(bundled(path))
            continue
        document = read_json(path)
        if is_costs(document):
            costs.append(costs_of(document, str(path)))
        else:
            reports.append(from_document(document, str(path)))
            outputs.append(recorded(reports[-1], str(path)))
    return tuple(reports), tuple(costs), tuple(outputs)


def _parts(path: Path) -> list[Path]:
    """A release's folder stands for what it says of itself; a file for itself.

    Raises:
        ParityError: the folder is no release.
    """
    if not path.is_dir():
        return [path]
    report = path / layout.PARITY
    if not report.is_file():
        raise ParityError(
            f"{path}: no release, it has no {layout.PARITY}", hint="name dist/models-VERSION"
        )
    more = [path / name for name in (layout.BENCH, layout.REFERENCES)]
    return [report, *(found for found in more if found.is_file())]


def _subjects(report: Report, models_dir: Path) -> Iterator[JudgedFile]:
    """Each file of each network."""
    for model, about in report.models.items():
        for entry in files_of(about):
            yield _subject(report, model, {**about, **entry}, models_dir)


def _subject(report: Report, model: str, about: Mapping[str, Any], models_dir: Path) -> JudgedFile:
    file = below(about, "file", "name")
    plain = isinstance(file, str) and file not in ("", "..") and Path(file).name == file
    path = models_dir / file if plain else None
    lock, problem = None, ""
    if path is not None:
        try:
            lock = read_lock(path)
        except LockError as error:
            problem = error.problem
    variant = str(below(about, "variant"))
    rows = [row for row in report.all_rows if row.model == model and row.backend]
    return JudgedFile(
        model=model,
        variant=variant,
        is_first=below(report.models, model, "variant") == variant,
        about=about,
        path=path,
        lock=lock,
        lock_problem=problem,
        rows=tuple(row for row in rows if row.backend != SOURCE and row.variant == variant),
        source_rows=tuple(row for row in rows if row.backend == SOURCE),
    )
