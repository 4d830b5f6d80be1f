"""Full-size networks: the seed export without a record, and faults in the real MiT-B2."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from trufor_onnx.export.build import export_model
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.locate.run import Question, locate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # minutes where others compute too


@pytest.fixture(scope="module")
def mit_b2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mit_b2")
    with warnings.catch_warnings():
        # torch's older tracer calls functions that torch itself calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return export_model(find("mit_b2"), WeightsSource(stand_in="golden"), folder).path


def test_three_faults_in_the_real_encoder(
    mit_b2: Path, make_images: Callable[..., Path], tmp_path: Path
) -> None:
    """In one file, so that the minute of walking is spent once: error is not passed on."""
    proto = onnx.load(mit_b2)
    nodes = {node.name: node for node in proto.graph.node}
    norm = nodes["/block2.1/norm1/LayerNormalization"]
    next(a for a in norm.attribute if a.name == "epsilon").f = 1e-5
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    first, second = (tensors[f"block3.{index}.attn.q.weight.T"] for index in (0, 1))
    first.raw_data, second.raw_data = second.raw_data, first.raw_data
    weight = onnx.numpy_helper.to_array(tensors["extra_block4.2.mlp.fc1.weight.T"]).copy()
    weight.reshape(-1)[12345] += np.float32(0.5)
    tensors["extra_block4.2.mlp.fc1.weight.T"].raw_data = weight.tobytes()
    path = tmp_path / "faulty.onnx"
    onnx.save(proto, path)
    images = make_images(1, size=(64, 96))
    source = WeightsSource(stand_in="golden")
    found = locate(Question("mit_b2", source, path, image=images, size=(64, 96)))
    assert [part.name for part in found.faults] == [
        "block2.1.norm1",
        "block3.0.attn.q",
        "block3.1.attn.q",
        "extra_block4.2.mlp.fc1",
    ]
    sound = [part.ratio for part in found.parts if not part.creates]
    assert len(sound) > 800
    assert max(sound) < 5.0  # measured 2.4; the limit is 8


def test_the_seed_export_without_a_record(shared: Path, make_images: Callable[..., Path]) -> None:
    data = shared / "data"
    source = WeightsSource(data / "weights" / "noiseprint++.th")
    candidate = data / "seed_onnx" / "noiseprint_pp.onnx"
    if not candidate.is_file() or source.path is None or not source.path.is_file():
        pytest.skip("no seed export or no published weights in the test data")
    question = Question("noiseprint_pp", source, candidate, image=make_images(1), size=(40, 48))
    found = locate(question)
    assert found.faults == []
    assert found.origins == {
        "record": 0, "name": 4, "content": 0, "scaled channels": 30, "unknown": 0
    }  # fmt: skip
    assert len(found.parts) == 33
