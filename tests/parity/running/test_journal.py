"""Finished cases survive; a row is used under exactly the conditions of its measurement."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parity.conftest import TINY_NP
from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.parity.inputs.cases import Case
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.results.rows import Row, Status
from trufor_onnx.parity.running import journal as fingerprint
from trufor_onnx.parity.running.journal import NAME, Journal, case_key, model_fingerprint
from trufor_onnx.providers import Provider

KEY, OTHER = "k" * 64, "o" * 64
CPU = Provider("cpu", required=True)
DOCUMENT: dict[str, Any] = {
    "file": {"sha256": "a"},
    "weights": {"digest": "b"},
    "preprocessing": {"scale": 256.0},
    "torch32": {"convolution_kernel": "onednn", "threads": 2},
}


@pytest.fixture
def rows(make: Any) -> list[Row]:
    return [make.row(), make.row(output="score", outcome={"flipped": False, "difference": 0.25})]


def write(folder: Path, *entries: tuple[str, list[Row]]) -> bytes:
    with Journal(folder) as journal:
        for key, rows in entries:
            journal.add(key, rows)
    return (folder / NAME).read_bytes()


def test_what_was_added_is_found_by_the_next_run(tmp_path: Path, rows: list[Row]) -> None:
    write(tmp_path / "new" / "folder", (KEY, rows))
    with Journal(tmp_path / "new" / "folder") as journal:
        assert journal.find(KEY) == rows
        assert journal.find(OTHER) is None
        assert journal.find("") is None
        assert (journal.resumed, journal.added) == (1, 0)


def test_a_line_is_on_disk_as_soon_as_it_is_added(tmp_path: Path, rows: list[Row]) -> None:
    with Journal(tmp_path) as journal:
        journal.add(KEY, rows)
        with Journal(tmp_path) as other:  # the first is still open, as in a killed process
            assert other.find(KEY) == rows


def test_a_failure_is_kept_and_what_could_not_be_compared_is_tried_again(
    tmp_path: Path, make: Any
) -> None:
    failed, error = make.row(status=Status.FAIL), make.row(status=Status.ERROR)
    write(tmp_path, (KEY, [failed]), (OTHER, [failed, error]))
    with Journal(tmp_path) as journal:
        assert journal.find(KEY) == [failed]
        assert journal.find(OTHER) is None


def test_nothing_is_kept_without_a_key_or_rows(tmp_path: Path, rows: list[Row]) -> None:
    with Journal(tmp_path) as journal:
        journal.add("", rows)
        journal.add(KEY, [])
        assert journal.added == 0
    assert not (tmp_path / NAME).exists()


def test_a_run_may_begin_anew(tmp_path: Path, rows: list[Row]) -> None:
    write(tmp_path, (KEY, rows))
    with Journal(tmp_path, resume=False) as journal:
        assert journal.find(KEY) is None
        journal.add(OTHER, rows)
    with Journal(tmp_path) as journal:
        assert (journal.find(KEY), journal.find(OTHER)) == (None, rows)


def test_a_finished_run_leaves_no_journal(tmp_path: Path, rows: list[Row]) -> None:
    with Journal(tmp_path) as journal:
        journal.add(KEY, rows)
        journal.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_line_that_was_cut_off_does_not_spoil_the_next(
    tmp_path: Path, rows: list[Row], cut: int
) -> None:
    whole = write(tmp_path, (KEY, rows), (OTHER, rows))
    (tmp_path / NAME).write_bytes(whole[:-cut])
    with Journal(tmp_path) as journal:
        assert journal.find(KEY) == rows
        assert (journal.find(OTHER) is None) == (cut > 1)  # without its newline it is still whole
        journal.add("n" * 64, rows)
    with Journal(tmp_path) as journal:
        assert journal.find("n" * 64) == rows


@settings(max_examples=60)
@given(data=st.data())
def test_any_damage_to_a_line_makes_it_absent(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, make: Any
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    good = [make.row()]
    whole = bytearray(write(folder, (KEY, good)))
    place = data.draw(st.integers(0, len(whole) - 2))
    whole[place] ^= data.draw(st.integers(1, 255))
    (folder / NAME).write_bytes(whole)
    with Journal(folder) as journal:
        found = journal.find(KEY)
    assert found is None or found == good  # never other rows


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"key": "%b", "rows": [], "sha256": "0"}' % KEY.encode(),
        b'{"key": "%b", "rows": NaN, "sha256": "0"}' % KEY.encode(),
    ],
    ids=range(8),
)
def test_lines_that_are_none_are_ignored_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    (tmp_path / NAME).write_bytes(line + b"\n")
    with caplog.at_level(logging.WARNING), Journal(tmp_path) as journal:
        assert journal.find(KEY) is None
    assert ("1 damaged lines" in caplog.text) == bool(line)


def test_a_sound_line_whose_rows_are_none_is_not_used(
    tmp_path: Path, rows: list[Row], caplog: pytest.LogCaptureFixture
) -> None:
    """As another version of this program may have written it."""
    from trufor_onnx.parity.running.journal import _digest

    content: dict[str, Any] = {"key": KEY, "rows": [rows[0].document() | {"status": "passed"}]}
    line = json.dumps(content | {"sha256": _digest(content)})
    (tmp_path / NAME).write_text(line + "\n")
    with caplog.at_level(logging.WARNING), Journal(tmp_path) as journal:
        assert journal.find(KEY) is None
        assert journal.resumed == 0
    assert "a line is not used" in caplog.text


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ParityError, match="cannot be written") as caught:
        Journal(tmp_path / "file" / "out")
    assert "--out" in caught.value.hint


def test_a_full_disk_is_an_error(tmp_path: Path, rows: list[Row]) -> None:
    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    with Journal(tmp_path) as journal:
        journal._stream.close()
        journal._stream = Full()  # type: ignore[assignment] # a fake
        with pytest.raises(ParityError, match="No space left on device"):
            journal.add(KEY, rows)


def test_what_is_told_to_who_stopped_a_run(tmp_path: Path, rows: list[Row]) -> None:
    with Journal(tmp_path) as journal:
        assert "nothing was kept" in journal.interrupted()
        journal.add(KEY, rows)
        assert "1 finished cases" in journal.interrupted()
        assert str(journal.path) in journal.interrupted()


def test_pictures_are_kept_with_their_case(tmp_path: Path, rows: list[Row]) -> None:
    with Journal(tmp_path) as journal:
        journal.add(KEY, rows, [{"any": "thing"}])
        journal.add(OTHER, rows)
    with Journal(tmp_path) as journal:
        assert journal.find(KEY) == journal.find(OTHER) == rows
        assert journal.pictures(KEY) == [{"any": "thing"}]
        assert journal.pictures(OTHER) == journal.pictures("") == []


def test_pictures_that_are_too_long_are_left_out_and_the_rows_stay(
    tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trufor_onnx.parity.running.journal.LARGEST_LINE", 4000)
    with Journal(tmp_path) as journal:
        journal.add(KEY, rows, ["x" * 4000])
    with Journal(tmp_path) as journal:
        assert journal.find(KEY) == rows
        assert journal.pictures(KEY) == []


def of(
    document: dict[str, Any] | None = None,
    *,
    threads: int = 0,
    providers: Any = (CPU,),
    specs: tuple[ModelSpec, ...] = (),
) -> str:
    return model_fingerprint(document or DOCUMENT, providers, specs=specs, threads=threads)


def test_the_same_conditions_give_the_same_digest() -> None:
    assert of() == of({key: DOCUMENT[key] for key in reversed(DOCUMENT)})
    assert len(of()) == 64


@pytest.mark.parametrize("key", DOCUMENT)
def test_everything_in_the_model_s_document_counts(key: str) -> None:
    assert of(DOCUMENT | {key: {"sha256": "another"}}) != of()


def test_threads_and_providers_count() -> None:
    others = [
        of(threads=1),
        of(providers=(replace(CPU, required=False),)),
        of(providers=(replace(CPU, options={"use_tf32": "1"}),)),
        of(providers=(CPU, Provider("cuda", required=False))),
    ]
    assert len({of(), *others}) == 5


@pytest.mark.parametrize("what", ["code_digest", "tolerances_digest", "environment"])
def test_code_tolerances_and_versions_count(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = of()
    monkeypatch.setattr(fingerprint, what, lambda **_: "something else")
    assert of() != before


def test_the_schema_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    monkeypatch.setattr(fingerprint, "SCHEMA_VERSION", 99)
    assert of() != before


def test_the_networks_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's network whose module changed is another one, though its file's name is not."""
    before = of(specs=(TINY_NP,))
    assert before == of(specs=(TINY_NP,)) != of()
    monkeypatch.setattr(fingerprint, "made_by", lambda _: {"builder_code": "changed"})
    assert of(specs=(TINY_NP,)) != before


