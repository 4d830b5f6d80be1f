"""The defects of a widely copied export, planted one by one: each is caught by a tensor's name.

That export loads a one-branch checkpoint with "missing names are fine", so that a quarter of the
encoder is a fresh random draw in every process; the published comparison did not notice.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from trufor_onnx.errors import CoverageError
from trufor_onnx.export.build import ExportedFile, export_model
from trufor_onnx.export.check import check_file
from trufor_onnx.export.lock import file_entry, lock_path, read_lock, write_lock
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import stand_in_weights
from trufor_onnx.parity.references.identity import Identity, identify
from trufor_onnx.parity.references.networks import known_weights
from trufor_onnx.parity.references.proving import Rebuilder
from trufor_onnx.parity.results.rows import PROVEN, REFUTED

Specs = dict[str, ModelSpec]
Tensors = dict[str, torch.Tensor]

CHECKPOINT = Path("trufor.pth.tar")  # in the test's working folder
# Two tensors of equal shape, in the checkpoint and as the graph has them.
FIRST, SECOND = "backbone.block2.0.attn.q.weight", "backbone.block2.1.attn.q.weight"
FIRST_IN_GRAPH, SECOND_IN_GRAPH = "block2.0.attn.q.weight.T", "block2.1.attn.q.weight.T"

pytestmark = pytest.mark.usefixtures("tiny_registry")


@pytest.fixture(scope="module")
def whole(tiny: Specs) -> Tensors:
    """A checkpoint of the tiny whole network."""
    return dict(stand_in_weights(tiny["trufor"], tiny["trufor"].build(), "trained").tensors)


def save(tensors: Tensors, folder: str) -> Path:
    path = Path(folder) / CHECKPOINT
    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": tensors}, path)
    return path


@pytest.fixture(scope="module")
def honest_folder(
    tiny: Specs, whole: Tensors, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ExportedFile]:
    """A checkpoint, and the encoder exported from it."""
    folder = tmp_path_factory.mktemp("honest")
    path = save(whole, str(folder))
    return folder, export_model(tiny["mit_b2"], WeightsSource(path), folder / "out")


@pytest.fixture
def honest(honest_folder: tuple[Path, ExportedFile], tmp_path: Path) -> Path:
    """A copy of that export, to be tampered with; its checkpoint is ``CHECKPOINT``."""
    shutil.copytree(honest_folder[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "out/mit_b2.onnx"


def judged(path: Path, spec: ModelSpec, source: WeightsSource) -> Identity:
    return identify(path, spec, known_weights(spec, source, None), prover=Rebuilder())


def test_the_honest_file_is_proven(honest: Path, tiny: Specs) -> None:
    source = WeightsSource(CHECKPOINT)
    assert judged(honest, tiny["mit_b2"], source).proof == PROVEN
    assert check_file(honest, source).outcome == 0


def test_a_tensor_left_out_of_the_checkpoint(tiny: Specs, whole: Tensors, tmp_path: Path) -> None:
    rest = {name: tensor for name, tensor in whole.items() if name != FIRST}
    with pytest.raises(CoverageError) as refusal:
        export_model(tiny["mit_b2"], WeightsSource(save(rest, "w")), tmp_path / "out")
    assert f"missing 1 tensors, {whole[FIRST].numel()} parameters" in str(refusal.value)
    assert FIRST.removeprefix("backbone.") in str(refusal.value)


def edit(path: Path, change: Any) -> None:
    proto = onnx.load(path)
    change({tensor.name: tensor for tensor in proto.graph.initializer}, proto.graph)
    onnx.save(proto, path)


def swap(tensors: dict[str, Any], _: Any) -> None:
    first, second = tensors[FIRST_IN_GRAPH], tensors[SECOND_IN_GRAPH]
    assert first.dims == second.dims
    assert first.raw_data != second.raw_data
    first.raw_data, second.raw_data = second.raw_data, first.raw_data


def rename(tensors: dict[str, Any], _: Any) -> None:
    """As `swap`, but by exchanging the two names."""
    first, second = tensors[FIRST_IN_GRAPH], tensors[SECOND_IN_GRAPH]
    first.name, second.name = second.name, first.name


def leave_out(tensors: dict[str, Any], graph: Any) -> None:
    graph.initializer.remove(tensors[FIRST_IN_GRAPH])


def test_a_tensor_left_out_of_the_file(honest: Path, tiny: Specs) -> None:
    edit(honest, leave_out)
    found = judged(honest, tiny["mit_b2"], WeightsSource(CHECKPOINT))
    assert found.proof == REFUTED
    assert f"initializers that differ: {FIRST_IN_GRAPH};" in found.reason


@pytest.mark.parametrize("exchange", [swap, rename])
def test_two_tensors_swapped_in_the_file(exchange: Any, honest: Path, tiny: Specs) -> None:
    edit(honest, exchange)
    found = judged(honest, tiny["mit_b2"], WeightsSource(CHECKPOINT))
    assert found.proof == REFUTED
    assert f"initializers that differ: {FIRST_IN_GRAPH}, {SECOND_IN_GRAPH};" in found.reason


def test_two_tensors_swapped_in_the_file_and_its_lock_made_to_fit(
    honest: Path, tiny: Specs
) -> None:
    """Whoever writes the file's digest into the lock still has the initializers' digests there."""
    edit(honest, swap)
    locked = read_lock(honest)
    assert locked is not None
    write_lock(honest, {**locked, "file": file_entry(honest)})
    found = judged(honest, tiny["mit_b2"], WeightsSource(CHECKPOINT))
    assert found.proof == REFUTED
    assert f"not those of its lock: {FIRST_IN_GRAPH}, {SECOND_IN_GRAPH};" in found.reason


def test_two_tensors_swapped_in_the_checkpoint(honest: Path, tiny: Specs, whole: Tensors) -> None:
    """Coverage cannot see it: all names, shapes and dtypes are right. The lock can."""
    swapped = whole | {FIRST: whole[SECOND], SECOND: whole[FIRST]}
    source = WeightsSource(save(swapped, "swapped"))
    finding = check_file(honest, source)
    assert finding.outcome == 2
    assert f"other weights in {FIRST_IN_GRAPH}, {SECOND_IN_GRAPH}; name" in finding.sentence
    found = judged(honest, tiny["mit_b2"], source)
    assert found.proof == REFUTED


def test_one_branch_only(tiny: Specs, whole: Tensors, tmp_path: Path) -> None:
    """One branch of a full checkpoint is no SegFormer checkpoint: nothing is copied."""
    rest = {n: t for n, t in whole.items() if not n.startswith("backbone.extra_")}
    with pytest.raises(CoverageError) as refusal:
        export_model(tiny["mit_b2"], WeightsSource(save(rest, "w")), tmp_path / "out")
    assert re.search(
        r"missing \d+ tensors.* in (extra_\w+\.\* \(\d+\)(, | and )?)+", str(refusal.value)
    )
    assert "extra_block4.0.mlp.fc1.weight" in str(refusal.value)


def test_a_segformer_checkpoint(tiny: Specs, whole: Tensors, tmp_path: Path) -> None:
    branch = {
        n.removeprefix("backbone."): t
        for n, t in whole.items()
        if n.startswith("backbone.") and not re.search("extra_|FRMs|FFMs", n)
    } | {"head.weight": torch.zeros(10, 16), "head.bias": torch.zeros(10)}
    path = tmp_path / "mit_b2.pth"
    torch.save(branch, path)
    with pytest.raises(CoverageError, match=r"FRMs\.\*, FFMs\.\* are in no such file"):
        export_model(tiny["mit_b2"], WeightsSource(path), tmp_path / "out")
    source = WeightsSource(path, stand_in="golden")
    exported = export_model(tiny["mit_b2"], source, tmp_path / "out")
    assert "mit_b2.pth + stand-in weights (seed golden) for" in exported.weights
    # The same from another seed: other tensors of FRMs and FFMs, and of nothing else.
    finding = check_file(exported.path, WeightsSource(path, stand_in="other"))
    assert finding.outcome == 2
    named = finding.sentence.partition("other weights in ")[2].partition(" and ")[0].split(", ")
    assert named
    assert all(name.startswith(("FRMs.", "FFMs.")) for name in named)


def test_rebuilt_with_another_seed(tiny: Specs, tmp_path: Path) -> None:
    """Two processes that each draw their own weights: the published defect itself."""
    spec = tiny["noiseprint_pp"]
    committed = export_model(spec, WeightsSource(stand_in="golden"), tmp_path / "one")
    redrawn = export_model(spec, WeightsSource(stand_in="redrawn"), tmp_path / "two")
    lock_path(redrawn.path).write_bytes(lock_path(committed.path).read_bytes())
    found = judged(redrawn.path, spec, WeightsSource(stand_in="golden"))
    assert found.proof == REFUTED
    assert "initializers that differ: 0.bias, 0.weight, 2.folded_bias" in found.reason
    finding = check_file(redrawn.path, WeightsSource())
    assert finding.outcome == 1
    assert "noiseprint_pp.onnx beside it is not the file that it locks" in finding.sentence


def test_compared_with_another_seed(tiny: Specs, tmp_path: Path) -> None:
    spec = tiny["noiseprint_pp"]
    exported = export_model(spec, WeightsSource(stand_in="golden"), tmp_path / "out")
    found = judged(exported.path, spec, WeightsSource(stand_in="other"))
    assert found.proof == REFUTED
    assert "stand-in weights (seed golden)" in found.reason
    assert "stand-in weights (seed other)" in found.reason
