"""``python -m parity locate``: exit codes, table, JSON, files, and mistakes without a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.parity.locate.conftest import set_weight
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.parity.cli import main

Run = Callable[..., int]


@pytest.fixture
def run(
    networks: dict[str, ModelSpec],  # noqa: ARG001 - registers the tiny networks
    exported: Callable[[str], Path],
    make_images: Callable[..., Path],
) -> Run:
    exported("tiny_np")
    images = make_images(1)

    def call(*arguments: object) -> int:
        given = ["locate", "--stand-in", "golden", "--size", "32x40", "--images", str(images)]
        words = [str(word) for word in arguments]
        return main([*given, *words] if words[:1] == ["tiny_np"] else [*given, "tiny_np", *words])

    return call


@pytest.fixture
def faulty(edited: Callable[..., Path]) -> Path:
    def change(proto: onnx.ModelProto) -> None:
        set_weight(proto, "0.bias", lambda array: array * 1.5)

    return edited("tiny_np", change)


def test_a_sound_file_exits_0(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert "No part creates error beyond float32 rounding" in out
    assert "convolution, native_batch_norm" in out


def test_a_fault_exits_1_and_is_named(
    run: Run, faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--candidate", f"tiny_np={faulty}") == 1
    assert "\n0 creates the error: " in capsys.readouterr().out


def test_json_and_files_say_the_same(
    run: Run, faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--candidate", f"tiny_np={faulty}", "--json", "--out", tmp_path / "out") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "locate.json").read_text())
    assert (printed["schema_version"], printed["first"]) == (2, "0")
    assert [part["creates"] for part in printed["parts"]] == [True, False, False, False, False]
    page = (tmp_path / "out" / "locate.md").read_text()
    assert printed["sentence"].split(":")[0] in page
    assert page.count("**creates**") == 1


def test_mistakes_exit_2(
    run: Run, edited: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = edited("tiny_mit", lambda proto: proto.graph.ClearField("doc_string"))
    (tmp_path / "broken.onnx").write_bytes(b"no protobuf")
    for arguments, message in (
        (["--candidate", f"tiny_np={tmp_path / 'none.onnx'}"], "no file"),
        (["--candidate", f"tiny_np={tmp_path / 'broken.onnx'}"], "not a readable ONNX file"),
        (["--candidate", f"tiny_np={other}"], "another network's file"),
        (["--variant", "int8"], "tiny_np.int8.onnx"),
        (["--size", "0x8"], "not HxW"),
        (["--stand-in", "another"], "the reference runs with"),
        (["--images", tmp_path / "none.png"], "none.png"),
    ):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "hint: " in error
        assert "Traceback" not in error


def test_a_candidate_is_named_as_everywhere(
    run: Run, faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last release took the file alone: that is said, and what can mean two is refused."""
    assert run("--candidate", faulty) == 1
    assert capsys.readouterr().err == "note: --candidate FILE is now --candidate MODEL=FILE\n"
    for wrong in (f"tiny_mit={faulty}", "tiny_np=", "=x.onnx"):
        assert run("--candidate", wrong) == 2
        assert f"--candidate {wrong}: not tiny_np=FILE" in capsys.readouterr().err
    here = Path("x.onnx")
    for path in (here, Path("tiny_np=x.onnx")):
        path.write_bytes(faulty.read_bytes())
    assert run("--candidate", "tiny_np=x.onnx") == 2
    assert "there are both" in capsys.readouterr().err
    here.unlink()
    assert run("--candidate", "tiny_np=x.onnx") == 1
    assert "note: " in capsys.readouterr().err


def test_weights_that_nothing_ties_to_the_reference_are_refused(
    run: Run, edited: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def change(proto: onnx.ModelProto) -> None:
        del proto.metadata_props[:]
        for index, tensor in enumerate(proto.graph.initializer):
            old, tensor.name = tensor.name, f"weight_{index}"
            array = onnx.numpy_helper.to_array(tensor)[::-1] * 1.1 + 0.1
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype("float32"), tensor.name))
            for node in proto.graph.node:
                node.input[:] = [tensor.name if name == old else name for name in node.input]

    assert run("--candidate", f"tiny_np={edited('tiny_np', change)}") == 2
    assert "none of its initializers can be traced" in capsys.readouterr().err
