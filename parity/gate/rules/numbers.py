"""Verdicts made anew from the numbers in the rows: a stored "pass" is not believed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile
from trufor_onnx.parity.gate.policy import Absent, Policy
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.findings import Finding, absent, verdict, with_unjudged
from trufor_onnx.parity.results.limits import Scale, is_cleared, scales, verdict_of
from trufor_onnx.parity.results.rows import REFUTED, SOURCE, Group, Report, Row, Status
from trufor_onnx.parity.results.sketch import Outputs, differing, recorded, who_of
from trufor_onnx.parity.results.summary import IMAGES, SHAPES, over_their_ratio, summarise

Place = tuple[Contestant, str]
LOOK = (
    "the network's code or preprocessing changed: raise the `version` of its ModelSpec, or take "
    "the change back; "
    "python -m parity run --reference OLD_RELEASE/references.bundle shows it case by case"
)
AGAIN = (
    "--baseline takes the last release's folder, its parity.json, or its references.bundle; "
    "python -m parity run on the same images"
)


def outputs_rule(evidence: Evidence, policy: Policy) -> Finding:  # noqa: ARG001 - as all rules
    """Every case has every output, in its shape and type, with finite values."""
    return verdict(
        "outputs",
        (problem for subject in evidence.subjects for problem in _outputs(subject)),
        saw=f"{sum(len(_expected(s)) for s in evidence.subjects)} outputs, there on every case",
        allows="every output that the lock and PyTorch have, finite, on every case and provider",
        look=f"python -m parity report {evidence.report_path} --format markdown",
    )


def verdicts_rule(evidence: Evidence, policy: Policy) -> Finding:  # noqa: ARG001 - as all rules
    """Each row against its tolerance."""
    rows = [row for subject in evidence.subjects for row in subject.rows if row.mae is not None]

    def problems() -> Iterator[str]:
        for subject in evidence.subjects:
            source = {(row.image, row.output): row for row in subject.source_rows}
            known = scales(subject.source_rows)
            for row in subject.rows:
                if row.mae is None and row.status is not Status.PASS:
                    continue  # `outputs`, `complete` and `weights` speak of these
                scale = known.get((row.model, row.output))
                cleared = is_cleared(subject.about, row)
                problem = row_problem(row, source.get((row.image, row.output)), scale, cleared)
                if problem:
                    yield f"{row.model} {row.output} on {row.image}, {row.provider}: {problem}"
        if not rows:
            yield "no row has a figure"

    return verdict(
        "verdicts",
        problems(),
        saw=f"{len(rows)} rows recomputed, each within its tolerance",
        allows="what tolerances.toml allows, recomputed from the figures in the rows",
        look="python -m parity locate MODEL finds the layer in which an error starts",
    )


def accuracy_rule(evidence: Evidence, policy: Policy) -> Finding:
    """All images together: the error over PyTorch float32's, and over the baseline's."""
    limits = policy.accuracy
    groups = _groups(evidence.report) if evidence.report else []

    def problems() -> Iterator[str]:
        report = evidence.report
        for cases, given in ((IMAGES, report.rows), (SHAPES, report.shape_rows)) if report else ():
            for row, problem in over_their_ratio(given, cases, report.models if report else {}):
                yield f"{row.model} {row.output} on {cases}, {row.provider}: {problem}"
        for old in evidence.baselines:
            yield from _grown(evidence.subjects, old, limits.growth, limits.growth_floor)

    known = [group.accuracy_ratio for group in groups if group.accuracy_ratio is not None]
    found = verdict(
        "accuracy",
        problems(),
        saw=f"accuracy ratios {min(known, default=0.0):.3f} to {max(known, default=0.0):.3f}",
        allows=f"the tolerances' ratios, and {limits.growth:g} times the baseline's error",
        look="python -m parity locate MODEL finds the layer in which an error starts",
    )
    unjudged = [
        f"{subject.name}: no image in common with a baseline"
        for subject in evidence.subjects
        if any(subject.model in old.models for old in evidence.baselines)
        and not any(_shares_images(subject, old) for old in evidence.baselines)
    ]
    return with_unjudged(found, unjudged, found.saw)


def _shares_images(subject: JudgedFile, old: Report) -> bool:
    """Whether a baseline has errors of a file on an image that was measured now, too."""
    images = {
        (row.variant, row.image_sha256)
        for row in old.rows
        if row.model == subject.model and row.backend != SOURCE and row.mae is not None
    }
    return any((row.variant, row.image_sha256) in images for row in subject.rows)


def row_problem(row: Row, source: Row | None, scale: Scale | None, cleared: bool) -> str:
    """Why a row does not pass, from its figures alone, or ""; the run decided by the same."""
    if row.status is not Status.PASS:
        return row.reason or f"stored as {row.status}"
    return verdict_of(row, source, scale, cleared)[1]


def _groups(report: Report) -> list[Group]:
    found = [
        *summarise(report.rows, IMAGES, report.models),
        *summarise(report.shape_rows, SHAPES, report.models),
    ]
    return [group for group in found if group.backend != SOURCE]


def _expected(subject: JudgedFile) -> set[str]:
    """The outputs that the network has: by its lock, and by PyTorch's own rows."""
    listed = subject.lock.get("outputs") if subject.lock else None
    of_lock = {item.get("name") for item in listed} if isinstance(listed, list) else set()
    return {name for name in of_lock if name} | {row.output for row in subject.source_rows}


