"""The ten lines: a plain module that is in no registry, exported, compared, gated."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import trufor_onnx as tx
from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.cli import main as export_command
from trufor_onnx.export.networks import infer, registry, users
from trufor_onnx.parity.cli import main as parity
from trufor_onnx.parity.results.findings import Outcome
from trufor_onnx.parity.results.rows import SOURCE, Row
from trufor_onnx.parity.results.summary import summarise
from trufor_onnx.parity.results.tolerances import read_tolerances, tolerances_digest, using

ROOT = Path(__file__).resolve().parents[2]
NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image):
        found = torch.tanh(self.conv(image))
        return {"edges": found, "level": found.mean((2, 3))}


def build():
    return Net()
"""
SCRIPT = """
import torch
import trufor_onnx as tx
from my_net import Net

# a notebook's cell: the builder is a class at the top
exported = tx.export("my_net.py:build", weights="detector.pth", out="models")
report = tx.compare("my_net.py:build", exported, on="photos", providers=["cpu"])
report.write("report", ["html", "markdown"])
decision = tx.gate(report)
print(report.status, decision.exit_code, *(f"{f.rule}={f.outcome}" for f in decision.findings))
"""


LIMITS = """
[tolerance."detector/*/map"]
mae = {limit}
max_abs = {limit}
row_ratio = 0.0
accuracy_ratio = 9.0
noise_floor = 0.0
reason = "a measurement of ours"
"""


class Plain(torch.nn.Module):
    """In no registry."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image)


def build() -> torch.nn.Module:
    return Plain()


@pytest.fixture(autouse=True)
def nothing_offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_offered", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(users.VARIABLE, "")
    yield
    sys.modules.pop("my_net", None)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network in a file, its weights, and photographs; it is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(NETWORK)
    (tmp_path / "photos").mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    torch.manual_seed(3)
    state = {"conv.weight": torch.randn(4, 3, 3, 3), "conv.bias": torch.randn(4)}
    torch.save(state, tmp_path / "detector.pth")
    torch.save({"conv.weight": torch.randn(2, 3, 3, 3), "conv.bias": torch.randn(2)}, "plain.pth")
    return tmp_path


def spec(**more: Any) -> tx.ModelSpec:
    axes = ["batch", 3, "height", "width"]
    given: dict[str, Any] = {
        "builder": build,
        "inputs": [tx.TensorSpec("image", tuple(axes))],
        "outputs": [tx.TensorSpec("map", ("batch", 2, "height", "width"))],
    }
    return tx.ModelSpec("detector", **(given | more))


@pytest.mark.usefixtures("place")
def test_the_ten_lines() -> None:
    network = spec()
    exported = tx.export(network, weights="plain.pth", out="models")
    assert exported.path == Path("models/detector.onnx")
    assert exported.weights == "plain.pth"
    report = tx.compare(network, exported, on="photos/", providers=["cpu"])
    assert report.passed, report.report.groups
    paths = report.write("reports/detector")
    assert {path.suffix for path in paths} == {".json", ".html", ".xml", ".md"}
    decision = tx.gate(report)
    said = {finding.rule: finding.outcome for finding in decision.findings}
    assert decision.exit_code == 0, said
    document = json.loads(Path("reports/detector/parity.json").read_text("utf-8"))
    assert document["models"]["detector"]["proof"] == "proven"


@pytest.mark.usefixtures("place")
def test_a_wrong_file_fails() -> None:
    network = spec()
    tx.export(network, weights="plain.pth", out="models")
    torch.save({"conv.weight": torch.randn(2, 3, 3, 3), "conv.bias": torch.zeros(2)}, "other.pth")
    other = tx.export(network, weights="other.pth", out="elsewhere")
    report = tx.compare(network, other.path, on="photos", weights="plain.pth", shapes=False)
    assert not report.passed
    assert tx.gate(report).exit_code == 1


def test_a_file_and_a_callable_do_the_same_on_the_command_line(place: Path) -> None:
    options = ["--weights", "detector.pth", "--images", "photos", "--out", "report"]
    code = parity(["run", "--models", "my_net.py:build", *options])
    document = json.loads((place / "report" / "parity.json").read_text("utf-8"))
    assert code == 0, document["models"]
    assert (place / "onnx_models" / "my_net.onnx").is_file()
    assert {row["output"] for row in document["rows"]} == {"edges", "level"}
    assert document["models"]["my_net"]["proof"] == "proven"
    assert parity(["gate", "report/parity.json"]) == 0
    look = ["--weights", "detector.pth", "--images", "photos", "--size", "32x48"]
    assert parity(["locate", "my_net.py:build", *look]) == 0


def test_a_script(place: Path) -> None:
    (place / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("pass 0 "), ran.stdout
    assert (place / "report" / "parity.html").is_file()


@pytest.mark.usefixtures("place")
def test_what_was_assumed_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = users.users_spec("my_net.py:build")
    assumed = "RGB / 255 in, float32, any size from 1 x 1 on; out: edges (batch, 4, height"
    assert f"my_net: assumed: {assumed}" in caplog.text
    assert [t.name for t in found.outputs] == ["edges", "level"]
    assert found.outputs[1].axes == ("batch", 4)


class Fixed(torch.nn.Module):
    """Runs at one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Linear(3 * 224 * 224, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.out(image.flatten(1))


def test_a_network_of_one_size_is_found_out() -> None:
    found = infer.infer_spec(Fixed(), "fixed", "here:Fixed")
    assert found.fixed_size == (224, 224)
    assert found.inputs[0].axes == ("batch", 3, 224, 224)
    assert found.outputs[0].axes == ("batch", 5)


class Two(Plain):
    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image * mask


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no.py:build", "there is no file no.py"),
        ("my_net.py:nothing", "has no callable nothing"),
        ("my_net.py:torch", "has no callable torch"),
        ("no_such_module:build", "No module named 'no_such_module'|which is not installed"),
        ("json:dumps", "calling json:dumps"),
        ("broken.py:build", "importing it failed"),
        ("json.py:build", "another module is called json"),
        ("number.py:build", "gave int, neither"),
        ("two.py:Two", "its forward takes image, mask, not one picture"),
    ],
)
def test_what_is_no_network_is_refused(name: str, reason: str, place: Path) -> None:
    (place / "broken.py").write_text("import json\nraise ValueError('mine')\n")
    (place / "json.py").write_text("build = dict\n")
    (place / "number.py").write_text("def build():\n    return 3\n")
    (place / "two.py").write_text(f"from {__name__} import Two\n")
    with pytest.raises(ExportError, match=reason) as refusal:
        registry.find_typed(name)
    assert refusal.value.hint


