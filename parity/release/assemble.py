"""Put a release folder together: whole, or not at all; twice the same bytes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trufor_onnx.chunking.external_data import external_if_onnx, same_files
from trufor_onnx.chunking.folders import default_folder
from trufor_onnx.chunking.splitting import split
from trufor_onnx.documents import below, text_of
from trufor_onnx.errors import ParityError
from trufor_onnx.export.lock import file_entry, lock_path
from trufor_onnx.files import atomic_write, current_umask, fsync_folder, sha256_bytes, sha256_file
from trufor_onnx.parity.gate.evidence import Evidence, gather
from trufor_onnx.parity.gate.judge import document, judge
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.release.model_card import Card, model_card, terms_of
from trufor_onnx.parity.release.signing import BuildOrigin, sign, statement
from trufor_onnx.parity.release.verify import signed_locks
from trufor_onnx.parity.report.formats import FORMATS, JSON, write_reports
from trufor_onnx.parity.report.timing import bench_markdown
from trufor_onnx.parity.results import release_layout as layout
from trufor_onnx.parity.results.findings import Decision
from trufor_onnx.parity.results.release_layout import encode
from trufor_onnx.parity.results.rows import RUNTIME
from trufor_onnx.parity.results.sketch import bundled, unlike_report
from trufor_onnx.parity.results.timing import read_bench
from trufor_onnx.parity.results.tolerances import OwnTolerances
from trufor_onnx.sessions import package_version


@dataclass(frozen=True)
class Order:
    """What is to be released.

    Attributes:
        version: its name.
        report: the ``parity.json`` that it was measured in.
        models_dir: where ONNX files and locks are.
        out: where the folder goes.
        policy: the gate's.
        bench: the ``bench.json``, or None.
        baselines: reports of the release before.
        models: networks that the release must hold, exactly; () for what the report has.
        although: why it is released though the gate stops it, or "".
        weights_licence: terms of weights that are not the published ones.
        sign_key: a private key in PEM, or None.
        references: what `parity reference` wrote for these networks, to be shipped; None: the file
            ``references.bundle`` beside the report, where there is one.
        revision: the source's git commit, or "".
        builder: who makes it, a URI.
        trusted: a signed release whose locks are trusted, or None.
        key: the public key that must have signed it.
        tolerances: limits of a user's networks that the report was made under, or None.
    """

    version: str
    report: Path
    models_dir: Path
    out: Path
    policy: Policy
    builder: str
    bench: Path | None = None
    baselines: Sequence[Path] = ()
    models: Sequence[str] = ()
    although: str = ""
    weights_licence: str = ""
    sign_key: Path | None = None
    revision: str = ""
    trusted: Path | None = None
    key: Path | None = None
    references: Path | None = None
    tolerances: OwnTolerances | None = None

    @property
    def bundle(self) -> Path | None:
        """The bundle of references to ship, or None."""
        beside = self.report.with_name(layout.REFERENCES)
        return self.references or (beside if beside.is_file() else None)


@dataclass(frozen=True)
class Assembled:
    """What was made.

    Attributes:
        decision: the gate's.
        folder: where the release is; None where the gate stopped it.
        files: how many it holds.
        written: whether it was not there before.
    """

    decision: Decision
    folder: Path | None = None
    files: int = 0
    written: bool = False


def assemble(order: Order) -> Assembled:
    """Judge, and put the release together if it may go out.

    Raises:
        UserError: something is missing, or another release is there under this version.
    """
    folder = order.out / layout.folder_name(order.version)
    evidence = gather(
        order.report,
        models_dir=order.models_dir,
        bench=order.bench,
        baselines=order.baselines,
        signed=signed_locks(order.trusted, order.key),
    )
    decision = judge(evidence, order.policy, order.tolerances)
    if decision.exit_code and not order.although.strip():
        return Assembled(decision)
    paths = _whole_files(order, evidence)
    if order.bundle is not None:
        _require_of_report(order.bundle, evidence)
    try:
        order.out.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=order.out))
    except OSError as error:
        raise ParityError(
            f"{order.out} cannot be written ({error.strerror})", hint="name another with --out"
        ) from error
    try:
        for path in paths:
            _model(stage, path)
            _write(stage, lock_path(path).name, lock_path(path).read_bytes())
        if order.bundle is not None:
            shutil.copyfile(order.bundle, stage / layout.REFERENCES)
        _reports(order, evidence, decision, stage)
        files = _seal(order, evidence, stage)
        written = _publish(stage, folder)
    except OSError as error:
        raise ParityError(
            f"{stage} cannot be written ({error.strerror})", hint="free some space, or change --out"
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Assembled(decision, folder, files, written)


def _whole_files(order: Order, evidence: Evidence) -> list[Path]:
    """The ONNX files, which must be there with their locks, and be those that were measured."""
    if evidence.report is None:
        raise ParityError(evidence.report_problem, hint="make it anew with `parity run`")
    there = {subject.model for subject in evidence.subjects}
    if order.models and set(order.models) != there:
        raise ParityError(
            f"the report is of {', '.join(sorted(there))}, not of {', '.join(order.models)}",
            hint="run parity on exactly what is released",
        )
    found = []
    for subject in evidence.subjects:
        path = subject.path
        if path is None or subject.lock is None or not path.is_file():
            raise ParityError(
                f"{subject.name}: {path} or its lock is not there",
                hint="make merge, or export it; a release is made from whole files",
            )
        if not same_files(file_entry(path), subject.said("file")):
            raise ParityError(
                f"{path} is not the file that was measured", hint="measure it: parity run"
            )
        found.append(path)
    return found


def _model(stage: Path, path: Path) -> None:
    """The file in pieces; one that keeps tensors in files beside it as it is, with these."""
    external = external_if_onnx(path)
    if not external:
        split(path, stage / default_folder(path).name, attributes=False)
        return
    for file in (path, *external.values()):
        if not layout.is_safe(file.name):
            raise ParityError(
                f"{file.name!r} cannot be a file of a release", hint="export it again, or rename it"
            )
        shutil.copyfile(file, stage / file.name)


def _require_of_report(bundle: Path, evidence: Evidence) -> None:
    """The bundle holds outputs of each network of the report, and they are the report's.

    Raises:
        ParityError: it is of other networks, weights or pictures, or its outputs are others.
    """
    report = evidence.report
    assert report is not None  # `_whole_files` refused that
    problems = list(unlike_report(bundled(bundle), report))
    if problems:
        names = " ".join(network for network in report.models if network != RUNTIME)
        raise ParityError(
            f"{bundle}: not the references of this report: {problems[0]}",
            hint=f"make it anew, with the report's weights and images: python -m parity reference "
            f"--models {names} --out {bundle}",
        )


def _reports(order: Order, evidence: Evidence, decision: Decision, stage: Path) -> None:
    assert evidence.report is not None  # `_whole_files` refused that
    _write(stage, layout.PARITY, order.report.read_bytes())
    bench = read_bench(order.bench) if order.bench else None
    if bench is not None and order.bench is not None:
        _write(stage, layout.BENCH, order.bench.read_bytes())
        _write(stage, "bench.md", bench_markdown(bench).encode())
    # `look` is for whoever judges, with paths of that machine.
    plain = tuple(replace(finding, look="") for finding in decision.findings)
    gate = replace(decision, findings=plain, although=order.although)
    verdict = document(gate) | {"although": order.although}
    _write(stage, layout.GATE, text_of(verdict).encode())
    formats = [name for name in FORMATS if name != JSON]
    write_reports(evidence.report, stage, formats, gate=gate, bench=bench)
    terms = {
        str(subject.said("file", "name")): terms_of(subject, order.weights_licence)
        for subject in evidence.subjects
    }
    card = Card(order.version, evidence, gate, terms, bench)
    _write(stage, layout.CARD, model_card(card).encode())


def _seal(order: Order, evidence: Evidence, stage: Path) -> int:
    """Checksums, statement, signature. Returns how many files there are."""
    digests = {name: sha256_file(stage / name) for name, _ in layout.entries(stage)}
    _write(stage, layout.SUMS, encode(digests))
    digests[layout.SUMS] = sha256_file(stage / layout.SUMS)
    report = evidence.report
    tolerances = below(report.environment if report else {}, "tolerances_sha256")
    locks = [subject.lock for subject in evidence.subjects if subject.lock]
    tools = {"trufor-onnx": package_version("trufor-onnx")}
    for lock in locks:
        tools |= lock["toolchain"]
    data = statement(
        digests,
        BuildOrigin(
            version=order.version,
            models=[f"{s.model}/{s.variant}" for s in evidence.subjects],
            settings={
                "although": order.although,
                "policy_sha256": order.policy.digest,
                "tolerances_sha256": str(tolerances),
                "parity_sha256": digests[layout.PARITY],
            },
            checkpoints={  # those that the run read, not what a lock says
                str(subject.said("weights", "file")): str(subject.said("weights", "file_sha256"))
                for subject in evidence.subjects
                if subject.said("weights", "file_sha256")
            },
            revision=order.revision,
            builder=order.builder,
            tools=tools,
        ),
    )
    provenance = {layout.STATEMENT: data}
    if order.sign_key is not None:
        provenance[layout.ENVELOPE] = sign(data, order.sign_key)
    for name, content in provenance.items():
        _write(stage, name, content)
    sums = encode({name: sha256_bytes(content) for name, content in provenance.items()})
    _write(stage, layout.PROVENANCE_SUMS, sums)
    return sum(1 for _ in layout.entries(stage))


def _publish(stage: Path, folder: Path) -> bool:
    """Put the folder in its place in one step. False where the same release is there already."""
    if folder.is_symlink() or folder.exists():
        same = folder.is_dir() and not folder.is_symlink() and _content(folder) == _content(stage)
        if not same:
            raise ParityError(
                f"{folder} is there, and is not the same",
                hint="a version is released once: choose another, or remove the folder yourself",
            )
        return False
    stage.chmod(0o777 & ~current_umask())  # mkdtemp makes it private
    stage.rename(folder)
    fsync_folder(folder.parent)
    return True


def _content(folder: Path) -> dict[str, str]:
    return {
        name: sha256_file(folder / name) if kind == "file" else kind
        for name, kind in layout.entries(folder)
    }


def _write(stage: Path, name: str, data: bytes) -> None:
    if not layout.is_safe(name):
        raise ParityError(f"{name!r} cannot be a file of a release", hint="rename the model's file")
    atomic_write(stage / name, data)
