"""Is the report itself fit to be judged: unedited, under today's limits, and of the whole run?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict

from trufor_onnx.documents import below
from trufor_onnx.errors import ExportError
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.spec import TIMM_PREFIX
from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.inputs.cases import KINDS, MADE_PREFIX, is_made
from trufor_onnx.parity.inputs.looks import different
from trufor_onnx.parity.inputs.shapes import BUNDLE, admitted_shapes
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.findings import Finding, verdict
from trufor_onnx.parity.results.rows import SOURCE, Report, Row, Status, files_of
from trufor_onnx.parity.results.summary import summarise
from trufor_onnx.parity.results.tolerances import tolerances_digest

FEEDS_SHAPES = 3  # of a network whose sizes are free and that takes more than a picture
JUDGED = ("status", "reason")  # of a group: what follows from the tolerances, not from the rows


def report_rule(evidence: Evidence, policy: Policy) -> Finding:  # noqa: ARG001 - as all rules
    """Its digest holds, and verdict, counts and groups follow from its rows."""
    report = evidence.report
    problems = [evidence.report_problem]
    if report is not None:
        problems = [*_contradictions(report), *_of_no_file(report, evidence.subjects)]
    shown = str(below(report.document(), "digest"))[:16] if report else ""
    return verdict(
        "report",
        problems,
        saw=f"whole, digest {shown}; its counts and groups follow from its rows",
        allows="a report as `parity run` wrote it (a digest shows slips, no forgery)",
        look="make it anew with `python -m parity run`",
    )


def tolerances_rule(evidence: Evidence, policy: Policy) -> Finding:  # noqa: ARG001 - as all rules
    """Judged under the limits that this version has."""
    said = below(evidence.report.environment if evidence.report else {}, "tolerances_sha256")
    ours = tolerances_digest()
    problems = []
    own = below(evidence.report.environment if evidence.report else {}, "own_tolerances")
    file = below(own, "file")
    beside = f" with {file} ({str(below(own, 'sha256'))[:16]})" if own is not None else ""
    look = "read the change of parity/results/tolerances.toml, then measure anew"
    if said != ours:
        shown = said[:16] if isinstance(said, str) else "none"
        problems = [f"made under tolerances {shown}{beside}, this gate's are {ours[:16]}"]
        if own is not None:
            look = f"read {file}; if these limits are right, python -m parity gate --tolerances"
    return verdict(
        "tolerances",
        problems,
        saw=f"made under this gate's tolerances{beside}, {ours[:16]}",
        allows="the tolerances.toml that this gate has, and the file that it is given",
        look=look,
    )


def cases_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Enough different images and shapes, for each network; none is never enough.

    An image counts by its pixels, and only if it is not flat.
    """
    least = policy.cases
    few: set[str] = set()

    def problems() -> Iterator[str]:
        if not evidence.subjects:
            yield "the report has no network"
        for subject in evidence.subjects:
            images, files = _images(evidence, subject)
            if images < least.least_images:
                few.add("images")
                noun = "image was" if images == 1 else "images were"
                yield f"{subject.name}: {images} different {noun} measured, in {files} files"
            shapes = len(_shapes(evidence, subject))
            if shapes < _shapes_wanted(subject, least.least_shapes):
                few.add("shapes")
                yield f"{subject.name}: {shapes} shapes were measured"
            ran = {row.image for row in subject.rows}
            lacking = [kind for kind in KINDS if MADE_PREFIX + kind not in ran]
            if lacking and _takes_a_picture(subject):
                yield f"{subject.name}: made pictures were not run: {', '.join(lacking)}"
            if least.fresh_seed:
                stale = list(_stale_seed(evidence, subject))
                few.update(["seed"] if stale else [])
                yield from stale

    found = list(problems())
    counts = [_images(evidence, subject)[0] for subject in evidence.subjects]
    shapes = [len(_shapes(evidence, subject)) for subject in evidence.subjects]
    seeds = [str(seed) for s in evidence.subjects if (seed := s.said("seed", "value")) is not None]
    drawn = f", sizes drawn with seed {', '.join(dict.fromkeys(seeds))}" if seeds else ""
    return verdict(
        "cases",
        found,
        saw=f"{min(counts, default=0)} different images and {min(shapes, default=0)} shapes{drawn}",
        allows=f"{least.least_images} images and {least.least_shapes} shapes or more (of a network "
        f"with a fixed size all that it takes, of inputs that are no pictures {FEEDS_SHAPES})",
        look=_more_cases(few, least.least_images),
    )