@pytest.mark.parametrize("builder", [lambda: Plain(), lambda: build()], ids=["one", "other"])
def test_a_builder_without_a_name_is_refused(builder: Any) -> None:
    with pytest.raises(ExportError, match="no name by which it can be called again"):
        spec(builder=builder)


@pytest.mark.usefixtures("place")
def test_nobody_guesses_whose_weights() -> None:
    with pytest.raises(ParityError, match="whose weights, nobody said"):
        tx.export(spec(), out="models")
    with pytest.raises(ParityError, match="whose weights, nobody said"):
        tx.compare(spec(), "models/x.onnx", on="photos")


def test_a_name_out_of_a_file_runs_no_code(place: Path) -> None:
    """A lock or a report of anybody's may say anything."""
    (place / "evil.py").write_text("open('ran', 'w')\n\n\ndef build():\n    return None\n")
    tx.export(spec(), weights="plain.pth", out="models")
    lock = json.loads((place / "models" / "detector.lock.json").read_text("utf-8"))
    path = place / "models" / "evil.lock.json"
    path.write_text(json.dumps(lock | {"model": "evil.py:build"}))
    (place / "models" / "detector.lock.json").unlink()
    assert export_command(["check", "--onnx-models", "models"]) == 2
    with pytest.raises(ExportError, match=r"no network is called 'evil\.py:build'"):
        registry.find("evil.py:build")
    assert not (place / "ran").exists()


def test_our_own_names_are_taken() -> None:
    with pytest.raises(ExportError, match="the name 'mit_b2' is taken"):
        registry.offer(tx.ModelSpec("mit_b2", "", "1", spec().inputs, spec().outputs, "a:b"))


