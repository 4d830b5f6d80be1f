"""Two reports: what is the same, what is noise, what is worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.cli import main
from trufor_onnx.parity.history.differences import Difference, Trend, differences

Write = Callable[..., Path]
MAE = "MAE of net portable map on images cpu"


def found(old: Path, new: Path) -> dict[str, Difference]:
    documents = (json.loads(old.read_text()), json.loads(new.read_text()))
    return {row.what: row for row in differences(*documents, ("old", "new"))}


def test_a_report_and_itself_are_the_same(write: Write) -> None:
    path = write("a.json")
    rows = found(path, path)
    assert {row.verdict for row in rows.values()} == {Trend.SAME}
    assert set(rows) == {"net: file", "net: weights", "tolerances", "verdict", MAE}
    assert main(["compare", str(path), str(path)]) == 0


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (lambda n: (n + 1) * 1e-7 * 1.01, Trend.WORSE),
        (lambda n: (n + 1) * 1e-7 / 1.01, Trend.BETTER),
        (lambda n: (n + 1) * 1e-7 * (1.05 if n % 2 else 0.95), Trend.NOISE),
        (lambda n: 0.0 if n == 3 else (n + 1) * 1e-7, Trend.CHANGED),
    ],
    ids=["every image worse", "every image better", "some up, some down", "one became exact"],
)
def test_errors_are_compared_image_by_image(
    write: Write, error: Callable[[int], float], verdict: Trend
) -> None:
    row = found(write("a.json"), write("b.json", error))[MAE]
    assert row.verdict is verdict
    assert (row.old, bool(row.why)) == ("6.500e-07", True)


def test_a_new_file_is_a_change_and_no_fault(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = write("a.json"), write("b.json", sha256="b" * 64)
    assert found(old, new)["net: file"].verdict is Trend.CHANGED
    assert main(["compare", str(old), str(new)]) == 0
    assert f"changed        net: file: {'a' * 16} -> {'b' * 16}" in capsys.readouterr().out


def test_worse_is_exit_1_and_comes_first(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write("a.json"), write("b.json", lambda n: (n + 1) * 2e-6)
    assert main(["compare", str(old), str(new)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"worse          {MAE}: 6.500e-07 -> 1.300e-05 (20.000 times")
    assert lines[-1] == "1 worse, 1 changed, 3 the same"


def test_as_json(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.json")
    assert main(["compare", str(path), str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {row["verdict"] for row in document["differences"]} == {"the same"}


def test_two_kinds_are_not_compared(write: Write, tmp_path: Path) -> None:
    other = tmp_path / "bench.json"
    other.write_text('{"kind": "trufor-onnx bench"}')
    assert main(["compare", str(write("a.json")), str(other)]) == 2
    with pytest.raises(ParityError, match="of two kinds"):
        found(other, write("a.json"))


def test_an_edited_report_is_not_compared(write: Write) -> None:
    path = write("a.json")
    document: dict[str, Any] = json.loads(path.read_text())
    document["rows"][1]["mae"] = 0.0
    path.write_text(json.dumps(document))
    with pytest.raises(ParityError, match="not those that its rows give"):
        found(path, path)


def test_the_same_bytes_as_candidate_and_as_export_are_equal(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that was judged as a candidate before it was exported is the same file."""
    exported, candidate = write("a.json"), write("b.json", variant="candidate")
    for old, new in ((exported, candidate), (candidate, exported)):
        assert {row.verdict for row in found(old, new).values()} == {Trend.SAME}
        assert main(["compare", str(old), str(new)]) == 0
    other = write("c.json", variant="candidate", sha256="b" * 64)
    assert main(["compare", str(exported), str(other)]) == 1  # another file is no export
    assert "gone" in capsys.readouterr().out


def test_costs_of_the_same_bytes_under_two_names() -> None:
    from tests.parity.gate.conftest import bench_document

    exported = bench_document(seed=1)
    candidate = json.loads(json.dumps(exported).replace('"portable"', '"candidate"'))
    rows = differences(exported, candidate, ("old", "new"))
    assert {row.verdict for row in rows} == {Trend.NOISE}
    assert len(rows) == 2 + 1  # time and memory of the file, memory of PyTorch
    other = json.loads(json.dumps(candidate).replace("f" * 64, "e" * 64))
    assert Trend.GONE in {row.verdict for row in differences(exported, other, ("old", "new"))}