def _shapes_wanted(subject: JudgedFile, least: int) -> int:
    """The policy's number, or as many as a network of a fixed size can be measured at."""
    inputs = _inputs(subject)
    if not _takes_a_picture(subject):
        free = any(isinstance(axis, str) for axes in inputs for axis in axes[1:])
        return min(least, FEEDS_SHAPES if free else 1)
    admitted = admitted_shapes(inputs[0]) if inputs else None
    return least if admitted is None else min(least, admitted)


def _inputs(subject: JudgedFile) -> list[list[int | str]]:
    """The axes of a network's inputs that are given to it; of a stranger's, as its lock says."""
    listed = below(subject.lock, "inputs")
    found = [below(one, "axes") for one in listed] if isinstance(listed, list) else []
    if not subject.model.startswith(TIMM_PREFIX):  # timm would be imported, and torch with it
        with suppress(ExportError):  # a network of somebody else's package: the lock alone speaks
            spec = find(subject.model)
            given = spec.inputs[:-1] if spec.second_input else spec.inputs
            found = [list(tensor.axes) for tensor in given]
    return [list(axes) if isinstance(axes, list) else [] for axes in found]


def _takes_a_picture(subject: JudgedFile) -> bool:
    """Whether pictures are all that it takes; where nothing is known of its inputs, they are."""
    inputs = _inputs(subject)
    return not inputs or (len(inputs) == 1 and (not inputs[0] or inputs[0][1:2] in ([1], [3])))


def _more_cases(few: set[str], least_images: int) -> str:
    """What mends it: only what changes something."""
    advice = {
        "images": f"run on {least_images} different pictures or more: --images, no --max-images",
        "seed": "run without an old --seed",
        "shapes": "run without --no-shapes",
    }
    return "; ".join(advice[what] for what in sorted(few)) or "python -m parity run --help"


def complete_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Nothing "not run" or without a comparison where it must run, or where it ran before."""
    required = policy.complete.required_providers

    def problems() -> Iterator[str]:
        report = evidence.report
        rows = report.all_rows if report else ()
        before = {_place(row) for old in evidence.baselines for row in _unmeasured(old.all_rows)}
        rows = tuple(row for row in rows if not _has_no_answer(row))
        known = {_place(row) for old in evidence.baselines for row in old.all_rows}
        for row in _unmeasured(rows):
            place, must = _place(row), not row.provider or row.provider in required
            is_new = place not in before and (row.status is Status.ERROR or place in known)
            if must or is_new:
                where = f"{row.model} {row.output} on {row.image}, {row.provider or 'everywhere'}"
                yield f"{where}: {row.status}: {row.reason}"
        for subject in evidence.subjects:
            ran = {(row.backend, row.provider) for row in subject.rows if row.mae is not None}
            backends = dict.fromkeys(row.backend for row in subject.rows) or [""]
            yield from (
                f"{subject.name}: no measurement on {name}, which the policy requires"
                for name in required
                if not all((backend, name) in ran for backend in backends)
            )
            yield from _lost(subject, evidence)

    return verdict(
        "complete",
        problems(),
        saw=f"every case was compared on {', '.join(required)}; nothing is newly absent",
        allows=f"all on {', '.join(required)}; elsewhere, what the baseline lacks too",
        look=f"python -m parity report {evidence.report_path} --format markdown",
    )


def _images(evidence: Evidence, subject: JudgedFile) -> tuple[int, int]:
    """How many different images were measured, and how many files."""
    measured = [row for row in subject.rows if row.mae is not None]
    files = {row.image_sha256 for row in _of_images(evidence, measured)}
    return different(subject.about, files), len(files)


def _shapes(evidence: Evidence, subject: JudgedFile) -> set[str]:
    """The shapes that were measured; of a network that takes more than a picture, its feeds'."""
    measured = [row for row in subject.rows if row.mae is not None and not is_made(row.image)]
    if not _takes_a_picture(subject):
        return {str(row.shape) for row in measured}
    return {row.image for row in measured} - {r.image for r in _of_images(evidence, measured)}


