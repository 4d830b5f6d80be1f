"""The command line: what it prints, how it exits, its bar, and that it starts without torch."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from trufor_onnx.export import build, cli
from trufor_onnx.export.cli import download_progress, main
from trufor_onnx.export.lock import lock_path, read_lock
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights import download
from trufor_onnx.export.weights.download import DownloadError, FetchedWeights
from trufor_onnx.export.weights.tensors import stand_in_weights

Specs = dict[str, ModelSpec]
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("tiny_registry")
Capture = pytest.CaptureFixture[str]


def test_export(tmp_path: Path, capsys: Capture) -> None:
    assert main(["noiseprint_pp", "--stand-in", "s"]) == 0
    data = (tmp_path / "onnx_models/noiseprint_pp.onnx").read_bytes()
    out, err = capsys.readouterr()
    assert "noiseprint_pp.onnx" in out
    assert sha256(data).hexdigest()[:16] in out
    assert f"{len(data) / 1e6:.1f}" in out
    assert "stand-in weights (seed s)" in out
    assert "written in" in err


def test_without_a_choice_the_stand_in_is_said(capsys: Capture) -> None:
    assert main(["noiseprint_pp"]) == 0
    assert "stand-in weights (seed golden)" in capsys.readouterr().out


def test_options(tmp_path: Path, tiny: Specs, capsys: Capture) -> None:
    spec = tiny["noiseprint_pp"]
    torch.save(dict(stand_in_weights(spec, spec.build(), "t").tensors), "any.name")
    for option in ("--weights", "--checkpoint"):  # the old spelling, for a release
        assert main(["noiseprint_pp", option, "any.name", "--out", "o", "--opset", "21"]) == 0
        locked = read_lock(tmp_path / "o/noiseprint_pp.onnx")
        assert locked is not None
        assert locked["opset"] == 21
        assert locked["weights"]["label"] == "any.name"
        lock_path(tmp_path / "o/noiseprint_pp.onnx").unlink()
    capsys.readouterr()


def test_a_model_named_twice_is_exported_once(capsys: Capture) -> None:
    assert main(["noiseprint_pp", "noiseprint_pp", "--stand-in", "s"]) == 0
    assert capsys.readouterr().err.count("written in") == 1


def test_up_to_date_and_replaced(capsys: Capture) -> None:
    main(["noiseprint_pp", "--stand-in", "s"])
    assert main(["noiseprint_pp", "--stand-in", "s", "--missing-only"]) == 0
    assert "up to date; stand-in weights (seed s)" in capsys.readouterr().err
    assert main(["noiseprint_pp", "--stand-in", "t"]) == 2
    error = capsys.readouterr().err
    assert "python -m export noiseprint_pp --stand-in t --replace" in error
    assert "python -m export noiseprint_pp --stand-in s" in error
    assert main(["noiseprint_pp", "--stand-in", "t", "--replace"]) == 0
    assert "; replaces stand-in weights (seed s)" in capsys.readouterr().err


def test_a_later_failure_does_not_hide_what_was_written(tiny: Specs, capsys: Capture) -> None:
    spec = tiny["noiseprint_pp"]
    torch.save(dict(stand_in_weights(spec, spec.build(), "t").tensors), "own.th")
    assert main(["noiseprint_pp", "mit_b2", "--weights", "own.th"]) == 2
    out, err = capsys.readouterr()
    assert "noiseprint_pp.onnx" in out
    assert "mit_b2.onnx" not in out
    assert "error: own.th as mit_b2: covers 0 of" in err


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["nothing"], "no network is called 'nothing'"),
        (["../evil"], "no network is called '../evil'"),
        (["noiseprint_pp", "--weights", "absent.pth"], "--weights absent.pth: there is no such"),
        (["noiseprint_pp", "--weights", "."], "no weights for noiseprint_pp in this folder"),
        (["noiseprint_pp", "--stand-in", ""], "--stand-in needs a seed"),
        (["noiseprint_pp", "--opset", "16"], "opset 16 is out of range: 17 to"),
        (["noiseprint_pp", "--opset", "999"], "opset 999 is out of range: 17 to"),
        (["noiseprint_pp", "--out", "file", "--stand-in", "s"], "cannot be written"),
        (["check"], "no lock file in onnx_models"),
        (["check", "--onnx-models", "nowhere"], "no lock file in nowhere"),
        (["check", "mit_b2"], "mit_b2.lock.json"),
        (["timm:no_such_network_at_all"], "has no network called"),
    ],
)
def test_mistakes_get_a_sentence_and_a_hint(argv: list[str], problem: str, capsys: Capture) -> None:
    Path("file").write_text("in the way")
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert problem in err
    assert "hint: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "argv", [[], ["--no-such-option"], ["noiseprint_pp", "--opset", "new"], ["list", "more"]]
)
def test_wrong_usage(argv: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: python -m export" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["trace", "self_check", "sha256_bytes"])
def test_interrupted(
    where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    """Ctrl-C at some point of the export: the signal itself, no stand-in for it."""
    monkeypatch.setattr(build, where, lambda *_, **__: signal.raise_signal(signal.SIGINT))
    assert main(["noiseprint_pp", "--stand-in", "s"]) == 130
    out, err = capsys.readouterr()
    assert err == "interrupted; nothing half-written was kept\n"
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_interrupted_at_the_second_model(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    original = cli.export_model

    def second(spec: ModelSpec, *given: Any, **options: Any) -> Any:
        if spec.name != "noiseprint_pp":
            signal.raise_signal(signal.SIGINT)
        return original(spec, *given, **options)

    monkeypatch.setattr(cli, "export_model", second)
    assert main(["noiseprint_pp", "mit_b2", "--stand-in", "s"]) == 130
    assert "noiseprint_pp.onnx" in capsys.readouterr().out  # written, and said
    assert sorted(p.name for p in Path("onnx_models").iterdir()) == [
        "noiseprint_pp.lock.json",
        "noiseprint_pp.onnx",
    ]


def test_check(capsys: Capture) -> None:
    assert main(["noiseprint_pp", "--stand-in", "s"]) == 0
    assert main(["check"]) == 0
    assert "noiseprint_pp.lock.json: the same bytes" in capsys.readouterr().out
    path = lock_path(Path("onnx_models/noiseprint_pp.onnx"))
    path.write_bytes(path.read_bytes().replace(b'"seed": "s"', b'"seed": "t"'))
    assert main(["check", "noiseprint_pp"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_list(capsys: Capture) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for text in ("noiseprint_pp", "mit_b2", "trufor_head", "fused_3", "timm:NAME"):
        assert text in out


def test_brackets_in_names_are_shown(capsys: Capture) -> None:
    """rich would take them for its markup."""
    assert main(["noiseprint_pp", "--stand-in", "[bold]x[/]"]) == 0
    assert "[bold]x[/]" in capsys.readouterr().out


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def fetch(out: Path, **options: Any) -> FetchedWeights:
        options["progress"](5, 10)
        calls.append({"out": out, **options})
        return FetchedWeights(out / "trufor.pth.tar", "ab" * 32, 10, already_there=False)

    monkeypatch.setattr(download, "fetch_weights", fetch)
    return calls


def test_weights(fetched: list[dict[str, Any]], capsys: Capture) -> None:
    assert main(["weights"]) == 0
    out, err = capsys.readouterr()
    assert "weights/trufor.pth.tar: ready, sha256 abab" in out
    assert "nonprofit" in err  # the terms are shown before anything is fetched
    assert fetched[0]["out"] == Path("weights")
    assert fetched[0]["url"] is None
    assert (
        main(["weights", "--out", "w", "--url", "http://a/x.zip", "--url", "http://b/x.zip"]) == 0
    )
    assert fetched[1]["out"] == Path("w")
    assert fetched[1]["url"] == ["http://a/x.zip", "http://b/x.zip"]


def test_weights_that_do_not_come(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DownloadError("no network", hint="try a mirror with --url")

    monkeypatch.setattr(download, "fetch_weights", refuse)
    assert main(["weights"]) == 2
    assert "error: no network\n  hint: try a mirror with --url" in capsys.readouterr().err


def test_weights_through_the_real_download(
    make_server: Callable[..., Any], capsys: Capture
) -> None:
    server = make_server(content=b"not the published archive")
    assert main(["weights", "--out", "w", "--url", server.url]) == 2
    err = capsys.readouterr().err
    assert "not the published archive: MD5" in err
    assert server.requests


HEAVY = ("torch", "onnx", "onnxruntime", "timm", "onnx_ir", "onnxsim", "torchvision")


@pytest.mark.parametrize("argv", [["--help"], ["list"], ["check", "--help"], ["weights", "--help"]])
def test_help_starts_without_torch(argv: list[str]) -> None:
    program = (
        "import sys; from trufor_onnx.export.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *argv],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def shown(terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    with download_progress("TruFor_weights.zip", console) as progress:
        progress(0, None)
        progress(500_000, 1_000_000)
        progress(1_000_000, 1_000_000)
    return stream.getvalue()


def test_bar_on_a_terminal():
    assert "TruFor_weights.zip" in shown(True)
    assert "1.0/1.0 MB" in shown(True)


def test_quiet_elsewhere():
    assert shown(False).strip() == ""
