"""What a comparison found, as data. Reports are views of these; nothing here runs a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.external_data import whole_digest
from trufor_onnx.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK
from trufor_onnx.documents import (
    DIGEST,
    OPTIONAL,
    below,
    decode,
    digest_of,
    encode,
    mapping,
    parse_json,
    read_json,
    text_of,
)
from trufor_onnx.errors import ParityError, first_few
from trufor_onnx.parity.results.pictures import Pictures

SCHEMA_VERSION = 1
RUNTIME = "runtime"  # `--models runtime` judges runtime/ itself, from file to answers
SOURCE = "torch32"  # PyTorch float32, the yardstick; every other backend is a candidate
PROVEN = "proven"  # derived again from the reference's own tensors, and compared
AS_LOCKED = "as its lock says"  # a lock is there that agrees, and nothing to derive it again from
UNPROVEN = "weights unproven"  # no lock
REFUTED = "other weights"
# Of several files together the least is what holds.
LEAST_FIRST = (REFUTED, UNPROVEN, AS_LOCKED, PROVEN)
SHOWN = 5
LARGEST = 2 << 30  # bytes
HINT = "make it anew with `parity run`"


class Status(StrEnum):
    """How a row ended. ``not run`` never counts as passed."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Values:
    """What the values of one output are like.

    Attributes:
        count: how many there are.
        low, high, mean, std: least, greatest, mean, standard deviation, in float64.
    """

    count: int
    low: float
    high: float
    mean: float
    std: float


@dataclass(frozen=True)
class Row:
    """One model x backend x image x output.

    Attributes:
        model: the network's name.
        variant: the exported variant, or ``candidate`` for a file that the user named.
        weights: what the weights are called, ``stand-in weights`` included.
        proof: ``proven`` where every weight in the file was traced to the checkpoint by digest,
            ``weights unproven`` where the file has no lock, ``source`` for PyTorch itself.
        backend: ``torch32`` or ``onnxruntime``.
        provider: the execution provider that really ran.
        image: the image's path below the data set, or the name of a shape case or made picture.
        image_sha256: the digest of the image's file.
        label: ``real``, ``fake`` or "" where the data set does not say.
        shape: of the network's first input.
        output: the output's name.
        status: how it ended.
        reason: why it is not ``pass``; a sentence.
        mae: mean absolute error against float64, in the output's own units.
        max_abs: maximum absolute error against float64.
        p99_abs: 99th percentile of the absolute error against float64.
        rel_l2: relative error against float64 in the Euclidean norm.
        mae_torch32: mean absolute error against PyTorch float32 (the published measure).
        accuracy_ratio: ``mae`` over PyTorch float32's own ``mae``.
        outcome: for outputs that people act on: differences as decisions.
        sketch: of PyTorch's rows: the pixels' digest, and what the float64 output is
            (`parity.results.sketch`), to which the next release is held.
        bias: mean of ``output - float64``, with its sign.
        reference: what the float64 network's values are like on this case.
        found: what this backend's are like.
        found_sha256: the digest of this backend's values, to tell equal answers.

    A figure that is infinite or not a number is null in JSON, as one that was not measured is.
    """

    model: str
    variant: str
    weights: str
    proof: str
    backend: str
    provider: str
    image: str
    image_sha256: str
    label: str
    shape: tuple[int, ...]
    output: str
    status: Status
    reason: str = ""
    mae: float | None = None
    max_abs: float | None = None
    p99_abs: float | None = None
    rel_l2: float | None = None
    mae_torch32: float | None = None
    accuracy_ratio: float | None = None
    outcome: Mapping[str, float | bool] = field(default_factory=dict)
    sketch: Mapping[str, Any] | None = field(default=None, metadata={OPTIONAL: True})
    bias: float | None = field(default=None, metadata={OPTIONAL: True})
    reference: Values | None = field(default=None, metadata={OPTIONAL: True})
    found: Values | None = field(default=None, metadata={OPTIONAL: True})
    found_sha256: str | None = field(default=None, metadata={OPTIONAL: True})

    def document(self) -> dict[str, Any]:
        """The row as JSON has it."""
        found: dict[str, Any] = encode(self)
        return found

    @classmethod
    def from_document(cls, document: object) -> Row:
        """The row that `document` gave.

        Raises:
            ValueError: it is none.
        """
        return decode(cls, document)


