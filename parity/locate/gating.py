"""``parity gate --locate``: `parity locate` on every file of a report. The rule judges later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trufor_onnx.errors import ParityError, UserError
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile, Location
from trufor_onnx.parity.references.identity import CANDIDATE, candidates_of
from trufor_onnx.parity.results.rows import RUNTIME
from trufor_onnx.parity.results.tolerances import plain_variant


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
    files = candidates_of(candidates)
    unknown = sorted(files.keys() - {subject.model for subject in evidence.subjects})
    if unknown:
        raise ParityError(
            f"--candidate {unknown[0]}=...: the report has no such network",
            hint=f"it has {', '.join(dict.fromkeys(s.model for s in evidence.subjects))}",
        )
    return tuple(_locations(evidence, source, image, files))


def _named(subject: JudgedFile, files: Sequence[Path]) -> Path | None:
    """The file that the report judged as this candidate, of those that the user names."""
    if plain_variant(subject.variant) != CANDIDATE:
        return None
    wanted = subject.said("file", "sha256")
    fitting = [path for path in files if path.is_file() and sha256_file(path) == wanted]
    return next(iter([*fitting, *files]), None)


def _locations(
    evidence: Evidence,
    source: WeightsSource,
    image: Path,
    files: Mapping[str, Sequence[Path]],
) -> Iterator[Location]:
    from trufor_onnx.parity.locate.run import Question, locate

    for subject in evidence.subjects:
        if subject.model == RUNTIME:
            continue  # its files are those of networks; see `locate_rule`
        path = _named(subject, files.get(subject.model, ())) or subject.path
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


def _nothing(subject: JudgedFile, problem: str) -> Location:
    return Location(subject.model, subject.variant, "", "", "", problem)
