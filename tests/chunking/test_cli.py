from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.chunking import split
from trufor_onnx.chunking.cli import main

Capture = pytest.CaptureFixture[str]
COMMAND = [sys.executable, "-m", "chunking"]


@pytest.fixture
def folder(model: Path) -> Path:
    """A folder of pieces; its file is gone."""
    made = split(model, target=9000, maximum=20_000)
    model.rename(model.with_name("original"))
    return made.folder


@pytest.fixture
def run(capsys: Capture) -> Callable[..., tuple[int, str, str]]:
    """Run a command; gives the exit code, standard output and standard error."""

    def call(*args: object) -> tuple[int, str, str]:
        code = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


Run = Callable[..., tuple[int, str, str]]


def spoil(folder: Path) -> Path:
    """Flip a bit of one piece."""
    path = max(folder.glob("*.chunk"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return path


def test_split_merge_verify(model: Path, run: Run):
    data = model.read_bytes()
    code, out, err = run("split", model, "--target", "9000B", "--max-size", "20KB")
    assert (code, err) == (0, "")
    assert "net.chunks" in out
    assert "0 already there" in out
    code, out, _ = run("verify", "--full", model.with_name("net.chunks"))
    assert code == 0
    assert "all right" in out
    model.unlink()
    code, out, _ = run("merge", model.with_name("net.chunks"))
    assert code == 0
    assert "merged and verified" in out
    assert model.read_bytes() == data
    code, out, _ = run("merge", model.with_name("net.chunks"))
    assert code == 0
    assert "already there and right" in out


def test_verify_with_faults_is_1(folder: Path, run: Run):
    path = spoil(folder)
    code, out, err = run("verify", folder)
    assert (code, err) == (1, "")
    assert "1 fault;" in out
    assert path.name in out
    assert "hint:" in out


def test_merge_of_wrong_pieces_is_1_without_a_traceback(folder: Path, run: Run):
    path = spoil(folder)
    code, out, err = run("merge", folder)
    assert (code, out) == (1, "")
    assert path.name in err
    assert "Traceback" not in err
    assert not folder.with_name("net.onnx").exists()


@pytest.mark.parametrize("command", ["split", "merge", "verify", "inspect"])
def test_missing_path_is_2(command: str, tmp_path: Path, run: Run):
    code, out, err = run(command, tmp_path / "none")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "hint:" in err


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("split", "make export"),
        ("merge", "python -m chunking split"),
        ("verify", "python -m chunking split"),
        ("inspect", "python -m chunking split"),
    ],
)
def test_nothing_to_do_is_2_with_the_command_that_mends_it(
    command: str, hint: str, tmp_path: Path, run: Run
):
    (tmp_path / ".gitkeep").write_bytes(b"")
    code, out, err = run(command, tmp_path)
    assert (code, out) == (2, "")
    assert "nothing to do" in err
    assert hint in err


def test_a_folder_means_all_models_in_it(tmp_path: Path, model: Path, run: Run):
    for name in ("a", "b"):
        shutil.copy(model, tmp_path / f"{name}.onnx")
    (tmp_path / "other.txt").write_bytes(b"")
    assert run("split", tmp_path)[0] == 0
    folders = sorted(path.name for path in tmp_path.glob("*.chunks"))
    assert folders == ["a.chunks", "b.chunks", "net.chunks"]
    for name in ("a", "b"):
        (tmp_path / f"{name}.onnx").unlink()
    code, out, _ = run("merge", tmp_path)
    assert code == 0
    assert out.count("merged and verified") == 2
    assert out.count("already there") == 1
    assert (tmp_path / "a.onnx").read_bytes() == model.read_bytes()
    assert run("verify", tmp_path)[0] == 0


def test_one_bad_folder_does_not_stop_the_others(tmp_path: Path, model: Path, run: Run):
    for name in ("a", "b", "c"):
        shutil.copy(model, tmp_path / f"{name}.onnx")
        split(tmp_path / f"{name}.onnx")
        (tmp_path / f"{name}.onnx").unlink()
    spoil(tmp_path / "b.chunks")
    code, out, err = run("merge", tmp_path)
    assert code == 1
    assert out.count("merged and verified") == 2
    assert "b.chunks cannot be merged" in err
    assert (tmp_path / "c.onnx").exists()
    (tmp_path / "a.chunks" / "manifest.json").unlink()
    (tmp_path / "a.onnx").unlink()
    assert run("merge", tmp_path)[0] == 2  # the worst of them


def test_out_for_many_is_refused(tmp_path: Path, model: Path, run: Run):
    shutil.copy(model, tmp_path / "b.onnx")
    code, _, err = run("split", tmp_path, "--out", tmp_path / "x")
    assert code == 2
    assert "--out names one place" in err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("split", "FILE", "--target", "0"),
        ("split", "FILE", "--target", "much"),
        ("split", "FILE", "--target", "2MiB", "--max-size", "1MiB"),
        ("split", "FILE", "--target", "1B", "--max-size", "1B"),
    ],
)
def test_wrong_sizes_are_2(model: Path, run: Run, args: tuple[str, ...]):
    code, out, err = run(*(model if arg == "FILE" else arg for arg in args))
    assert (code, out) == (2, "")
    assert "hint:" in err
    assert not model.with_name("net.chunks").exists()


