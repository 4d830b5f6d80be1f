"""Other ways to pass without having earned it, through the command line. None may exit 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from trufor_onnx.files import sha256_file
from trufor_onnx.parity.runners import onnxruntime_runner
from trufor_onnx.providers import NAMES


@pytest.fixture(autouse=True)
def images(make_images: Callable[..., Path]) -> Path:
    return make_images(2)


def test_the_file_itself_passes(parity: Any, exported: Callable[[str], Path]) -> None:
    exported("tiny_np")
    ran = parity()
    assert ran.code == 0
    assert {row["status"] for row in ran.rows} == {"pass"}
    assert {row["proof"] for row in ran.rows} == {"proven"}


def test_other_weights_are_not_even_run(
    parity: Any, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported("tiny_np")
    monkeypatch.delattr("trufor_onnx.parity.running.side_by_side.OnnxRuntimeRunner")
    ran = parity("--stand-in", "another")
    assert ran.code == 1
    assert {row["status"] for row in ran.rows} == {"fail"}
    assert all("it holds stand-in weights (seed golden)" in row["reason"] for row in ran.rows)
    assert {row["proof"] for row in ran.rows} == {"other weights"}
    assert {row["mae"] for row in ran.rows} == {None}


@pytest.mark.parametrize("what", ["empty", "missing", "no pictures"])
def test_no_images(parity: Any, exported: Callable[[str], Path], tmp_path: Path, what: str) -> None:
    exported("tiny_np")
    place = tmp_path / "none"
    if what != "missing":
        place.mkdir()
    if what == "no pictures":
        (place / "notes.txt").write_text("x")
    ran = parity(images=place)
    assert (ran.code, ran.report) == (2, {})
    assert str(place) in ran.err and "hint" in ran.err


def test_no_models(parity: Any) -> None:
    ran = parity("--models", ",")
    assert (ran.code, ran.report) == (2, {})
    assert "no model to compare" in ran.err


def test_cuda_asked_for_and_absent(parity: Any, exported: Callable[[str], Path]) -> None:
    exported("tiny_np")
    ran = parity("--providers", "cpu,cuda")
    assert (ran.code, ran.report) == (2, {})
    assert "CUDAExecutionProvider did not load" in ran.err
    assert "trufor-onnx[gpu]" in ran.err


def test_cuda_under_auto_is_shown_as_not_run(parity: Any, exported: Callable[[str], Path]) -> None:
    exported("tiny_np")
    ran = parity("--providers", "auto", shapes=False)
    assert ran.code == 0
    status = {row["provider"]: row["status"] for row in ran.rows}
    assert status == {"cpu": "pass", "cuda": "not run"}
    assert ran.report["summary"]["counts"]["not run"] == 6  # four of made pictures
    assert "not run" in ran.out
    assert "CUDAExecutionProvider did not load" in ran.err


def test_a_run_in_which_every_candidate_was_skipped(
    parity: Any, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported("tiny_np")
    skipped = [SimpleNamespace(name="cuda", required=False, options={}, execution_provider="x")]
    monkeypatch.setattr("trufor_onnx.parity.commands.arguments.parse_providers", lambda _: skipped)
    ran = parity()
    assert ran.code == 2
    assert ran.report["summary"]["status"] == "not run"
    assert {row["status"] for row in ran.rows} == {"not run"}


def test_a_provider_that_falls_back_in_silence(
    parity: Any, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lists CUDA, takes the session, and runs on the CPU."""
    exported("tiny_np")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(NAMES.values()))
    make = onnxruntime.InferenceSession

    def fall_back(path: str, options: Any, providers: Any, **rest: Any) -> Any:  # noqa: ARG001
        return make(path, options, providers=[NAMES["cpu"]], **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
    ran = parity("--providers", "cuda")
    assert (ran.code, ran.report) == (2, {})
    assert "cuda was asked for and CPUExecutionProvider ran" in ran.err


def test_a_provider_that_falls_back_in_the_middle_of_a_run(
    parity: Any, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported("tiny_np")
    calls = []  # opening, the trial twice, the first image, and then

    def count(provider: Any, session_providers: list[str]) -> None:
        calls.append(provider.name)
        said = session_providers if len(calls) < 5 else ["SomethingElse"]
        require_ran(provider, said)

    require_ran = onnxruntime_runner.require_ran
    monkeypatch.setattr(onnxruntime_runner, "require_ran", count)
    ran = parity(shapes=False)
    assert ran.code == 2
    assert [row["status"] for row in ran.rows] == ["pass", "error"]


def test_another_network_s_file(parity: Any, exported: Callable[[str], Path]) -> None:
    path = exported("tiny_mit")
    path.with_suffix(".lock.json").unlink()
    ran = parity("--candidate", f"tiny_np={path}")
    assert (ran.code, ran.report) == (2, {})
    assert "its inputs are rgb, np; tiny_np has image" in ran.err


def test_a_lock_of_another_file_beside_it(parity: Any, exported: Callable[[str], Path]) -> None:
    other = exported("tiny_mit").with_suffix(".lock.json")
    path = exported("tiny_np")
    other.replace(path.with_suffix(".lock.json"))
    ran = parity()
    assert ran.code == 1
    assert "its lock is of tiny_mit" in ran.rows[0]["reason"]


def test_a_manifest_s_picture_that_was_replaced(
    parity: Any, exported: Callable[[str], Path], images: Path
) -> None:
    exported("tiny_np")
    files = sorted(images.glob("*.png"))
    listed = [{"file": path.name, "sha256": sha256_file(path)} for path in files]
    (images / "manifest.json").write_text(json.dumps({"images": listed}))
    files[1].write_bytes(files[0].read_bytes())
    ran = parity()
    assert ran.code == 2
    bad = [row for row in ran.report["rows"] if row["status"] == "error"]
    assert [row["image"] for row in bad] == [files[1].name]
    assert "not the file that the manifest lists" in bad[0]["reason"]


def test_of_two_candidates_both_are_judged(
    parity: Any, edited: Callable[..., Path], exported: Callable[[str], Path], tmp_path: Path
) -> None:
    """The first was dropped without a word, and a wrong file passed beside a right one."""

    def halve(proto: onnx.ModelProto) -> None:
        name = proto.graph.output[0].name
        for node in proto.graph.node:
            node.output[:] = ["whole" if n == name else n for n in node.output]
        proto.graph.node.append(onnx.helper.make_node("Add", ["whole", "whole"], [name]))

    bad = edited("tiny_np", halve)
    good = tmp_path / "good.onnx"
    good.write_bytes(exported("tiny_np").read_bytes())
    both = ("--candidate", f"tiny_np={bad}", "--candidate", f"tiny_np={good}")
    for files in (both, (*both[2:], *both[:2]), (*both, *both)):
        ran = parity(*files, shapes=False)
        assert ran.code == 1
        named = {
            n: v["file"]["name"] for n, v in ran.report["models"]["tiny_np"]["variants"].items()
        }
        assert sorted(named) == ["candidate", "candidate #2"]
        status = {named[row["variant"]]: row["status"] for row in ran.rows}
        assert status == {"tiny_np_edited.onnx": "fail", "good.onnx": "pass"}
        assert len(ran.rows) == 4


def test_a_list_that_is_given_twice_is_refused(parity: Any) -> None:
    for option, one, other in (("--providers", "cpu", "cuda"), ("--variant", "portable", "ort")):
        with pytest.raises(SystemExit) as ended:
            parity(option, one, option, other)
        assert ended.value.code == 2


def test_models_given_one_by_one_are_all_judged(
    parity: Any, exported: Callable[[str], Path]
) -> None:
    exported("tiny_np"), exported("tiny_mit")
    ran = parity("--models", "tiny_np", "--models", "tiny_mit", shapes=False)
    assert {row["model"] for row in ran.rows} == {"tiny_np", "tiny_mit"}


def test_a_backend_of_another_name_is_judged_as_a_candidate(
    parity: Any, edited: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows carry the file's variant and proof: other weights fail, whoever runs them."""

    class MyRunner(onnxruntime_runner.OnnxRuntimeRunner):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.backend = "mybackend"

    def scale(proto: Any) -> None:
        tensor = proto.graph.initializer[0]
        values = numpy_helper.to_array(tensor) * np.float32(1.01)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    other = edited("tiny_np", scale)
    monkeypatch.setattr("trufor_onnx.parity.running.side_by_side.OnnxRuntimeRunner", MyRunner)
    ran = parity("--candidate", f"tiny_np={other}", shapes=False)
    assert ran.code == 1
    about = {(row["backend"], row["variant"], row["proof"], row["status"]) for row in ran.rows}
    assert about == {("mybackend", "candidate", "weights unproven", "fail")}