def _stale_seed(evidence: Evidence, subject: JudgedFile) -> Iterator[str]:
    """A new file on the baseline's drawn sizes; a bundle has its own, which cannot be new."""
    seed, origin = subject.said("seed", "value"), subject.said("seed", "origin")
    file = subject.said("file", "sha256")
    for old in evidence.baselines:
        before = below(old.models, subject.model)
        same = seed is not None and seed == below(before, "seed", "value")
        if same and origin != BUNDLE and file not in _files(before):
            yield f"{subject.name}: sizes drawn with the baseline's seed, {seed}, for another file"


def _files(about: object) -> set[object]:
    """Digests of all files of a network in a report."""
    return {below(entry, "file", "sha256") for entry in (about, *files_of(about))}


def _lost(subject: JudgedFile, evidence: Evidence) -> Iterator[str]:
    """Providers that were asked for, or that the baseline has, and that left no row."""
    asked = below(evidence.report.environment if evidence.report else {}, "providers")
    names = set(asked) if isinstance(asked, dict) else set()
    names |= {
        row.provider
        for old in evidence.baselines
        for row in old.all_rows
        if (row.model, row.variant) == (subject.model, subject.variant) and row.mae is not None
    }
    for name in sorted(names - {row.provider for row in subject.rows}):
        yield f"{subject.name}: {name} was asked for or is in the baseline, and has no row"
    backends = {
        row.backend
        for old in evidence.baselines
        for row in old.all_rows
        if (row.model, row.variant) == (subject.model, subject.variant) and row.backend
    }
    for name in sorted(backends - {row.backend for row in subject.rows}):
        yield f"{subject.name}: {name} ran it in the baseline, and has no row"


def _of_images(evidence: Evidence, rows: list[Row]) -> list[Row]:
    names = {row.image for row in evidence.report.rows} if evidence.report else set()
    return [row for row in rows if row.image in names]


def _has_no_answer(row: Row) -> bool:
    """A made picture on which the network itself gives NaN, or rounding alone."""
    return is_made(row.image) and row.status is Status.NOT_RUN


def _unmeasured(rows: tuple[Row, ...]) -> list[Row]:
    return [row for row in rows if row.status in (Status.ERROR, Status.NOT_RUN)]


def _place(row: Row) -> tuple[Contestant, str]:
    return Contestant.of(row), row.output


def _contradictions(report: Report) -> Iterator[str]:
    """Groups that are not those of the rows."""
    found = (*summarise(report.rows, "images"), *summarise(report.shape_rows, "shapes"))
    stored = [_figures(asdict(group)) for group in report.groups]
    if [_figures(asdict(group)) for group in found] != stored:
        yield "its summary is not the one that its rows give"
    if not report.environment.get("packages"):
        yield "it does not say in which environment it was made"


def _of_no_file(report: Report, subjects: Sequence[JudgedFile]) -> Iterator[str]:
    """Rows that are neither PyTorch's nor a file's: no other rule would look at them."""
    files = {(subject.model, subject.variant) for subject in subjects}
    for row in report.all_rows:
        if row.backend not in ("", SOURCE) and (row.model, row.variant) not in files:
            yield f"{row.model}: rows of {row.backend} are of {row.variant}, no file of the report"


def _figures(group: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in group.items() if key not in JUDGED}