def _outputs(subject: JudgedFile) -> Iterator[str]:
    expected = _expected(subject)
    there: dict[tuple[str, str, str], set[str]] = {}
    for row in subject.rows:
        there.setdefault((row.backend, row.provider, row.image), set()).add(row.output)
        if row.status is Status.FAIL and row.mae is None and row.proof != REFUTED:
            yield f"{row.model} {row.output} on {row.image}, {row.provider}: {row.reason}"
    for (_, provider, image), names in there.items():
        for name in sorted(expected ^ names):
            what = "no row" if name in expected else "the network has no such output"
            yield f"{subject.name} {name} on {image}, {provider}: {what}"
    measured = {image for _, _, image in there}
    for row in subject.source_rows:
        if row.image not in measured:
            yield f"{subject.name} {row.output} on {row.image}: no row of a candidate"
    if not expected:
        yield f"{subject.name}: nothing says which outputs it has"


def _grown(
    subjects: tuple[JudgedFile, ...], old: Report, growth: float, floor: float
) -> Iterator[str]:
    """Outputs whose error on the same images is larger than the baseline's."""
    before = _by_place(old.rows)
    for subject in subjects:
        images = {row.image for row in old.rows}
        now = _by_place(tuple(row for row in subject.rows if row.image in images))
        for place, ours in now.items():
            theirs = before.get(place, {})
            shared = sorted(ours.keys() & theirs.keys())
            if not shared:
                continue
            mean = statistics.fmean(ours[key] for key in shared)
            mean_before = statistics.fmean(theirs[key] for key in shared)
            if not mean <= max(growth * mean_before, floor):
                who, output = place
                yield (
                    f"{who.model} {output}, {who.provider}: mean error {mean:.3g}, "
                    f"the baseline's on the same {len(shared)} images {mean_before:.3g}"
                )


def _by_place(rows: tuple[Row, ...]) -> Mapping[Place, Mapping[str, float]]:
    """Errors by image, for each output of each backend."""
    found: dict[Place, dict[str, float]] = {}
    for row in rows:
        if row.mae is not None and row.backend != SOURCE:
            place = (Contestant.of(row), row.output)
            found.setdefault(place, {})[f"{row.image} {row.image_sha256}"] = row.mae
    return found


def references_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Float64 outputs as in the last release, where version and weights are the same.

    File and reference come from the same code: where that changed, both moved, and no comparison
    of the two shows it.
    """
    limits = policy.references
    allows = f"differences up to {limits.most_difference:g} of an output's norm, or a new version"
    earlier = evidence.outputs
    if not earlier:
        why = "no earlier release was named"
        return absent("references", False, (), allows=allows, look=AGAIN, why=why)
    report = evidence.report
    now = recorded(report, str(evidence.report_path)) if report else Outputs("", {})
    problems: list[str] = []
    missing: list[str] = []
    held: list[str] = []
    for model, about in report.models.items() if report else ():
        who = who_of(about)
        if who is None or who not in now.networks:
            if evidence.computes(model):
                missing.append(f"{model}: the report does not say what the network computes")
            continue
        same = [old for old in earlier if who in old.networks]
        others = {other for old in earlier for other in old.versions(who[0])} - {who}
        if not same:
            if others:
                held.append(_changed(model, who, sorted(others)))
            elif evidence.knows(model):
                missing.append(f"{model}: the baseline does not say what the network computed")
            else:
                held.append(f"{model}: new")
            continue
        counts = 0
        for old in same:
            count, wrong = differing(old, now, who, limits.most_difference)
            counts += count
            problems += wrong
        if counts:
            held.append(f"{model}: {counts} outputs as before")
        else:
            missing.append(f"{model}: no picture in common with the last release")
    if missing and not problems:
        refused = limits.when_absent is Absent.REFUSE
        return absent("references", refused, missing, allows=allows, look=AGAIN)
    return verdict("references", problems, saw="; ".join(held), allows=allows, look=LOOK)


def _changed(model: str, who: tuple[str, ...], others: list[tuple[str, str, str, str]]) -> str:
    """In what a network is another one than it was."""
    versions = sorted({other[1] for other in others})
    if who[1] not in versions:
        return f"{model}: version {who[1]}, was {', '.join(versions)}: its outputs are new"
    return f"{model}: other weights than before"
