"""A release folder that was touched is refused, and what was touched is named."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.files import sha256_file
from trufor_onnx.parity.release.assemble import Order, assemble
from trufor_onnx.parity.release.verify import verify_release
from trufor_onnx.parity.results import release_layout as layout
from trufor_onnx.parity.results.release_layout import encode, parse

Keys = tuple[Path, Path]


def problems(folder: Path, key: Path | None = None) -> str:
    return "\n".join(verify_release(folder, "1.0", key).problems)


def seal_again(folder: Path) -> None:
    """Checksums and statement made anew, as who changes a file on purpose can."""
    names = [name for name, _ in layout.entries(folder) if name not in layout.UNLISTED]
    digests = {name: sha256_file(folder / name) for name in names}
    (folder / "SHA256SUMS").write_bytes(encode(digests))
    digests["SHA256SUMS"] = sha256_file(folder / "SHA256SUMS")
    path = folder / "provenance.intoto.json"
    document = json.loads(path.read_text())
    document["subject"] = [{"name": n, "digest": {"sha256": d}} for n, d in digests.items()]
    path.write_text(json.dumps(document))
    seal_provenance_again(folder)


def seal_provenance_again(folder: Path) -> None:
    """The checksums of statement and signature made anew; the signature is over it, if wanted."""
    names = ("provenance.intoto.json", "provenance.dsse.json")
    sums = {name: sha256_file(folder / name) for name in names if (folder / name).exists()}
    (folder / "provenance.sha256").write_bytes(encode(sums))


def test_what_was_released_is_right(released: Path) -> None:
    found = verify_release(released, "1.0")
    assert found.problems == ()
    assert found.files == len(list(layout.entries(released))) - 3
    assert found.signature == "none"


def test_one_flipped_bit_in_any_file_is_named(released: Path) -> None:
    for name, _ in list(layout.entries(released)):
        path = released / name
        data = path.read_bytes()
        for position in (0, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            assert name in problems(released), (name, position)
        path.write_bytes(data)
    assert problems(released) == ""


@pytest.mark.parametrize("name", ["more.txt", "net.chunks/more.chunk", ".hidden", "new/file"])
def test_one_file_more_is_named(released: Path, name: str) -> None:
    (released / name).parent.mkdir(exist_ok=True)
    (released / name).write_text("x")
    assert f"{name}: not of this release" in problems(released)


def test_an_empty_folder_more_is_named(released: Path) -> None:
    (released / "empty").mkdir()
    assert "empty: a empty folder" in problems(released)


def test_one_file_less_is_named(released: Path) -> None:
    for name, _ in list(layout.entries(released)):
        path = released / name
        data = path.read_bytes()
        path.unlink()
        assert f"{name}: missing" in problems(released)
        path.write_bytes(data)
    assert problems(released) == ""


def older(order: Callable[..., Order]) -> Path:
    folder = assemble(order(version="0.9", seed=1)).folder
    assert folder is not None
    return folder / "net.chunks"


def test_an_older_manifest_is_named(released: Path, order: Callable[..., Order]) -> None:
    shutil.copy(older(order) / "manifest.json", released / "net.chunks")
    assert "net.chunks/manifest.json: changed" in problems(released)


def test_an_older_manifest_with_its_pieces_and_new_checksums_is_named(
    released: Path, order: Callable[..., Order]
) -> None:
    shutil.rmtree(released / "net.chunks")
    shutil.copytree(older(order), released / "net.chunks")
    seal_again(released)
    assert problems(released) == "net.chunks/manifest.json: of another release than its lock"


def test_an_older_lock_with_its_pieces_is_named_too(
    released: Path, order: Callable[..., Order]
) -> None:
    pieces = older(order)
    shutil.rmtree(released / "net.chunks")
    shutil.copytree(pieces, released / "net.chunks")
    shutil.copy(pieces.parent / "net.lock.json", released)
    seal_again(released)
    assert problems(released) == "net.lock.json: describes another file than parity.json measured"


def test_an_older_release_under_a_new_name_is_named(order: Callable[..., Order]) -> None:
    old = older(order).parent
    new = old.with_name("models-1.0")
    old.rename(new)
    assert problems(new) == "provenance.intoto.json: states version 0.9, not 1.0"


@pytest.mark.parametrize("name", ["SHA256SUMS", "parity.json", "net.chunks/manifest.json"])
def test_a_link_in_place_of_a_file_is_named(released: Path, tmp_path: Path, name: str) -> None:
    shutil.move(released / name, tmp_path / "elsewhere")
    (released / name).symlink_to(tmp_path / "elsewhere")
    assert f"{name}: a link stands where a file must be" in problems(released)


def test_a_link_in_place_of_the_pieces_is_named(released: Path, tmp_path: Path) -> None:
    shutil.move(released / "net.chunks", tmp_path / "elsewhere")
    (released / "net.chunks").symlink_to(tmp_path / "elsewhere")
    assert "net.chunks: a link stands where a file must be" in problems(released)


def test_a_pipe_is_named_and_not_waited_for(released: Path) -> None:
    (released / "parity.md").unlink()
    os.mkfifo(released / "parity.md")
    assert "parity.md: a device stands where a file must be" in problems(released)


@pytest.mark.parametrize(
    "name",
    [
        "../parity.json",
        "/etc/passwd",
        "a/../../b",
        "a//b",
        "./a",
        "a\\b",
        "a/b/c",
        "a b",
        ".ssh/id",
    ],
)
def test_a_name_that_leads_outside_is_refused(released: Path, name: str) -> None:
    path = released / "SHA256SUMS"
    path.write_bytes(path.read_bytes() + f"{'0' * 64}  {name}\n".encode())
    assert "outside of the folder" in problems(released)


def test_checksums_in_another_form_are_refused() -> None:
    digest = "0" * 64
    for data in (
        f"{digest}  b\n{digest}  a\n",
        f"{digest}  a\n{digest}  a\n",
        f"{digest}  a\r\n",
        f"{digest} *a\n",
        f"{digest.upper()}A  a\n",
        "\n",
    ):
        assert parse(data.encode(), "SUMS")[1], data
    assert parse(f"{digest}  a\n".encode(), "SUMS") == ({"a": digest}, [])


def test_no_checksums_are_no_release(released: Path) -> None:
    (released / "SHA256SUMS").write_bytes(b"")
    assert "SHA256SUMS: lists nothing" in problems(released)


def signed(order: Callable[..., Order], keys: Keys) -> Path:
    folder = assemble(order(sign_key=keys[0])).folder
    assert folder is not None
    return folder


def test_a_signature_is_checked_by_the_public_key(order: Callable[..., Order], keys: Keys) -> None:
    folder = signed(order, keys)
    found = verify_release(folder, "1.0", keys[1])
    assert (found.problems, found.signature) == ((), "valid")
    assert verify_release(folder, "1.0").signature == "not checked: no key was named"


def test_a_signature_stops_who_makes_the_checksums_anew(
    order: Callable[..., Order], keys: Keys
) -> None:
    folder = signed(order, keys)
    (folder / "MODEL_CARD.md").write_text("Best model ever.")
    seal_again(folder)
    assert "what was signed is another statement" in problems(folder)
    assert "what was signed is another statement" in problems(folder, keys[1])
    envelope = json.loads((folder / "provenance.dsse.json").read_text())
    statement = (folder / "provenance.intoto.json").read_bytes()
    envelope["payload"] = base64.b64encode(statement).decode()
    write_envelope(folder, envelope)
    assert problems(folder) == ""  # nothing but a key can tell
    assert problems(folder, keys[1]) == "provenance.dsse.json: the signature does not fit"


def write_envelope(folder: Path, envelope: object) -> None:
    text = json.dumps(envelope, indent=1, sort_keys=True) + "\n"
    (folder / "provenance.dsse.json").write_text(text)
    seal_provenance_again(folder)


def test_any_flipped_bit_of_a_signature_is_found_without_a_key(
    order: Callable[..., Order], keys: Keys
) -> None:
    folder = signed(order, keys)
    for name in ("provenance.dsse.json", "provenance.sha256"):
        path = folder / name
        data = path.read_bytes()
        for position in range(0, len(data), 41 if name.endswith("json") else 1):
            for bit in (1, 32):
                flipped = bytes([data[position] ^ bit])
                path.write_bytes(data[:position] + flipped + data[position + 1 :])
                assert "provenance." in problems(folder), (name, position, bit)
        for size in (0, 1, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:size])
            assert "provenance." in problems(folder), (name, size)
        path.write_bytes(data)
    assert problems(folder) == ""


def test_a_flipped_bit_where_only_a_checksum_can_tell(
    order: Callable[..., Order], keys: Keys
) -> None:
    """In the signature's own bytes, in a form that is right: a key or a digest must tell."""
    folder = signed(order, keys)
    envelope = json.loads((folder / "provenance.dsse.json").read_text())
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[20] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    text = json.dumps(envelope, indent=1, sort_keys=True) + "\n"
    (folder / "provenance.dsse.json").write_text(text)
    assert problems(folder).startswith("provenance.dsse.json: changed (SHA-256")


