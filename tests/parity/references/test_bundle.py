"""A bundle takes the place of torch: with it a run imports none of it, and trusts nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.parity.cli import main
from trufor_onnx.parity.references import bundle as bundle_module

# Importing these raises; the tiny networks are registered as specifications, which build nothing.
SCRIPT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "timm", "onnx", "onnx_ir", "onnxsim", "torchvision"}:
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Refuse())
from dataclasses import dataclass, replace
import trufor_onnx.export.networks.registry
import trufor_onnx.parity.references.subject
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP

class Arguments:
    def __init__(self, text):
        self.text = text
    def __repr__(self):
        return self.text

def tiny(spec, name, text, **changes):
    arguments = {"config": Arguments(text)}
    return replace(spec, name=name, builder_arguments=arguments, files=(), **changes)

texts = sys.argv[1:3]
tiny_np = tiny(NOISEPRINT_PP, "tiny_np", texts[0], prefix="")
outputs = tuple(
    replace(tensor, axes=(tensor.axes[0], channels, *tensor.axes[2:]))
    for tensor, channels in zip(MIT_B2.outputs, (4, 8, 12, 16), strict=True)
)
tiny_mit = tiny(MIT_B2, "tiny_mit", texts[1], outputs=outputs)
trufor_onnx.export.networks.registry.registered = lambda: {"tiny_np": tiny_np, "tiny_mit": tiny_mit}
trufor_onnx.parity.references.subject.NOISEPRINT_PP = tiny_np
from trufor_onnx.parity.cli import main
code = main(sys.argv[3:])
assert not {"torch", "timm", "onnx", "onnx_ir"} & set(sys.modules)
sys.exit(code)
"""


@dataclass
class Made:
    """A finished bundle, and what the command said."""

    path: Path
    code: int


@pytest.fixture(autouse=True)
def images(make_images: Callable[..., Path]) -> Path:
    return make_images(2)


@pytest.fixture
def make_bundle(
    tiny: Any,  # noqa: ARG001 - registers the tiny networks
    images: Path,
    tmp_path: Path,
    exported: Callable[[str], Path],
) -> Callable[..., Made]:
    def make(*arguments: str, models: tuple[str, ...] = ("tiny_np",), name: str = "b") -> Made:
        for model in models:
            exported(model)
        path = tmp_path / name
        given = ["reference", "--models", *models, "--images", str(images), "--out", str(path)]
        given += ["--stand-in", "golden", "--threads", "1", *arguments]
        return Made(path, main(given))

    return make


def run(*arguments: object, images: Path) -> tuple[int, dict[str, Any]]:
    """``parity run`` without a word on weights: the bundle decides."""
    out = images.parent / "out_bundle"
    shutil.rmtree(out, ignore_errors=True)
    given = ["run", "--threads", "1", "--images", str(images), "--out", str(out)]
    code = main([*given, *map(str, arguments)])
    written = out / "parity.json"
    return code, json.loads(written.read_text()) if written.is_file() else {}


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report["rows"] + report["shape_rows"]
    return found


def test_a_bundle_gives_the_figures_that_torch_gives(
    parity: Any, make_bundle: Callable[..., Made], images: Path
) -> None:
    models = ("tiny_np", "tiny_mit")
    made = make_bundle("--seed", "7", models=models)
    assert made.code == 0
    live = parity("--models", *models, "--seed", "7")
    code, report = run("--models", *models, "--reference", made.path, images=images)
    assert (live.code, code) == (0, 0)
    assert rows(report) == rows(live.report)
    for model in models:
        about = report["models"][model]
        assert about["weights"] == live.report["models"][model]["weights"]
        assert about["proof"] == "proven"
        assert about["seed"] == {"value": 7, "origin": "the bundle"}
        assert about["references"]["computed"] == about["references"]["from_cache"] == 0
        assert about["references"]["from_bundle"] > 0
        assert about["bundle"]["same_machine"] is True
        assert len(about["bundle"]["sha256"]) == 64


def test_the_sizes_of_another_seed_are_not_in_a_bundle(
    make_bundle: Callable[..., Made], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_bundle()
    given = ("--models", "tiny_np", "--reference", made.path)
    code, report = run(*given, images=images)
    seed = report["models"]["tiny_np"]["seed"]["value"]
    assert code == 0
    assert run(*given, "--seed", seed, images=images)[0] == 0
    assert run(*given, "--seed", seed + 1, images=images) == (2, {})
    assert f"were drawn with seed {seed}, not {seed + 1}" in capsys.readouterr().err


def test_the_same_bytes_twice(make_bundle: Callable[..., Made]) -> None:
    first, second = make_bundle(), make_bundle("--no-cache", name="c")
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_run_with_a_bundle_imports_no_torch(
    tiny: Any, make_bundle: Callable[..., Made], images: Path, tmp_path: Path
) -> None:
    models = ("tiny_np", "tiny_mit")
    made = make_bundle(models=models)
    texts = [repr(tiny[name].builder_arguments["config"]) for name in models]
    command = [sys.executable, "-c", SCRIPT, *texts, "run", "--models", *models]
    command += ["--images", str(images), "--reference", str(made.path), "--threads", "1"]
    command += ["--out", str(tmp_path / "torch_free")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "torch_free" / "parity.json").read_text())
    assert {row["status"] for row in rows(report)} == {"pass"}
    assert {row["proof"] for row in rows(report)} == {"proven", "source"}
    # The same command without the bundle would need torch.
    bare = [word for word in command if word not in ("--reference", str(made.path))]
    failed = subprocess.run(
        [*bare, "--no-cache"], capture_output=True, text=True, check=False, timeout=120
    )
    assert failed.returncode != 0


