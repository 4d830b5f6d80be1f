"""``parity gate --locate``: `parity locate` on every file of a report. The rule judges later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from chunking.errors import UserError
from chunking.hashing import sha256_file
from export.sources import WeightsSource
from parity.errors import ParityError
from parity.gate.evidence import Evidence, Location, Subject
from parity.identity import CANDIDATE
from parity.results import RUNTIME


def located(
    evidence: Evidence, source: WeightsSource, image: Path, candidates: Sequence[str] = ()
) -> tuple[Location, ...]:
    """What `parity locate` finds in each file of the report's networks.

    Args:
        evidence: the report and its files.
        source: the choice of weights.
        image: an image, or a data set of which the first image is taken.
        candidates: ``MODEL=FILE``, where a candidate of the report is.

    Raises:
        ParityError: a candidate is not named as ``MODEL=FILE``.
    """
    files = dict(_pair(text) for text in candidates)
    return tuple(_locations(evidence, source, image, files))


def _pair(text: str) -> tuple[str, Path]:
    model, equals, file = text.partition("=")
    if not (model and equals and file):
        raise ParityError(f"--candidate {text}: not MODEL=FILE", hint="--candidate mit_b2=new.onnx")
    return model, Path(file)


def _locations(
    evidence: Evidence, source: WeightsSource, image: Path, files: dict[str, Path]
) -> Iterator[Location]:
    from parity.locate.run import Question, locate

    for subject in evidence.subjects:
        if subject.model == RUNTIME:
            continue  # its files are those of networks; see `locate_rule`
        path = files.get(subject.model) if subject.variant == CANDIDATE else None
        path = path or subject.path
        if path is None or not path.is_file():
            yield _nothing(
                subject, f"no file {path or ''}; --candidate {subject.model}=FILE, or merge"
            )
            continue
        try:
            found = locate(Question(subject.model, source, path, image=image))
            first = found.faults[0].name if found.faults else ""
            sha256 = sha256_file(path)
            yield Location(subject.model, subject.variant, sha256, found.sentence(), first)
        except UserError as error:
            yield _nothing(subject, f"{error.problem}; {error.hint}")


def _nothing(subject: Subject, problem: str) -> Location:
    return Location(subject.model, subject.variant, "", "", "", problem)