def test_a_flipped_bit_of_a_statement_that_nobody_signed(released: Path) -> None:
    path = released / "provenance.intoto.json"
    path.write_text(path.read_text().replace("urn:test", "urn:tess"))
    assert problems(released).startswith("provenance.intoto.json: changed (SHA-256")


def test_a_signature_that_was_taken_away_or_added_is_named(
    order: Callable[..., Order], keys: Keys, tmp_path: Path
) -> None:
    folder = signed(order, keys)
    (folder / "provenance.dsse.json").rename(tmp_path / "away")
    assert problems(folder) == "provenance.dsse.json: missing"
    seal_provenance_again(folder)
    assert problems(folder) == ""
    (tmp_path / "away").rename(folder / "provenance.dsse.json")
    assert problems(folder) == "provenance.dsse.json: not in provenance.sha256"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"payloadType": "text/plain"}, "a signature of something else"),
        ({"signatures": []}, "nobody has signed"),
        ({"signatures": [{"keyid": "a" * 64, "sig": "AAAA"}]}, "3 bytes, not 64"),
        ({"signatures": [{"keyid": "key", "sig": "A" * 86 + "=="}]}, "a key without its digest"),
        ({"payload": "e30="}, "what was signed is another statement"),
        ({"payload": "e3 0="}, "not a signature"),
        ({"more": 1}, "not in the form that a release has"),
    ],
)
def test_an_envelope_that_is_not_as_released_is_named_without_a_key(
    order: Callable[..., Order], keys: Keys, changes: dict[str, object], problem: str
) -> None:
    folder = signed(order, keys)
    envelope = json.loads((folder / "provenance.dsse.json").read_text())
    write_envelope(folder, envelope | changes)  # with checksums that fit
    assert problem in problems(folder)
    assert "provenance.dsse.json: " in problems(folder, keys[1])