def test_an_image_that_is_not_in_the_bundle_is_an_error(
    make_bundle: Callable[..., Made], make_images: Callable[..., Path], images: Path
) -> None:
    made = make_bundle()
    make_images(3)
    code, report = run("--models", "tiny_np", "--reference", made.path, images=images)
    assert code == 2
    bad = [row for row in rows(report) if row["status"] == "error"]
    assert [row["image"] for row in bad] == ["image_0002.png"]
    assert "parity reference --images" in bad[0]["reason"]
    assert {row["status"] for row in rows(report) if row not in bad} == {"pass"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stand-in", "another"], "not with the weights that were chosen"),
        (["--pixel-scale", "255"], "scale 256.0 instead of 255.0"),
        (["--models", "tiny_mit"], "holds no references of tiny_mit"),
    ],
)
def test_what_the_bundle_was_not_made_for_is_an_error_with_a_remedy(
    make_bundle: Callable[..., Made],
    exported: Callable[[str], Path],
    images: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    made = make_bundle()
    exported("tiny_mit")
    code, report = run(
        *(arguments if "--models" in arguments else ["--models", "tiny_np", *arguments]),
        *("--reference", made.path),
        images=images,
    )
    assert (code, report) == (2, {})
    error = capsys.readouterr().err
    assert said in error
    assert "parity reference" in error


def test_a_checkpoint_other_than_the_bundle_s_is_an_error(
    make_bundle: Callable[..., Made], images: Path, tmp_path: Path
) -> None:
    made = make_bundle()
    (tmp_path / "other.pth").write_bytes(b"other weights")
    given = ["--models", "tiny_np", "--weights", tmp_path / "other.pth"]
    assert run(*given, "--reference", made.path, images=images) == (2, {})


def test_an_onnx_file_of_other_weights_is_refuted_without_torch(
    make_bundle: Callable[..., Made], images: Path, tmp_path: Path
) -> None:
    made = make_bundle()
    from trufor_onnx.export.build import export_model
    from trufor_onnx.export.networks.registry import find
    from trufor_onnx.export.weights.sources import WeightsSource

    other = tmp_path / "other"
    export_model(find("tiny_np"), WeightsSource(stand_in="another"), other)
    given = ["--models", "tiny_np", "--onnx-models", other, "--reference", made.path]
    code, report = run(*given, images=images)
    assert code == 1
    candidates = [row for row in rows(report) if row["backend"] == "onnxruntime"]
    assert {row["status"] for row in candidates} == {"fail"}
    assert {row["proof"] for row in candidates} == {"other weights"}
    assert {row["mae"] for row in candidates} == {None}


@pytest.mark.parametrize("damage", ["cut", "index", "empty"])
def test_a_bundle_that_is_cut_off_or_edited_is_an_error(
    make_bundle: Callable[..., Made],
    images: Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    made = make_bundle()
    data = made.path.read_bytes()
    changed = {"cut": data[:-1], "empty": b"", "index": data[:-60] + b"x" + data[-59:]}[damage]
    made.path.write_bytes(changed)
    assert run("--models", "tiny_np", "--reference", made.path, images=images) == (2, {})
    assert "parity reference" in capsys.readouterr().err


def test_an_edited_array_is_never_compared_with(
    make_bundle: Callable[..., Made], images: Path
) -> None:
    made = make_bundle("--no-shapes")
    data = bytearray(made.path.read_bytes())
    with bundle_module.Container(made.path) as container:
        last = container.items[-1].stored[0]
    data[last.offset] ^= 1
    made.path.write_bytes(bytes(data))
    given = ["--models", "tiny_np", "--no-shapes", "--reference", made.path]
    code, report = run(*given, images=images)
    assert code == 2
    bad = [row for row in rows(report) if row["status"] == "error"]
    assert len(bad) == 1
    assert "not those that were written" in bad[0]["reason"]


def test_another_machine_s_float32_is_never_mixed_in_unsaid(
    make_bundle: Callable[..., Made],
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = make_bundle()
    monkeypatch.setattr(bundle_module, "machine", lambda **_: {"processor": "another"})
    capsys.readouterr()
    code, report = run("--models", "tiny_np", "--reference", made.path, images=images)
    assert code == 0
    about = report["models"]["tiny_np"]
    assert about["bundle"]["same_machine"] is False
    assert "ON ANOTHER MACHINE" in capsys.readouterr().out
    assert "ANOTHER MACHINE" in (images.parent / "out_bundle" / "parity.md").read_text()
    code, report = run(
        *("--models", "tiny_np", "--reference", made.path, "--threads", "2"), images=images
    )
    assert report["models"]["tiny_np"]["bundle"]["same_machine"] is False


def test_other_threads_are_another_environment(
    make_bundle: Callable[..., Made], images: Path
) -> None:
    made = make_bundle()
    given = ["--models", "tiny_np", "--reference", made.path, "--threads", "2"]
    _, report = run(*given, images=images)
    assert report["models"]["tiny_np"]["bundle"]["same_machine"] is False


def test_an_unreadable_image_is_left_out_and_named(
    make_bundle: Callable[..., Made], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "image_0001.png").write_bytes(b"spoiled")
    made = make_bundle("--no-shapes")
    assert made.code == 2
    assert "left out: image_0001.png" in capsys.readouterr().err
    given = ["--models", "tiny_np", "--no-shapes", "--reference", made.path]
    code, report = run(*given, images=images)
    assert code == 2
    assert [row["status"] for row in report["rows"]].count("error") == 1


def test_a_bundle_that_cannot_be_written_is_an_error(
    make_bundle: Callable[..., Made], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert make_bundle(name="file/b").code == 2
