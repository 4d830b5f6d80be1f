"""A report from its JSON document: checked, then the same data that the run had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.documents import decode, read_json
from parity.errors import ParityError
from parity.pictures import Pictures
from parity.results import SCHEMA_VERSION, Group, Report, Row

LARGEST = 2 << 30  # bytes
HINT = "make it anew with `parity run`"


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
