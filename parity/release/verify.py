"""Is a release folder what was released? Every fault is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.external_data import beside, whole_digest
from trufor_onnx.chunking.folders import FOLDER_SUFFIX, LOCK_SUFFIX
from trufor_onnx.chunking.manifest import MANIFEST_NAME, load
from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ChunkingError, ParityError
from trufor_onnx.files import sha256_bytes, sha256_file
from trufor_onnx.parity.release.signing import check, subjects, version_of, vouched
from trufor_onnx.parity.results import release_layout as layout
from trufor_onnx.parity.results.release_layout import parse
from trufor_onnx.parity.results.rows import from_document
from trufor_onnx.parity.results.sketch import bundled, unlike_report

LARGEST = 256 << 20  # bytes of a JSON file
VALID = "valid"  # how a signature is that holds


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        folder: the release.
        files: how many files its checksums list.
        problems: everything that is wrong; empty if nothing is.
        signature: ``valid``, ``invalid``, ``not checked: why``, or ``none``.
    """

    folder: Path
    files: int
    problems: tuple[str, ...]
    signature: str


def verify_release(folder: Path, version: str, key: Path | None = None) -> Verified:
    """Check names, kinds, digests, statement, pieces against locks, and the signature.

    Without a key the checks show damage and slips only, in the signature's file too: whoever can
    change a file can change the checksums too.

    Args:
        folder: ``models-VERSION``.
        version: what it must be a release of.
        key: a public key in PEM that must have signed it.

    Raises:
        ParityError: there is no such folder, or the key cannot be used.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ParityError(f"no folder {folder}", hint="make release VERSION=x makes it")
    found = dict(layout.entries(folder))
    problems = [
        f"{name}: a {kind} stands where a file must be"
        for name, kind in found.items()
        if kind != "file"
    ]
    data = _read(folder, layout.SUMS, found, problems)
    listed, wrong = parse(data, layout.SUMS) if data is not None else ({}, [])
    problems += wrong
    if data is not None and not listed:
        problems.append(f"{layout.SUMS}: lists nothing")
    problems += _files(folder, found, listed)
    given = _read(folder, layout.STATEMENT, found, problems)
    if given is not None:
        everything = {**listed, layout.SUMS: sha256_bytes(data or b"")}
        problems += _statement(given, everything, version)
    problems += _consistency(folder, found, listed)
    problems += _provenance(folder, found)
    signature, wrong = _signature(folder, found, given or b"", key)
    problems += wrong
    return Verified(folder, len(listed), tuple(dict.fromkeys(problems)), signature)


def _files(folder: Path, found: Mapping[str, str], listed: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(found.keys() - listed.keys() - set(layout.UNLISTED)):
        yield f"{name}: not of this release"
    yield from _changed(folder, found, listed, layout.SUMS)


def _changed(
    folder: Path, found: Mapping[str, str], listed: Mapping[str, str], sums: str
) -> Iterator[str]:
    for name in sorted(listed.keys() - found.keys()):
        yield f"{name}: missing"
    for name in sorted(listed.keys() & found.keys()):
        if found[name] != "file":
            continue
        try:
            digest = sha256_file(folder / name)
        except OSError as error:
            yield f"{name}: cannot be read ({error.strerror})"
            continue
        if digest != listed[name]:
            yield f"{name}: changed (SHA-256 {digest[:16]}, in {sums} {listed[name][:16]})"


def _statement(data: bytes, digests: Mapping[str, str], version: str) -> Iterator[str]:
    try:
        document = parse_json(data)
        stated, said = subjects(document), version_of(document)
    except (ValueError, RecursionError) as error:
        yield f"{layout.STATEMENT}: {error}"
        return
    if said != version:
        yield f"{layout.STATEMENT}: states version {said}, not {version}"
    for name in sorted(stated.keys() | digests.keys()):
        if stated.get(name) != digests.get(name):
            yield f"{layout.STATEMENT}: states another {name} than {layout.SUMS}"


def _consistency(
    folder: Path, found: Mapping[str, str], listed: Mapping[str, str]
) -> Iterator[str]:
    """Pieces, locks and report are of one release, whoever wrote the checksums."""
    report = _json(folder, layout.PARITY, found)
    measured = {
        str(file.get("name")): whole_digest(file)
        for about in _objects(report.get("models"))
        for entry in _objects(about.get("variants")) or [about]
        for file in _objects({"file": entry.get("file")})
    }
    if found.get(layout.REFERENCES) == "file":
        yield from _references(folder, report)
    locks = [name for name in listed if name.endswith(LOCK_SUFFIX)]
    if not locks:
        yield "no lock: the release holds no network"
    whole: set[str] = set()  # locks of files that are not in pieces
    for name in locks:
        file = _json(folder, name, found).get("file")
        file = file if isinstance(file, dict) else {}
        pieces = name.removesuffix(LOCK_SUFFIX) + FOLDER_SUFFIX
        if file.get("external"):
            yield from _whole(name, listed, file)
            whole.add(name)
        else:
            yield from _pieces(folder, pieces, found, listed, file)
        if measured.get(str(file.get("name"))) != whole_digest(file):
            yield f"{name}: describes another file than {layout.PARITY} measured"
    manifests = {name for name in listed if name.endswith(f"/{MANIFEST_NAME}")}
    expected = {
        name.removesuffix(LOCK_SUFFIX) + f"{FOLDER_SUFFIX}/{MANIFEST_NAME}"
        for name in locks
        if name not in whole
    }
    for name in sorted(manifests - expected):
        yield f"{name}: pieces without a lock"


def _whole(lock: str, listed: Mapping[str, str], file: Mapping[str, Any]) -> Iterator[str]:
    """A file that is no pieces, and those beside it that hold its tensors."""
    expected = {str(file.get("name")): str(file.get("sha256")), **beside(file)}
    for name, sha256 in expected.items():
        if listed.get(name) != sha256:
            yield f"{name}: missing, or not the file that {lock} describes"


def _references(folder: Path, report: dict[str, Any]) -> Iterator[str]:
    """The bundle holds what the report says that the networks compute; no torch is needed."""
    try:
        known = from_document(report, layout.PARITY)
        for problem in unlike_report(bundled(folder / layout.REFERENCES), known):
            yield f"{layout.REFERENCES}: {problem}"
    except ParityError as error:
        yield f"{layout.REFERENCES}: {error.problem}"


def _pieces(
    folder: Path,
    pieces: str,
    found: Mapping[str, str],
    listed: Mapping[str, str],
    file: Mapping[str, Any],
) -> Iterator[str]:
    manifest_name = f"{pieces}/{MANIFEST_NAME}"
    if found.get(manifest_name) != "file":
        yield f"{manifest_name}: missing"
        return
    try:
        manifest = load(folder / manifest_name)
    except ChunkingError as error:
        yield f"{manifest_name}: {error.problem}"
        return
    if (manifest.file.name, manifest.file.sha256) != (file.get("name"), file.get("sha256")):
        yield f"{manifest_name}: of another release than its lock"
    there = {name for name in found if name.startswith(f"{pieces}/")} - {manifest_name}
    wanted = {f"{pieces}/{name}" for name in manifest.piece_names}
    for name in sorted(wanted - there):
        yield f"{name}: missing, the manifest lists it"
    for name in sorted(there - wanted):
        yield f"{name}: a piece of no file"
    for name in sorted(wanted & there):
        # The content was compared with the checksums; so these need only fit the name.
        if listed.get(name, "unlisted") not in name:
            yield f"{name}: its content is not what its name says"


def _provenance(folder: Path, found: Mapping[str, str]) -> Iterator[str]:
    """Statement and signature are those that were released, down to the bit.

    Without a key nothing else can tell a flipped bit in a signature.
    """
    problems: list[str] = []
    data = _read(folder, layout.PROVENANCE_SUMS, found, problems)
    yield from problems
    if data is None:
        return
    listed, wrong = parse(data, layout.PROVENANCE_SUMS)
    yield from wrong
    parts = {layout.STATEMENT, layout.ENVELOPE}
    for name in sorted(listed.keys() - parts):
        yield f"{layout.PROVENANCE_SUMS}: lists {name}, which is no part of the provenance"
    for name in sorted(parts & found.keys() - listed.keys()):
        yield f"{name}: not in {layout.PROVENANCE_SUMS}"
    known = {name: listed[name] for name in parts & listed.keys()}
    yield from _changed(folder, found, known, layout.PROVENANCE_SUMS)


def _signature(
    folder: Path, found: Mapping[str, str], statement: bytes, key: Path | None
) -> tuple[str, list[str]]:
    if found.get(layout.ENVELOPE) != "file":
        wrong = f"{layout.ENVELOPE}: missing, so nobody has signed this release"
        return "none", [] if key is None else [wrong]
    problems: list[str] = []
    envelope = _read(folder, layout.ENVELOPE, found, problems)
    if envelope is not None:
        wrong = vouched(envelope, statement) if key is None else check(envelope, statement, key)
        if wrong:
            problems.append(f"{layout.ENVELOPE}: {wrong}")
    if problems:
        return "invalid", problems
    return ("not checked: no key was named" if key is None else "valid"), []


def _read(folder: Path, name: str, found: Mapping[str, str], problems: list[str]) -> bytes | None:
    """A file that must be there, as no link."""
    if found.get(name) != "file":
        problems.append(f"{name}: missing")
        return None
    path = folder / name
    if path.stat().st_size > LARGEST:
        problems.append(f"{name}: too large")
        return None
    return path.read_bytes()


def _json(folder: Path, name: str, found: Mapping[str, str]) -> dict[str, Any]:
    """A JSON object, or an empty one: that it is right is what its digest says."""
    try:
        document = parse_json(_read(folder, name, found, []) or b"")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _objects(given: object) -> list[dict[str, Any]]:
    values = given.values() if isinstance(given, dict) else ()
    return [value for value in values if isinstance(value, dict)]


def signed_locks(release: Path | None, key: Path | None) -> dict[str, str]:
    """SHA-256 of each lock that a signed release holds, with the release's name.

    Raises:
        ParityError: only one of the two is named, or the release is not what that key signed.
    """
    if release is None and key is None:
        return {}
    if release is None or key is None:
        raise ParityError(
            "a release is trusted by its signature", hint="give both: --release DIR --key PUB.pem"
        )
    name = release.absolute().name
    found = verify_release(release, layout.version_of(release), key)
    if found.problems or found.signature != VALID:
        wrong = found.problems[0] if found.problems else f"signature: {found.signature}"
        raise ParityError(
            f"{release}: its locks cannot be trusted: {wrong}",
            hint=f"python -m parity release-verify {release} --key {key}",
        )
    return {
        sha256_file(release / file): name
        for file, _ in layout.entries(release)
        if file.endswith(LOCK_SUFFIX)
    }
