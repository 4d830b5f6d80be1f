"""The command line: exit codes, files, messages, and a quick start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.parity import cli
from trufor_onnx.parity.commands import run as run_command
from trufor_onnx.parity.results.rows import EXIT_CODES, Status

ExportedFile = Callable[[str], Path]
Images = Callable[..., Path]


def test_a_run_that_passes_writes_three_reports(
    parity: Any, exported: ExportedFile, make_images: Images, tmp_path: Path
) -> None:
    exported("tiny_np")
    make_images(2)
    ran = parity()
    assert ran.code == 0
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["parity.html", "parity.json", "parity.junit.xml", "parity.md"]
    assert "pass: " in ran.err and str(tmp_path / "out" / "parity.md") in ran.err
    for text in ("image_0000.png", "shape:101x77", "Summary", "stand-in weights", "proven"):
        assert text in ran.out


@pytest.mark.parametrize(
    ("formats", "files"),
    [("json", []), ("junit", ["parity.junit.xml"]), ("markdown,json", ["parity.md"])],
)
def test_the_json_is_always_written(
    parity: Any,
    exported: ExportedFile,
    make_images: Images,
    tmp_path: Path,
    formats: str,
    files: list[str],
) -> None:
    exported("tiny_np")
    make_images(1)
    parity("--format", formats, shapes=False)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["parity.json", *files]


@pytest.mark.parametrize(
    ("status", "code"),
    [(Status.PASS, 0), (Status.FAIL, 1), (Status.ERROR, 2), (Status.NOT_RUN, 2)],
)
def test_each_status_has_its_exit_code(status: Status, code: int) -> None:
    assert EXIT_CODES[status] == code
    assert set(EXIT_CODES) == set(Status)


def test_an_unreadable_image_is_exit_2_with_its_name_and_reason(
    parity: Any, exported: ExportedFile, make_images: Images
) -> None:
    exported("tiny_np")
    images = make_images(3)
    (images / "image_0001.png").write_bytes(b"no picture")
    ran = parity(shapes=False)
    assert ran.code == 2
    assert "image_0001.png" in ran.err and "not a picture" in ran.err
    assert [row["status"] for row in ran.rows] == ["pass", "error", "pass"]
    assert "image_0002.png" in ran.out


def test_a_failure_beside_an_unreadable_image_is_exit_1(
    parity: Any, exported: ExportedFile, make_images: Images
) -> None:
    exported("tiny_np")
    images = make_images(2)
    (images / "image_0001.png").write_bytes(b"no picture")
    assert parity("--stand-in", "another").code == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--providers", "gpu"], "unknown provider: gpu"),
        (["--providers", ""], "none given"),
        (["--candidate", "tiny_np"], "not MODEL=FILE"),
        (["--candidate", "=x.onnx"], "not MODEL=FILE"),
        (["--candidate", "tiny_np="], "not MODEL=FILE"),
        (["--candidate", "tiny_np=gone.onnx"], "no file gone.onnx"),
        (["--candidate", "other=x.onnx"], "--candidate names other"),
        (["--models", "no_such_net"], "no network is called 'no_such_net'"),
        (["--max-images", "0"], "--max-images"),
        (["--pixel-scale", "0"], "--pixel-scale"),
        (["--pixel-scale", "nan"], "--pixel-scale"),
        (["--threads", "-1"], "--threads"),
        (["--format", "pdf"], "unknown report format: pdf"),
        (["--stand-in", ""], "--stand-in needs a seed"),
        (["--weights", "gone.th"], "gone.th"),
    ],
    ids=str,
)
def test_a_mistake_is_exit_2_with_a_hint_and_no_traceback(
    parity: Any, exported: ExportedFile, make_images: Images, arguments: list[str], problem: str
) -> None:
    exported("tiny_np")
    make_images(1)
    ran = parity(*arguments)
    assert (ran.code, ran.report) == (2, {})
    assert problem in ran.err
    assert "hint: " in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["nonsense"], ["run", "--models", "x", "--bad"]]
)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


def test_hostile_image_names_run_and_are_shown_safely(
    parity: Any, exported: ExportedFile, make_images: Images
) -> None:
    exported("tiny_np")
    images = make_images(1)
    name = "[bold]\x1b[2J<b>|`&\n.png"
    (images / "image_0000.png").rename(images / name)
    (images / "bad\x1b]0;x\x07.png").write_bytes(b"no picture")
    ran = parity(shapes=False)
    assert ran.code == 2
    assert {row["image"] for row in ran.rows} == {name, "bad\x1b]0;x\x07.png"}
    assert "\x1b[2J" not in ran.out + ran.err
    assert "\x07" not in ran.out + ran.err
    assert "[bold]" in ran.out


def test_stopping_before_a_case_is_done_keeps_nothing(
    parity: Any,
    exported: ExportedFile,
    make_images: Images,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    exported("tiny_np")
    make_images(1)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_command, "run_parity", stop)
    ran = parity()
    assert ran.code == 130
    assert "nothing was kept" in ran.err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_stored_report_is_written_in_other_formats(
    parity: Any,
    exported: ExportedFile,
    make_images: Images,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exported("tiny_np")
    make_images(2)
    parity()
    stored = tmp_path / "out" / "parity.json"
    again = tmp_path / "again"
    assert cli.main(["report", str(stored), "--out", str(again)]) == 0
    printed = capsys.readouterr().out.split()
    names = ["parity.junit.xml", "parity.md", "parity.html"]
    assert printed == [str(again / name) for name in names]
    for name in names:
        assert (again / name).read_bytes() == (stored.parent / name).read_bytes()


def test_a_stored_report_is_written_beside_it_unless_told_otherwise(
    parity: Any, exported: ExportedFile, make_images: Images, tmp_path: Path
) -> None:
    exported("tiny_np")
    make_images(1)
    parity("--format", "json", shapes=False)
    stored = tmp_path / "out" / "parity.json"
    assert cli.main(["report", str(stored), "--format", "markdown"]) == 0
    assert sorted(path.name for path in stored.parent.iterdir()) == ["parity.json", "parity.md"]


@pytest.mark.parametrize("arguments", [["--format", "pdf"], [], ["gone.json"]])
def test_a_report_that_cannot_be_written_is_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", *arguments]) == 2
    assert "hint: " in capsys.readouterr().err


def test_an_edited_report_is_exit_2(
    parity: Any, exported: ExportedFile, make_images: Images, tmp_path: Path
) -> None:
    exported("tiny_np")
    make_images(1)
    assert parity("--stand-in", "another").code == 1
    stored = tmp_path / "out" / "parity.json"
    document = json.loads(stored.read_text())
    document["summary"]["status"] = "pass"
    stored.write_text(json.dumps(document))
    assert cli.main(["report", str(stored)]) == 2


def test_the_help_starts_without_torch_onnx_and_onnxruntime() -> None:
    code = (
        "import sys; from trufor_onnx.parity.cli import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--no-resume" in done.stdout


def test_the_page_shows_the_gates_decision_on_this_report_only(
    parity: Any,
    exported: ExportedFile,
    make_images: Images,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exported("tiny_np")
    make_images(1)
    parity("--format", "json")
    stored, decision = tmp_path / "out" / "parity.json", tmp_path / "gate.json"
    cli.main(["gate", str(stored), "--json"])
    decision.write_text(capsys.readouterr().out)
    shown = ["report", str(stored), "--format", "html", "--gate", str(decision)]
    assert cli.main(shown) == 0
    text = (tmp_path / "out" / "parity.html").read_text(encoding="utf-8")
    assert "No decision of the gate" not in text and "<b>weights</b>" in text
    parity("--format", "json", "--pixel-scale", "255")
    capsys.readouterr()
    assert cli.main(shown) == 2
    assert "judges another report" in capsys.readouterr().err
