"""The subcommand: exit codes and what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sample_dataset.maker import cli
from sample_dataset.maker.build import make_samples
from sample_dataset.maker.plan import FORGERIES
from sample_dataset.maker.shots import SHOTS

ROOT = Path(__file__).parents[3]
NAMES = {"pebbles"}


@pytest.fixture(autouse=True)
def few_small_pictures(monkeypatch):
    shots = [shot for shot in SHOTS if shot.name in NAMES]
    forgeries = [forgery for forgery in FORGERIES if forgery.host in NAMES]

    def make(**options):
        assert options.pop("processes") >= 1
        return make_samples(shots=shots, forgeries=forgeries, size=32, **options)

    monkeypatch.setattr(cli, "make_samples", make)


def test_make_then_check(tmp_path, capsys):
    assert cli.main(["--out", str(tmp_path)]) == 0
    assert "2 pictures" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fake",
        "manifest.json",
        "masks",
        "real",
    ]
    assert cli.main(["--out", str(tmp_path), "--check"]) == 0
    assert "2 pictures, all as the code makes them" in capsys.readouterr().out


def test_check_fails_with_1_and_names_the_file(tmp_path, capsys):
    cli.main(["--out", str(tmp_path)])
    (tmp_path / "real/pebbles.jpg").write_bytes(b"")
    assert cli.main(["--out", str(tmp_path), "--check"]) == 1
    assert "FAULT real/pebbles.jpg: the file was changed" in capsys.readouterr().out


def test_check_of_nothing_is_2_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "make_samples", None)
    assert cli.main(["--out", str(tmp_path), "--check"]) == 2
    assert "manifest.json: No such file" in capsys.readouterr().err


def test_check_and_cocoglide_exclude_each_other():
    with pytest.raises(SystemExit) as caught:
        cli.main(["--check", "--cocoglide", "x"])
    assert caught.value.code == 2


def test_runs_as_a_module():
    command = [sys.executable, "-m", "sample_dataset.maker", "--help"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "--cocoglide" in printed
