"""Variants of a network are judged beside each other, with one reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from trufor_onnx.export.build import export_model
from trufor_onnx.export.lock import file_entry
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.runners.torch_runner import TorchRunner

VARIANT = "plain"


@pytest.fixture(autouse=True)
def images(make_images: Callable[..., Path]) -> Path:
    return make_images(1)


@pytest.fixture
def variant(exported: Callable[[str], Path], tiny: dict[str, ModelSpec]) -> Path:
    """A file ``tiny_np.plain.onnx`` with its lock, beside the portable one."""
    folder = exported("tiny_np").parent
    source = WeightsSource(stand_in="golden")
    return export_model(tiny["tiny_np"], source, folder, variant=VARIANT).path


def write_lock(path: Path, variant: str) -> None:
    document = json.loads(path.with_name("tiny_np.lock.json").read_text())
    document |= {"variant": variant, "file": file_entry(path)}
    path.with_suffix(".lock.json").write_text(json.dumps(document))


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {row["variant"]: row["status"] for row in report["rows"]}


def test_two_variants_share_a_reference(
    parity: Any,
    variant: Path,  # noqa: ARG001 - it lies in the folder
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[str] = []
    run = TorchRunner.run

    def watched(runner: TorchRunner, feeds: Any) -> Any:
        runs.append(runner.backend)
        return run(runner, feeds)

    monkeypatch.setattr(TorchRunner, "run", watched)
    ran = parity("--variant", f"portable,{VARIANT}", "--no-cache", shapes=False)
    both = len(runs)
    runs.clear()
    parity("--no-cache", shapes=False)
    assert len(runs) == both
    assert ran.code == 0
    assert statuses(ran.report) == {"source": "pass", "portable": "pass", VARIANT: "pass"}
    files = ran.report["models"]["tiny_np"]["variants"]
    assert [found["proof"] for found in files.values()] == ["proven", "proven"]
    assert f"onnxruntime cpu ({VARIANT})" in ran.out
    assert f"tiny_np.{VARIANT}.onnx" in ran.out


def test_a_wrong_variant_fails_and_the_other_does_not(
    parity: Any, variant: Path, tmp_path: Path
) -> None:
    proto = onnx.load(variant)
    node = onnx.helper.make_node("Neg", ["before"], [proto.graph.output[0].name])
    for made in proto.graph.node:
        made.output[:] = ["before" if n == node.output[0] else n for n in made.output]
    proto.graph.node.append(node)
    onnx.save(proto, variant)
    write_lock(variant, VARIANT)
    ran = parity("--variant", f"portable,{VARIANT}", shapes=False)
    assert ran.code == 1
    assert statuses(ran.report) == {"source": "pass", "portable": "pass", VARIANT: "fail"}
    names = (tmp_path / "out" / "parity.junit.xml").read_text()
    assert f"tiny_np.{VARIANT}.onnxruntime" in names


def test_a_variant_that_is_not_there_is_an_error_that_names_the_command(
    parity: Any, exported: Callable[[str], Path]
) -> None:
    exported("tiny_np")
    ran = parity("--variant", "portable,fp16")
    assert (ran.code, ran.report) == (2, {})
    assert "python -m export tiny_np --variant fp16" in ran.err


def test_a_lock_of_another_variant_than_the_name_is_an_error(parity: Any, variant: Path) -> None:
    write_lock(variant, "fp16")
    ran = parity("--variant", VARIANT)
    assert (ran.code, ran.report) == (2, {})
    assert f"its name says {VARIANT}, its lock fp16" in ran.err


def test_a_portable_file_whose_lock_says_another_variant_is_an_error(
    parity: Any, exported: Callable[[str], Path]
) -> None:
    """It would be judged by the other's tolerances, which may be wider."""
    path = exported("tiny_np")
    write_lock(path, "fp16")
    ran = parity()
    assert (ran.code, ran.report) == (2, {})
    assert "its name says portable, its lock fp16" in ran.err


def test_a_variant_without_a_lock_is_unproven_under_its_name(parity: Any, variant: Path) -> None:
    variant.with_suffix(".lock.json").unlink()
    ran = parity("--variant", f"portable,{VARIANT}", shapes=False)
    assert statuses(ran.report) == {"source": "pass", "portable": "pass", VARIANT: "pass"}
    proof = {row["variant"]: row["proof"] for row in ran.report["rows"]}
    assert proof[VARIANT] == "weights unproven"


def test_no_variant_at_all_is_an_error(parity: Any, exported: Callable[[str], Path]) -> None:
    exported("tiny_np")
    ran = parity("--variant", ",")
    assert (ran.code, ran.report) == (2, {})


def test_a_variant_that_ran_nowhere_is_no_pass(
    parity: Any,
    variant: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The portable file passed; of the other one nothing is known."""
    from trufor_onnx.errors import ProviderRunError
    from trufor_onnx.parity.running import side_by_side as bench

    real = bench.OnnxRuntimeRunner

    def absent(path: Path, provider: Any, **given: Any) -> Any:
        if path == variant.relative_to(Path.cwd()):
            raise ProviderRunError("cuda did not load", hint="")
        return real(path, provider, **given)

    monkeypatch.setattr(bench, "OnnxRuntimeRunner", absent)
    from trufor_onnx.providers import Provider

    optional = [Provider("cpu", required=False)]
    monkeypatch.setattr("trufor_onnx.parity.commands.arguments.parse_providers", lambda _: optional)
    ran = parity("--variant", f"portable,{VARIANT}", shapes=False)
    assert statuses(ran.report) == {"source": "pass", "portable": "pass", VARIANT: "not run"}
    assert ran.code == 2