@dataclass(frozen=True)
class Group:
    """All rows of one model x backend x provider x output.

    Attributes:
        cases: ``images``, ``shapes`` or ``made``.
        rows: how many rows were measured.
        mean, std, worst: of the rows' ``mae`` against float64.
        mean_torch32, std_torch32, worst_torch32: of the rows' ``mae_torch32``.
        max_abs: the largest ``max_abs``.
        accuracy_ratio: mean ``mae`` over PyTorch float32's mean ``mae`` on the same rows.
        outcome: the rows' outcomes as one: decisions that flipped, counted; the worst of the rest.
        status: the worst of the rows' and the group's own verdict.
        reason: why it is not ``pass``.
        counts: rows by status.
    """

    cases: str
    model: str
    variant: str
    weights: str
    proof: str
    backend: str
    provider: str
    output: str
    rows: int
    counts: Mapping[str, int]
    mean: float | None
    std: float | None
    worst: float | None
    mean_torch32: float | None
    std_torch32: float | None
    worst_torch32: float | None
    max_abs: float | None
    accuracy_ratio: float | None
    status: Status
    reason: str = ""
    outcome: Mapping[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A whole run.

    Attributes:
        environment: versions, machine, threads, settings.
        models: provenance by model: file, digests, weights, proof, preprocessing.
        rows: every comparison on an image of the data set.
        shape_rows: the same on the shape matrix, and on made pictures.
        groups: every model x backend x output, for images and shapes apart.
        resumed_cases: how many cases were measured by an earlier, interrupted run.
        pictures: of the images with the largest errors.
    """

    environment: Mapping[str, Any]
    models: Mapping[str, Any]
    rows: tuple[Row, ...]
    shape_rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    resumed_cases: int = 0
    pictures: Pictures = field(default_factory=Pictures)

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Images and shapes."""
        return (*self.rows, *self.shape_rows)

    @property
    def status(self) -> Status:
        """The whole run's verdict: any failure, else anything that could not be compared.

        It passes only if every file of every model passed somewhere: PyTorch compared with
        itself, or a file whose backends were all absent, proves nothing.
        """
        found = [row.status for row in self.all_rows] + [group.status for group in self.groups]
        worst = worst_status(found)
        if worst is not Status.PASS:
            return worst
        passed = [
            row for row in self.all_rows if row.backend != SOURCE and row.status is Status.PASS
        ]
        models = {row.model for row in passed}
        files = {(row.model, row.variant) for row in passed}
        wanted = {
            (name, variant)
            for name, given in self.models.items()
            for variant in given.get("variants", ())
        }
        proven = models and models == set(self.models) and wanted <= files
        return Status.PASS if proven else Status.NOT_RUN

    def digests(self) -> dict[tuple[str, str], set[str]]:
        """Digests of the files that were judged, by model and variant."""
        found: dict[tuple[str, str], set[str]] = {}
        for model, about in self.models.items():
            for entry in files_of(about):
                sha256 = whole_digest(entry.get("file"))
                if sha256:
                    found.setdefault((model, str(entry.get("variant"))), set()).add(sha256)
        return found

    def document(self) -> dict[str, Any]:
        """The report as ``parity.json`` has it."""
        counts = {s.value: sum(row.status is s for row in self.all_rows) for s in Status}
        document = {
            "schema_version": SCHEMA_VERSION,
            "environment": encode(self.environment),
            "models": encode(self.models),
            "rows": encode(self.rows),
            "shape_rows": encode(self.shape_rows),
            "pictures": encode(self.pictures),
            "summary": {
                "status": self.status.value,
                "counts": counts,
                "groups": encode(self.groups),
                "resumed_cases": self.resumed_cases,
            },
        }
        return document | {DIGEST: digest_of(document)}


def files_of(about: object) -> list[Mapping[str, Any]]:
    """What a report has of each file of a network: of each variant, or of the only one."""
    variants = mapping(below(about, "variants"))
    return [mapping(entry) for entry in variants.values() or [about]]


def worst_status(found: list[Status]) -> Status:
    """Failure first, then error; ``not run`` alone, or nothing at all, is no pass."""
    for status in (Status.FAIL, Status.ERROR):
        if status in found:
            return status
    return Status.PASS if Status.PASS in found else Status.NOT_RUN


EXIT_CODES = {
    Status.PASS: EXIT_OK,
    Status.FAIL: EXIT_FAILED,
    Status.ERROR: EXIT_COULD_NOT,
    Status.NOT_RUN: EXIT_COULD_NOT,
}


def named(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    return first_few(names, SHOWN)


def said(given: Mapping[str, Any]) -> str:
    """The proof of a file with what it rests on, or why it is none of the file.

    Such as ``proven (rebuilt here: the same bytes)``.

    Args:
        given: what a report has of the file.
    """
    proof = str(given.get("proof", "proof unknown"))
    why = given.get("proof_how") if proof == PROVEN else None
    why = given.get("proof_reason") if proof == AS_LOCKED else why
    return f"{proof} ({why})" if why else proof


def read_report(path: Path) -> Report:
    """The report in a ``parity.json``.

    Raises:
        ParityError: it is missing, no such report, of another version, or contradicts itself.
    """
    document = read_json(path, what="report", largest=LARGEST, hint=HINT)
    return from_document(document, str(path))


def from_document(document: Any, name: str) -> Report:
    """The report that a document holds.

    Its verdict and counts must follow from its rows: a report is no place to change a verdict.

    Args:
        document: what `Report.document` gave.
        name: what errors call it.

    Raises:
        ParityError: it is none, of another version, or contradicts itself.
    """
    version = document.get("schema_version") if isinstance(document, Mapping) else None
    if version != SCHEMA_VERSION:
        raise ParityError(
            f"{name}: schema version {version}, this tool reads {SCHEMA_VERSION}", hint=HINT
        )
    try:
        report = Report(
            environment=_object(document, "environment"),
            models={key: _object(document["models"], key) for key in _object(document, "models")},
            rows=tuple(Row.from_document(row) for row in document["rows"]),
            shape_rows=tuple(Row.from_document(row) for row in document["shape_rows"]),
            groups=tuple(decode(Group, group) for group in document["summary"]["groups"]),
            resumed_cases=_count(document["summary"]["resumed_cases"]),
            pictures=decode(Pictures, document["pictures"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ParityError(f"{name}: not a report ({error})", hint=HINT) from error
    if report.document() != document:
        raise ParityError(
            f"{name}: its verdict, counts or keys are not those that its rows give",
            hint=f"it was edited or damaged; {HINT}",
        )
    return report


def _object(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = document[key]
    if not isinstance(found, dict):
        raise ValueError(f"{key}: not an object")
    return found


def _count(given: object) -> int:
    if type(given) is not int:
        raise ValueError("resumed_cases: not a number")
    return given


def as_written(report: Report) -> Report:
    """A run's report as its JSON gives it back: what is printed, written and judged."""
    return from_document(parse_json(json_text(report)), "this run's report")


def json_text(report: Report) -> str:
    """The document: sorted keys, ASCII, no NaN."""
    return text_of(report.document())
