"""A release folder: what is in it, the same bytes twice, and what is not released."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trufor_onnx.chunking.merging import merge
from trufor_onnx.documents import DIGEST, digest_of
from trufor_onnx.errors import ParityError
from trufor_onnx.export.lock import encode, file_entry, lock_path
from trufor_onnx.export.weights import download as publication
from trufor_onnx.parity.cli import main
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.release.assemble import Order, assemble
from trufor_onnx.parity.release.verify import signed_locks, verify_release

Prepare = Callable[..., Order]


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_in_it(released: Path, tmp_path: Path) -> None:
    names = set(content(released))
    assert {"MODEL_CARD.md", "SHA256SUMS", "gate.json", "net.lock.json", "parity.json"} <= names
    assert {"net.chunks/manifest.json", "parity.md", "provenance.intoto.json"} <= names
    page = (released / "parity.html").read_text()
    assert "No decision of the gate" not in page and "a quarter of the best-known export" in page
    merge(released / "net.chunks", tmp_path / "merged.onnx")
    original = (tmp_path / "models_0" / "net.onnx").read_bytes()
    assert (tmp_path / "merged.onnx").read_bytes() == original
    assert released.stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_twice_the_same_bytes(order: Prepare, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    given = order(sign_key=keys[0])
    first = assemble(given)
    other = Order(**{**vars(given), "out": tmp_path / "elsewhere"})
    second = assemble(other)
    assert first.folder and second.folder
    assert content(first.folder) == content(second.folder)
    assert "provenance.dsse.json" in content(first.folder)


def test_nothing_of_the_machine_is_in_it(released: Path, tmp_path: Path) -> None:
    for name, data in content(released).items():
        assert str(tmp_path).encode() not in data, name


def test_the_same_release_again_changes_nothing(order: Prepare, released: Path) -> None:
    before = content(released)
    again = assemble(order())
    assert (again.folder, again.written) == (released, False)
    assert content(released) == before


@pytest.mark.usefixtures("released")
def test_another_release_of_one_version_is_refused(order: Prepare) -> None:
    with pytest.raises(ParityError, match="is there, and is not the same"):
        assemble(order(seed=1))


def test_the_statement_is_over_every_file(released: Path) -> None:
    document = json.loads((released / "provenance.intoto.json").read_text())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    names = {subject["name"] for subject in document["subject"]}
    assert names == set(content(released)) - {"provenance.intoto.json", "provenance.sha256"}
    build = document["predicate"]["buildDefinition"]
    assert build["externalParameters"] == {"version": "1.0", "models": ["net/portable"]}
    assert build["resolvedDependencies"] == [{"name": "trained.th", "digest": {"sha256": "e" * 64}}]
    assert document["predicate"]["runDetails"]["builder"]["id"] == "urn:test"


def test_the_card_says_what_counts(released: Path) -> None:
    card = (released / "MODEL_CARD.md").read_text()
    for text in (
        "trained.th",
        "ours, for tests",
        "pixels / 256.0",
        "1.000e-06",
        "10 different images",
    ):
        assert text in card
    assert "None" not in card


def spoil(order: Order) -> None:
    """The lock becomes another one's: `digests` fails, and the file is still whole."""
    lock = order.models_dir / "net.lock.json"
    lock.write_text(lock.read_text().replace('"opset": 17', '"opset": 17').replace("dddd", "cccc"))


def test_a_gate_that_fails_releases_nothing(order: Prepare, tmp_path: Path) -> None:
    given = order()
    spoil(given)
    made = assemble(given)
    assert (made.folder, made.decision.exit_code) == (None, 1)
    assert made.decision.stopped_by == ("digests",)
    assert not (tmp_path / "dist").exists()


def test_a_release_that_somebody_insists_on_says_so(order: Prepare) -> None:
    given = order(although="the lock is being mended")
    spoil(given)
    folder = assemble(given).folder
    assert folder is not None
    assert json.loads((folder / "gate.json").read_text())["stopped_by"] == ["digests"]
    assert "the lock is being mended" in (folder / "MODEL_CARD.md").read_text()
    assert "the lock is being mended" in (folder / "provenance.intoto.json").read_text()


def test_weights_without_terms_are_not_released(order: Prepare, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="under which terms") as caught:
        assemble(order(weights_licence=""))
    assert "--weights-licence" in caught.value.hint
    assert list((tmp_path / "dist").iterdir()) == []