@pytest.mark.parametrize("args", [(), ("cut",), ("merge",), ("prune", "DIR"), ("merge", "a", "b")])
def test_wrong_usage_is_2(args: tuple[str, ...], capsys: Capture):
    with pytest.raises(SystemExit) as caught:
        main(list(args))
    assert caught.value.code == 2
    assert "usage: python -m chunking" in capsys.readouterr().err


def test_inspect(folder: Path, run: Run):
    code, out, _ = run("inspect", folder)
    assert code == 0
    assert "'tensors' version 1" in out
    assert "layer0.weight" in out
    assert "layer11.weight" in out
    code, out, _ = run("inspect", folder, "--against", folder)
    assert code == 0
    assert "0.0% of the bytes are new" in out


def test_inspect_is_not_cut_where_it_is_piped(folder: Path):
    out = subprocess.check_output([*COMMAND, "inspect", folder], text=True)
    assert all(len(line) <= 200 for line in out.splitlines())
    assert "layer11.weight" in out


def test_inspect_says_what_a_retrained_file_shares(folder: Path, model: Path, run: Run):
    shutil.copy(folder / "manifest.json", model.with_name("old.json"))
    data = bytearray(model.with_name("original").read_bytes())
    data[-2000] ^= 1
    model.write_bytes(data)
    code, out, _ = run("split", model, "--target", "9000", "--max-size", "20000")
    assert code == 0
    assert "1 piece of an earlier release left" in out
    assert "prune" in out
    code, out, _ = run("inspect", folder, "--against", model.with_name("old.json"))
    assert code == 0
    assert "of the bytes are new" in out
    assert sum(line.split()[5:6] == ["new"] for line in out.splitlines()) == 1


def test_prune(folder: Path, run: Run):
    extra = folder / ("a" * 64 + ".chunk")
    extra.write_bytes(b"x")
    code, out, _ = run("prune", folder, "--keep", folder / "manifest.json", "--dry-run")
    assert code == 0
    assert "would remove 1 file, 1 B" in out
    assert extra.exists()
    code, out, _ = run("prune", folder, "--keep", folder / "manifest.json")
    assert code == 0
    assert extra.name in out
    assert not extra.exists()


def read_json(text: str) -> dict[str, Any]:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    data: dict[str, Any] = json.loads(text, parse_constant=no_constant)
    assert data["schema_version"] == 1
    assert json.dumps(data, sort_keys=True, indent=2) + "\n" == text
    return data


def test_json_of_every_command(model: Path, run: Run):
    size = model.stat().st_size
    folder = model.with_name("net.chunks")
    code, out, _ = run("split", "--json", model, "--target", "9000")
    (made,) = read_json(out)["results"]
    assert code == 0
    assert (made["size"], made["folder"], made["written_bytes"]) == (size, str(folder), size)
    (checked,) = read_json(run("verify", "--json", "--full", folder)[1])["results"]
    assert (checked["ok"], checked["full"], checked["faults"]) == (True, True, [])
    (seen,) = read_json(run("inspect", "--json", folder)[1])["results"]
    assert seen["release_id"] == made["release_id"]
    assert seen["sharing"] is None
    assert sum(piece["size"] for piece in seen["pieces"]) == size
    assert {piece["is_new"] for piece in seen["pieces"]} == {None}
    out = run("inspect", "--json", folder, "--against", folder)[1]
    (seen,) = read_json(out)["results"]
    assert seen["sharing"]["new_share"] == 0.0
    assert {piece["is_new"] for piece in seen["pieces"]} == {False}
    (merged,) = read_json(run("merge", "--json", folder)[1])["results"]
    assert (merged["written"], merged["sha256"]) == (False, made["sha256"])
    out = run("prune", "--json", folder, "--keep", folder)[1]
    (pruned,) = read_json(out)["results"]
    assert pruned == {
        "folder": str(folder),
        "removed": [],
        "removed_bytes": 0,
        "dry_run": False,
    }


def test_json_of_faults_and_errors(folder: Path, run: Run):
    path = spoil(folder)
    code, out, err = run("verify", "--json", folder)
    (checked,) = read_json(out)["results"]
    assert (code, err, checked["ok"]) == (1, "", False)
    (fault,) = checked["faults"]
    assert (fault["kind"], fault["name"]) == ("corrupt", path.name)
    assert fault["tensors"]
    code, out, err = run("merge", "--json", folder)
    data = read_json(out)
    assert (code, data["results"]) == (1, [])
    (error,) = data["errors"]
    assert (error["kind"], error["exit_code"], error["path"]) == ("IntegrityError", 1, str(folder))
    assert error["faults"] == [fault]
    assert err.startswith("error: ")
    (folder / "manifest.json").unlink()
    code, out, _ = run("verify", "--json", folder)
    assert code == 2
    assert read_json(out)["errors"][0]["kind"] == "ManifestError"