def test_another_key_is_named(order: Callable[..., Order], keys: Keys, other_keys: Keys) -> None:
    folder = signed(order, keys)
    assert "signed by another key" in problems(folder, other_keys[1])
    resigned = json.loads((folder / "provenance.dsse.json").read_text())
    other = signed(lambda **_: order(version="1.0", out=folder.parent / "o", **_), other_keys)
    theirs = json.loads((other / "provenance.dsse.json").read_text())
    resigned["signatures"][0]["sig"] = theirs["signatures"][0]["sig"]
    (folder / "provenance.dsse.json").write_text(json.dumps(resigned))
    assert "the signature does not fit" in problems(folder, keys[1])


def test_a_missing_signature_is_named(released: Path, keys: Keys) -> None:
    assert "nobody has signed this release" in problems(released, keys[1])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"payload": "%"}', "[" * 100_000])
def test_what_is_no_signature_is_named(released: Path, keys: Keys, text: str) -> None:
    (released / "provenance.dsse.json").write_text(text)
    assert "not a signature" in problems(released, keys[1])
    assert "not a signature" in problems(released)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[" * 100_000])
def test_what_is_no_statement_is_named(released: Path, text: str) -> None:
    (released / "provenance.intoto.json").write_text(text)
    assert "provenance.intoto.json: " in problems(released)


@pytest.mark.parametrize("odd", [3, None, [], "x", {}, {"a": 3}, {"a": {"file": 3}}, [[]]])
def test_documents_of_another_shape_are_named(released: Path, odd: object) -> None:
    report = released / layout.PARITY
    whole = report.read_bytes()
    for edited in (odd, json.loads(whole) | {"models": odd}):
        report.write_text(json.dumps(edited))
        assert "describes another file than parity.json measured" in problems(released)
    report.write_bytes(whole)
    path = released / layout.STATEMENT
    statement = json.loads(path.read_bytes())
    for subject in (odd, [{"name": "x", "digest": odd}]):
        path.write_text(json.dumps(statement | {"subject": subject}))
        assert layout.STATEMENT in problems(released)


def test_tensors_beside_a_file_that_the_report_did_not_measure_are_named(released: Path) -> None:
    path = next(released.glob("*.lock.json"))
    document = json.loads(path.read_bytes())
    data = released / f"{document['file']['name']}.data"
    data.write_bytes(b"other weights")
    about = {"name": data.name, "size_bytes": 13, "sha256": sha256_file(data)}
    document["file"]["external"] = [about]
    path.write_text(json.dumps(document))
    seal_again(released)
    assert f"{path.name}: describes another file than parity.json measured" in problems(released)