def test_the_publisher_is_named_for_a_published_digest_only(
    order: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = assemble(order()).folder / "MODEL_CARD.md"  # type: ignore[operator]
    assert "GRIP" not in card.read_text()
    assert f"weights: trained.th, SHA-256 {'e' * 64}, origin not known" in card.read_text()
    monkeypatch.setitem(publication.PUBLISHED, "e" * 64, "trained.th")
    folder = assemble(order("2.0", weights_licence="")).folder
    assert folder is not None
    text = (folder / "MODEL_CARD.md").read_text()
    assert "published by GRIP-UNINA (known by its SHA-256)" in text
    assert "Terms: The TruFor weights are by GRIP-UNINA" in text


def test_a_file_that_is_not_proven_is_nobody_s(
    order: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(publication.PUBLISHED, "e" * 64, "trained.th")
    given = order(although="a test")
    change_report(given.report, proof="as its lock says", proof_reason="nothing at hand")
    folder = assemble(given).folder
    assert folder is not None
    text = (folder / "MODEL_CARD.md").read_text()
    assert "published by" not in text and "origin not known" in text
    with pytest.raises(ParityError, match="not a published one"):
        assemble(replace(given, version="3", weights_licence=""))


def change_report(path: Path, **about: str) -> None:
    """Change what a report says of the network, and make its digest anew."""
    document = json.loads(path.read_text())
    for entry in (document["models"]["net"], document["models"]["net"]["variants"]["portable"]):
        entry.update(about)
    document[DIGEST] = digest_of(document)
    path.write_text(json.dumps(document))


def test_a_signed_release_s_lock_is_trusted(
    order: Prepare, keys: tuple[Path, Path], other_keys: tuple[Path, Path]
) -> None:
    private, public = keys
    given = order(sign_key=private)
    signed = assemble(given).folder
    assert signed is not None

    def found(key: Path) -> str:
        evidence = gather(
            given.report, models_dir=given.models_dir, signed=signed_locks(signed, key)
        )
        return evidence.subjects[0].signed_by

    assert found(public) == "models-1.0"
    with pytest.raises(ParityError, match=r"its locks cannot be trusted: .*another key"):
        found(other_keys[1])
    with pytest.raises(ParityError, match="trusted by its signature"):
        signed_locks(signed, None)
    lock = given.models_dir / "net.lock.json"
    lock.write_text(lock.read_text() + " ")
    assert found(public) == ""


def test_a_file_with_its_tensors_beside_it_is_released_with_them(
    order: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = order()
    path, data = given.models_dir / "net.onnx", given.models_dir / "net.onnx.data"
    data.write_bytes(b"weights")
    for module in (
        "trufor_onnx.parity.release.assemble.external_if_onnx",
        "trufor_onnx.export.lock.external_files",
    ):
        monkeypatch.setattr(module, lambda _: {data.name: data})
    lock = json.loads(lock_path(path).read_text()) | {"file": file_entry(path)}
    lock_path(path).write_bytes(encode(lock))
    change_report(given.report, file=file_entry(path))  # type: ignore[arg-type]
    folder = assemble(given).folder
    assert folder is not None
    assert {"net.onnx", "net.onnx.data"} <= content(folder).keys()
    assert verify_release(folder, "1.0").problems == ()
    (folder / "net.onnx.data").write_bytes(b"others!")
    wrong = verify_release(folder, "1.0").problems
    assert any("net.onnx.data: changed" in problem for problem in wrong)


@pytest.mark.parametrize("version", ["", "../1", "1/2", ".1", "1..2", "a b", "x" * 65])
def test_a_version_that_is_no_name_is_refused(order: Prepare, version: str) -> None:
    with pytest.raises(ParityError, match="is no version"):
        assemble(order(version=version))


def test_other_models_than_those_asked_for_are_refused(order: Prepare) -> None:
    with pytest.raises(ParityError, match="the report is of net"):
        assemble(order(models=("net", "other")))


def test_a_file_that_is_gone_is_named(order: Prepare) -> None:
    given = order(although="pieces would do for the gate")
    (given.models_dir / "net.onnx").unlink()
    with pytest.raises(ParityError, match=r"net\.onnx or its lock is not there"):
        assemble(given)


def test_a_key_that_is_none_is_refused(order: Prepare, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    (tmp_path / "bad.pem").write_text("no key")
    with pytest.raises(ParityError, match="no private Ed25519 key") as caught:
        assemble(order(sign_key=tmp_path / "bad.pem"))
    assert "openssl" in caught.value.hint
    assert list((tmp_path / "dist").iterdir()) == []


def test_the_command_line(
    order: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = order()
    options = ["--report", given.report, "--onnx-models", given.models_dir, "--out", tmp_path / "d"]
    arguments = ["release", "2.0", *map(str, options), "--weights-licence", "ours"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "models-2.0: " in captured.out and "gate: pass" in captured.err
    assert main(["release-verify", str(tmp_path / "d" / "models-2.0")]) == 0
    assert "as released; signature: none (not signed)" in capsys.readouterr().out
    assert main(["release-verify", str(tmp_path / "d" / "models-2.0"), "--version", "3"]) == 1
    assert "states version 2.0, not 3" in capsys.readouterr().err
    spoil(given)
    assert main([*arguments, "--out", str(tmp_path / "e")]) == 1
    assert "stopped by: digests" in capsys.readouterr().err
    assert main(["release-verify", str(tmp_path / "none")]) == 2