def test_names_from_elsewhere_cannot_write_on_the_terminal(
    tmp_path: Path, make_model: Callable[..., bytes], run: Run
):
    evil = "\x1b]0;owned\x07\x1b[2J[red]"
    (tmp_path / "net.onnx").write_bytes(make_model({evil: bytes(50)}))
    made = split(tmp_path / "net.onnx")
    outputs = [run("inspect", made.folder)]
    spoil(made.folder)
    outputs += [run("verify", made.folder), run("merge", made.folder, "--out", tmp_path / "x")]
    for _, out, err in outputs:
        assert "\x1b" not in out + err
        assert "\x07" not in out + err
        assert "owned" in out + err


def test_path_of_any_bytes_can_be_printed(tmp_path: Path, model: Path):
    folder = tmp_path / os.fsdecode(b"\xff\xfe folder")
    folder.mkdir()
    shutil.copy(model, folder / "net.onnx")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in ("split", "merge", "verify", "inspect", "merge --json"):
        path = folder / ("net.onnx" if command == "split" else "net.chunks")
        words = [*COMMAND, *command.split(), path]
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_hints_can_be_copied_to_a_shell(tmp_path: Path, run: Run):
    folder = tmp_path / "my $models"
    folder.mkdir()
    _, _, err = run("merge", folder)
    assert f"python -m chunking split '{folder}'" in err


def test_many_faults_are_counted(tmp_path: Path, make_bytes: Callable[[int], bytes], run: Run):
    (tmp_path / "file").write_bytes(make_bytes(1000))
    made = split(tmp_path / "file", target=10)
    (tmp_path / "file").unlink()
    for path in made.folder.glob("*.chunk"):
        path.unlink()
    _, _, err = run("merge", made.folder)
    assert len(err.splitlines()) == 23
    assert "and 80 more: `verify` lists all" in err
    _, out, _ = run("verify", made.folder)
    assert out.count("missing: ") == 100


def interrupt_soon(command: list[str], marker: Callable[[], bool]) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not marker() and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    child.send_signal(signal.SIGINT)
    return child


@pytest.mark.parametrize("command", ["split", "merge"])
def test_ctrl_c_is_clean(tmp_path: Path, make_bytes: Callable[..., bytes], command: str):
    """The real signal, in the middle: 130, a message, no traceback, nothing half-written."""
    data = make_bytes(64 << 20)
    path = tmp_path / "file.bin"
    path.write_bytes(data)
    made = split(path, target=1 << 20)
    if command == "split":
        args = ["split", str(path), "--out", str(tmp_path / "new.chunks"), "--target", "64KiB"]
        new = tmp_path / "new.chunks"

        def started() -> bool:
            return new.is_dir() and any(new.iterdir())
    else:
        path.write_bytes(b"old")
        args = ["merge", str(made.folder), "--force"]
        descriptors = Path("/proc")

        def started() -> bool:
            return any(str(made.folder) in target for target in open_paths(descriptors))

    for _ in range(10):
        child = interrupt_soon([*COMMAND, *args], started)
        out, err = child.communicate(timeout=60)
        if child.returncode == 130:
            break
        assert child.returncode in (0, -signal.SIGINT)  # too late, or before Python was ready
        shutil.rmtree(tmp_path / "new.chunks", ignore_errors=True)
        path.write_bytes(data if command == "split" else b"old")
    assert child.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert out == ""
    leftovers = [name for name in tmp_path.rglob("*") if name.name.endswith(".part")]
    assert leftovers == []
    if command == "split":
        assert not (tmp_path / "new.chunks" / "manifest.json").exists()
    else:
        assert path.read_bytes() == b"old"


def open_paths(proc: Path) -> set[str]:
    """What our children have open."""
    paths = set()
    for link in proc.glob("[0-9]*/fd/*"):
        if link.parts[2] != str(os.getpid()):
            with suppress(OSError):  # it was closed since
                paths.add(str(link.readlink()))
    return paths


def test_progress_is_drawn_on_a_terminal_only(folder: Path, tmp_path: Path):
    command = [*COMMAND, "merge", str(folder), "--out", str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (tmp_path / "x").unlink()
    main_end, child_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    subprocess.run(command, stderr=child_end, stdout=subprocess.PIPE, check=True, env=environment)
    os.close(child_end)
    drawn = b""
    with suppress(OSError):  # Linux ends a pseudo-terminal without writers this way
        while part := os.read(main_end, 4096):
            drawn += part
    os.close(main_end)
    assert b"merge net.chunks" in drawn
