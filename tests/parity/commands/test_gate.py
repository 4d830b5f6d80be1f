"""``parity gate`` as a command: exit codes, sentences, JSON, and what it does not import."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.parity.cli import main
from trufor_onnx.parity.commands.gate import add_arguments
from trufor_onnx.parity.gate.judge import RULES


@pytest.fixture
def arguments(good: Any) -> list[str]:
    return ["gate", str(good.report), "--onnx-models", str(good.models)]


def test_a_sentence_a_rule(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(RULES) + 1
    for name, line in zip(RULES, lines, strict=False):
        assert name in line.split() and "allowed: " in line
    assert lines[-1] == "gate: pass (12 pass, 5 not judged)"
    assert sum(line.startswith("not judged") for line in lines) == 5


def test_explain_gives_reasons_and_all_details(
    arguments: list[str], good: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def worse(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            if row["backend"] == "onnxruntime":
                row["mae"] = 0.5

    good.edit(worse)
    assert main([*arguments, "--explain"]) == 1
    out = capsys.readouterr().out
    assert "why: a quarter of the best-known export's encoder was random" in out
    assert out.count("mae 0.5 is over") >= 10
    assert "stopped by: report, verdicts, accuracy" in out


def test_as_json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["exit_code"]) == ("pass", 0)
    assert [rule["rule"] for rule in document["rules"]] == list(RULES)
    assert all(rule["reason"] for rule in document["rules"])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 99, "rows": []}'])
def test_what_is_no_report_is_exit_2(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert main(["gate", str(path)]) == 2
    assert "x.json" in capsys.readouterr().err


def test_a_report_that_is_not_there_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "none.json"]) == 2
    assert "hint: " in capsys.readouterr().err


def test_no_framework_is_imported(arguments: list[str], write_bench: Any, good: Any) -> None:
    """With every kind of evidence: the files, pieces, a bench report and baselines."""
    from trufor_onnx.chunking.splitting import split

    split(good.models / "tiny_np.onnx")
    bench = str(write_bench("bench", sha256=good.sha256, old=good.sha256))
    more = ["--bench", bench, "--baseline", str(good.report), bench, "--explain"]
    code = (
        "import sys; from trufor_onnx.parity.cli import main\n"
        f"code = main({[*arguments, *more]!r})\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'timm', 'onnx_ir', 'cryptography'}\n"
        "found = heavy & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "gate: pass (16 pass, 1 not judged)" in done.stdout


def test_baselines_given_one_by_one_are_all_read() -> None:
    """The first was dropped without a word, and with it what the release must not be worse than."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    found = parser.parse_args(["x.json", "--baseline", "a.json", "--baseline", "b.json", "c.json"])
    assert found.baseline == [Path("a.json"), Path("b.json"), Path("c.json")]
    assert parser.parse_args(["x.json"]).baseline == []