def test_of_code_that_cannot_be_followed_nothing_is_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fingerprint, "unkept", lambda *_: "it changes sys.path")
    assert of(specs=(TINY_NP,)) != of(specs=(TINY_NP,))


def test_a_case_s_key_follows_its_files(make_images: Callable[..., Path]) -> None:
    first, second = find_images(make_images(2))
    case = Case("shape:2x8x8", (first, second), (8, 8))
    key = case_key("fingerprint", case.load())
    assert key == case_key("fingerprint", replace(case).load())
    fake = replace(first, label="fake")
    others = [
        case_key("another", case.load()),
        case_key("fingerprint", replace(case, name="shape:8x8").load()),
        case_key("fingerprint", replace(case, size=(8, 9)).load()),
        case_key("fingerprint", replace(case, pictures=(second, first)).load()),
        case_key("fingerprint", replace(case, pictures=(fake, second)).load()),
    ]
    second.path.write_bytes(first.path.read_bytes())
    others.append(case_key("fingerprint", case.load()))
    assert len({key, *others}) == 7


def test_a_case_that_cannot_be_read_has_no_key(make_images: Callable[..., Path]) -> None:
    (picture,) = find_images(make_images(1))
    listed = replace(picture, expected_sha256="0" * 64)
    with pytest.raises(ParityError):
        case_key("fingerprint", Case("x", (listed,)).load())
    picture.path.unlink()
    with pytest.raises(ParityError):
        case_key("fingerprint", Case("x", (picture,)).load())