def test_the_package_imports_no_framework() -> None:
    code = (
        "import sys, trufor_onnx as tx; assert 'torch' not in sys.modules; "
        "assert 'numpy' not in sys.modules; tx.ModelSpec; assert 'torch' not in sys.modules; "
        "tx.gate; import trufor_onnx.export.cli; assert callable(tx.export); "
        "assert set(tx.__all__) <= set(dir(tx)); print([getattr(tx, n) for n in tx.__all__])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tx.nothing  # noqa: B018 - asking is the test


def limits(limit: str) -> Path:
    path = Path("limits.toml")
    path.write_text(LIMITS.format(limit=limit))
    return path


def judged_by(path: Path) -> tx.ParityReport:
    exported = tx.export(spec(), weights="plain.pth", out="models")
    return tx.compare(spec(), exported, on="photos", tolerances=path)


@pytest.mark.usefixtures("place")
def test_own_limits_judge_the_run_and_the_gate_wants_them_too() -> None:
    report = judged_by(limits("0.5"))
    assert report.passed
    (page,) = report.write("report", ["markdown"])[1:]
    assert re.search(r"limits of its own, from limits.toml \(\w{16}\): detector/", page.read_text())
    # The gate was not given them: what the report says of its own limits is not believed.
    without = tx.gate(report)
    assert "tolerances" in without.stopped_by
    assert "limits.toml" in next(f.saw for f in without.findings if f.rule == "tolerances")
    assert parity(["gate", "report/parity.json", "--onnx-models", "models"]) == 1
    assert "tolerances" not in tx.gate(report, tolerances="limits.toml").stopped_by
    given = ["--tolerances", "limits.toml", "--onnx-models", "models"]
    assert parity(["gate", "report/parity.json", *given]) == 0
    # And it judges by what it is given.
    strict = tx.gate(report, tolerances=limits("1e-15"))
    assert {"tolerances", "verdicts"} <= set(strict.stopped_by)


@pytest.mark.usefixtures("place")
def test_strict_limits_of_ones_own_fail() -> None:
    report = judged_by(limits("1e-15"))
    assert not report.passed
    decision = tx.gate(report, tolerances="limits.toml")
    found = {f.rule: f.outcome for f in decision.findings}
    assert (found["tolerances"], found["verdicts"]) == (Outcome.PASS, Outcome.FAIL)


@pytest.mark.usefixtures("place")
def test_a_report_that_hides_its_limits_is_judged_by_ours() -> None:
    """Errors that only limits of its own allow, and no word of these."""
    report = judged_by(limits("0.5"))

    def worse(rows: Iterable[Row]) -> tuple[Row, ...]:
        return tuple(
            row if row.backend == SOURCE else replace(row, mae=0.4, max_abs=0.4) for row in rows
        )

    images, shapes = worse(report.report.rows), worse(report.report.shape_rows)
    with using(read_tolerances(Path("limits.toml"))):
        groups = (*summarise(images, "images"), *summarise(shapes, "shapes"))
    edited = replace(report.report, rows=images, shape_rows=shapes, groups=groups)
    hidden = {**edited.environment, "tolerances_sha256": tolerances_digest()}
    del hidden["own_tolerances"]
    given = tx.gate(replace(report, report=edited), tolerances="limits.toml")
    assert "verdicts" not in given.stopped_by
    found = tx.gate(replace(report, report=replace(edited, environment=hidden)))
    assert "tolerances" not in found.stopped_by and "verdicts" in found.stopped_by


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("without", ["reason", "mae"])
def test_limits_need_a_reason(without: str) -> None:
    lines = LIMITS.format(limit="1").splitlines()
    Path("limits.toml").write_text("\n".join(x for x in lines if not x.startswith(without)))
    with pytest.raises(ParityError, match=r"limits\.toml.*(incomplete|no reason)"):
        tx.compare(spec(), "a.onnx", on="photos", weights="plain.pth", tolerances="limits.toml")


@pytest.mark.usefixtures("place")
def test_limits_of_a_shipped_network_are_said() -> None:
    path = limits("1")
    path.write_text(path.read_text().replace("detector/*/map", "trufor/*/map"))
    own = read_tolerances(path)
    assert own is not None and own.document()["of_shipped"] == ["trufor/*/map"]
