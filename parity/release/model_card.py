"""The model card: what is in the folder, whose, how to use it, how right it is; from JSON only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trufor_onnx.console import markdown as escaped
from trufor_onnx.console import markdown_table
from trufor_onnx.documents import below
from trufor_onnx.errors import ParityError
from trufor_onnx.export.weights.download import BY_RECEIPT, WEIGHTS_TERMS, publication_of
from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile
from trufor_onnx.parity.inputs.cases import is_made
from trufor_onnx.parity.report.sentences import or_dash
from trufor_onnx.parity.report.text import environment_line
from trufor_onnx.parity.results.findings import Decision
from trufor_onnx.parity.results.rows import PROVEN, SOURCE, named, said
from trufor_onnx.parity.results.summary import fewest_different
from trufor_onnx.parity.results.timing import BenchReport, TimingOutcome

STAND_IN = "made from a seed by this project: nobody else's weights; Apache-2.0 as the code"
USE = """## Use

```sh
sha256sum -c SHA256SUMS               # the files are those of this release
python -m chunking merge .            # pieces to ONNX files, each byte checked
python -m parity release-verify FOLDER --key pub.pem   # everything, the signature too
```"""


def published_by(subject: JudgedFile) -> Mapping[str, Any] | None:
    """Who published the weights of a file, and how that is known; None where it is not.

    The file must be proven to hold what the run's checkpoint holds, and that checkpoint be known
    by its digest. What a lock says of a name or a digest is no proof.
    """
    weights = subject.said("weights")
    if subject.said("proof") != PROVEN or below(weights, "kind") != "checkpoint":
        return None
    if below(weights, "digest") != below(subject.lock, "weights", "digest"):
        return None
    known = publication_of(None, str(below(weights, "file_sha256")))
    said = below(weights, "published")  # by the receipt that lay beside the checkpoint
    if known is None and isinstance(said, Mapping) and said.get("known_by") == BY_RECEIPT:
        return said
    return known


def terms_of(subject: JudgedFile, given: str) -> str:
    """The terms, in a sentence.

    Args:
        subject: the file, with its lock and what the report says of it.
        given: what whoever releases says of the weights ("" for nothing).

    Raises:
        ParityError: nobody says.
    """
    lock = subject.lock or {}
    if below(lock, "weights", "kind") == "stand-in":
        return STAND_IN
    if given:
        return given
    if published_by(subject):
        return WEIGHTS_TERMS
    raise ParityError(
        f"{subject.model}: nobody says under which terms {below(lock, 'weights', 'label')} may be "
        "passed on: its digest is not a published one",
        hint='say it: --weights-licence "the licence, and whose weights they are"; published '
        "weights are known by `python -m export weights`, also from an archive fetched by hand",
    )


@dataclass(frozen=True)
class Card:
    """What the card speaks of.

    Attributes:
        version: the release's.
        evidence: the stored run and the locks.
        decision: the gate's.
        terms: of the weights, by file name.
        bench: time and memory, or None.
    """

    version: str
    evidence: Evidence
    decision: Decision
    terms: Mapping[str, str]
    bench: BenchReport | None


def model_card(card: Card) -> str:
    """The page, in Markdown."""
    blocks = [
        f"# Models {escaped(card.version)}",
        _gate(card),
        _files(card.evidence.subjects),
        *(block for subject in card.evidence.subjects for block in _subject(subject, card)),
        *_parity(card.evidence),
        *_costs(card.bench),
        *_limits(card),
        USE,
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _gate(card: Card) -> str:
    verdicts = ", ".join(f"{finding.rule}: {finding.outcome}" for finding in card.decision.findings)
    line = f"Release gate (`gate.json`): {escaped(verdicts)}."
    if card.decision.although:
        line += (
            f"\n\n**The gate did not pass. Released although: {escaped(card.decision.although)}**"
        )
    return line


def _files(subjects: Sequence[JudgedFile]) -> str:
    rows = [
        (
            escaped(str(subject.said("file", "name"))),
            escaped(subject.model),
            escaped(subject.variant),
            f"{subject.said('file', 'size_bytes') or 0:,}",
            str(subject.said("opset")),
            f"`{subject.said('file', 'sha256')}`",
        )
        for subject in subjects
    ]
    return markdown_table(("file", "network", "variant", "bytes", "opset", "SHA-256"), rows)


def _subject(subject: JudgedFile, card: Card) -> Iterator[str]:
    lock = subject.lock or {}
    yield f"## {escaped(str(subject.said('file', 'name')))}"
    yield escaped(str(lock.get("title", subject.model))) + "."
    tensors = [
        (kind, escaped(str(t.get("name"))), escaped(_axes(t)), escaped(str(t.get("description"))))
        for kind, key in (("input", "inputs"), ("output", "outputs"))
        for t in lock.get(key, ())
    ]
    if tensors:
        yield markdown_table(("", "name", "axes", "holds"), tensors)
    weights, coverage = lock.get("weights", {}), below(lock, "weights", "coverage")
    proven = f"{below(coverage, 'tensors_set')} of {below(coverage, 'tensors')} tensors by digest"
    label, proof = escaped(str(weights.get("label"))), escaped(said(subject.about))
    if subject.signed_by:
        proof += escaped(f"; its lock is signed in {subject.signed_by}")
    lines = [
        f"Weights: {label}; {proof}: {proven}.",
        escaped(_origin(subject)),
        f"Terms: {escaped(card.terms[str(subject.said('file', 'name'))])}",
        f"Preprocessing: {escaped(_contract(subject.said('preprocessing')))}.",
    ]
    fresh = below(subject.said("weights"), "look_untrained")
    if isinstance(fresh, Mapping) and fresh:
        names = named([f"{name} ({what})" for name, what in fresh.items()])
        lines.insert(2, escaped(f"{len(fresh)} tensors look untrained: {names}."))
    if lock.get("least_size"):
        lines.append(f"Least height and width: {lock['least_size']} pixels.")
    yield "\n".join(f"- {line}" for line in lines)


def _origin(subject: JudgedFile) -> str:
    """Whose weights they are: only a known digest says so, never a name."""
    weights = subject.said("weights")
    if below(weights, "kind") == "stand-in":
        return "Origin: made from a seed."
    file, sha256 = below(weights, "file"), below(weights, "file_sha256")
    known = published_by(subject)
    if known is None:
        return f"Origin: weights: {file}, SHA-256 {sha256}, origin not known."
    return (
        f"Origin: {file}, SHA-256 {sha256}, published by {known['by']} (known by "
        f"{known['known_by']})."
    )


def _contract(given: object) -> str:
    if not isinstance(given, Mapping):
        return "unknown"
    mean, std = (", ".join(map(str, given.get(key, ()))) for key in ("mean", "std"))
    return (
        f"8-bit {given.get('channels')}, not resized; (pixels / {given.get('scale')} - mean) / std "
        f"with mean ({mean}), std ({std}); {given.get('layout')}, {given.get('dtype')}"
    )


def _parity(evidence: Evidence) -> Iterator[str]:
    report = evidence.report
    if report is None:
        return
    yield "## Measured against the network in float64"
    rows = [
        (
            *(escaped(text) for text in (group.model, group.variant, group.output)),
            group.cases,
            escaped(group.provider),
            str(group.rows),
            *(or_dash(v, ".3e") for v in (group.mean, group.worst, group.max_abs)),
            or_dash(group.accuracy_ratio, ".3f"),
        )
        for group in report.groups
        if group.backend != SOURCE
    ]
    header = ("network", "variant", "output", "on", "provider", "n", "mean MAE", "worst MAE")
    if rows:
        yield markdown_table((*header, "largest error", "accuracy ratio"), rows)
    yield (
        "The accuracy ratio is the mean error over PyTorch float32's own: 1.000 is as near to "
        "float64 as the network that the file was made of. Rows, images and shapes: `parity.json`."
    )
    yield environment_line(report.environment)


def _costs(bench: BenchReport | None) -> Iterator[str]:
    if bench is None:
        return
    rows = [
        (
            escaped(row.contestant.model),
            escaped(row.contestant.name),
            f"{row.height} x {row.width}",
            f"{row.summary.median_ns / 1e6:.2f}",
            f"{row.summary.p90_ns / 1e6:.2f}",
            "-" if row.noise_floor is None else f"{row.noise_floor - 1.0:.1%}",
        )
        for row in bench.latency
        if row.outcome is TimingOutcome.MEASURED and row.summary
    ]
    yield "## Time and memory"
    if rows:
        yield markdown_table(("network", "who", "size", "median ms", "90 % ms", "A/A floor"), rows)
    peaks = [
        (
            escaped(row.contestant.model),
            escaped(row.contestant.name),
            f"{row.height} x {row.width}",
            f"{(row.peak_bytes or 0) / 2**20:.0f}",
        )
        for row in bench.memory
        if row.outcome is TimingOutcome.MEASURED
    ]
    if peaks:
        yield markdown_table(("network", "who", "size", "peak MiB of a fresh process"), peaks)
    yield environment_line(bench.environment)


def _limits(card: Card) -> Iterator[str]:
    """What the figures do not say."""
    report = card.evidence.report
    if report is None:
        return
    images = fewest_different(report)
    shapes = sorted(
        {
            "x".join(map(str, row.shape))
            for row in report.shape_rows
            if row.shape and not is_made(row.image)
        }
    )
    providers = sorted({row.provider for s in card.evidence.subjects for row in s.rows})
    lines = [
        f"Compared on {images} different images and on these shapes: {', '.join(shapes)}.",
        f"Compared on: {', '.join(providers)}. Other providers round otherwise.",
        "This is how faithful the files are to their network, not how good it is at its task.",
    ]
    if any(below(s.lock, "weights", "kind") == "stand-in" for s in card.evidence.subjects):
        lines.append("Stand-in weights detect nothing: they are for tests.")
    if card.bench is None:
        lines.append("Time and memory were not measured for this release.")
    yield "## Limits"
    yield "\n".join(f"- {escaped(line)}" for line in lines)


def _axes(tensor: Mapping[str, Any]) -> str:
    return "(" + ", ".join(map(str, tensor.get("axes", ()))) + ")"
