"""Variants: other graphs, the same network, each with its own file, lock and rebuild."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import Built, build_file, export_model
from trufor_onnx.export.check import check_file, locked_files
from trufor_onnx.export.graph.provenance import CHECKPOINT, CONSTANT
from trufor_onnx.export.lock import encode, lock_path, read_lock
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.variants import VARIANTS, file_stem, find_variant, split_stem
from trufor_onnx.export.weights.sources import WeightsSource

Specs = dict[str, ModelSpec]
Build = Callable[[str, str], Built]
ROOT = Path(__file__).resolve().parents[2]
SEED = WeightsSource(stand_in="s")
# The least size, odd ones, a strip, and the largest batch that is promised.
SHAPES = [(1, 32, 32), (2, 33, 47), (1, 101, 32), (8, 40, 36)]


@pytest.fixture(scope="session")
def variant_of(tiny: Specs) -> Build:
    @cache
    def build(name: str, variant: str) -> Built:
        return build_file(tiny[name], SEED, variant=variant)

    return build


def run(data: bytes, feeds: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, feeds)
    return outputs


def feeds(spec: ModelSpec, batch: int, height: int, width: int) -> dict[str, Any]:
    generator = np.random.default_rng(batch * height + width)
    channels = {"image": 3, "rgb": 3, "np": 1 if spec.name == "trufor_head" else 3}
    return {
        tensor.name: generator.random((batch, channels[tensor.name], height, width), np.float32)
        for tensor in spec.inputs
    }


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("ort", "noiseprint_pp"),
        ("ort", "trufor"),
        ("plain", "noiseprint_pp"),
        pytest.param("ort", "mit_b2", marks=pytest.mark.slow),
        pytest.param("ort", "trufor_head", marks=pytest.mark.slow),
        pytest.param("plain", "mit_b2", marks=pytest.mark.slow),
        pytest.param("plain", "trufor_head", marks=pytest.mark.slow),
    ],
)
def test_every_shape_gives_the_portable_outputs(
    variant: str, name: str, tiny: Specs, variant_of: Build, built: Any
) -> None:
    data = variant_of(name, variant).data
    for shape in SHAPES:
        given = feeds(tiny[name], *shape)
        expected = run(built(name).data, given)
        found = run(data, given)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert one.dtype == np.float32
            assert np.abs(one - other).max() < 2e-5 * max(1.0, np.abs(other).max()), shape


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mit_b2", "trufor"])
def test_fp16_at_every_shape(name: str, tiny: Specs, variant_of: Build, built: Any) -> None:
    half = variant_of(name, "fp16")
    assert half.document["transforms"]["float16"] > 0
    for shape in SHAPES:
        given = feeds(tiny[name], *shape)
        pairs = zip(run(half.data, given), run(built(name).data, given), strict=True)
        for one, other in pairs:
            assert one.shape == other.shape
            assert one.dtype == np.float32
            assert np.abs(one - other).max() < 2e-2 * max(1.0, np.abs(other).max()), shape


@pytest.mark.parametrize("name", ["trufor_head", pytest.param("trufor", marks=pytest.mark.slow)])
def test_the_answers_of_fp16_are_made_in_float32(name: str, variant_of: Build) -> None:
    """Sums over more than 65,504 pixels are no float16 numbers: on a GPU the score was NaN."""
    proto = onnx.shape_inference.infer_shapes(
        onnx.load_from_string(variant_of(name, "fp16").data), strict_mode=True
    )
    kinds = {v.name: v.type.tensor_type.elem_type for v in proto.graph.value_info}
    half = [
        node
        for node in proto.graph.node
        if kinds.get(node.output[0]) == onnx.TensorProto.FLOAT16 and node.op_type != "Cast"
    ]
    assert any("/block1.0/" in node.name for node in half)
    assert not [node.name for node in half if "/" not in node.name.strip("/")]
    assert not [node.name for node in half if "/detection/" in node.name]


def operators(data: bytes) -> set[tuple[str, str]]:
    return {(node.domain, node.op_type) for node in onnx.load_from_string(data).graph.node}


def test_ort_uses_the_fused_operators(variant_of: Build) -> None:
    used = operators(variant_of("trufor", "ort").data)
    assert ("com.microsoft", "MultiHeadAttention") in used
    assert ("com.microsoft", "Gelu") in used
    assert ("", "Erf") not in used
    assert ("", "BatchNormalization") not in used
    document = variant_of("trufor", "ort").document
    assert document["domains"] == {"com.microsoft": 1}
    assert "domains" not in variant_of("noiseprint_pp", "ort").document


@pytest.mark.parametrize("name", ["noiseprint_pp", "trufor"])
def test_nothing_is_computed_of_weights_alone(name: str, variant_of: Build) -> None:
    proto = onnx.load_from_string(variant_of(name, "ort").data)
    weights = {tensor.name for tensor in proto.graph.initializer}
    to_float64 = [node for node in proto.graph.node if node.op_type == "Cast"]
    assert not [
        node.name
        for node in proto.graph.node
        if node.input and set(node.input) <= weights and node not in to_float64
    ]


@pytest.mark.parametrize(
    ("variant", "name", "sums"),
    [
        # Ten a statistic of the score, over rows and then over them; contexts have four in each of
        # eight branches of a stage in two parts, `ort` one in float64 for each branch of the first.
        ("portable", "trufor", 36),
        ("ort", "trufor", 22),
        pytest.param("fp16", "trufor", 36, marks=pytest.mark.slow),
        pytest.param("portable", "mit_b2", 16, marks=pytest.mark.slow),
        pytest.param("ort", "mit_b2", 2, marks=pytest.mark.slow),
    ],
)
def test_no_file_has_one_sum_over_all_pixels(
    variant: str, name: str, sums: int, variant_of: Build
) -> None:
    """Row by row, also after the simplifier: docs/decisions/sums-by-rows.md."""
    proto = onnx.load_from_string(variant_of(name, variant).data)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Constant":
            arrays[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    found = {"ReduceSum": 0, "ReduceMean": 0}
    for node in proto.graph.node:
        if node.op_type in found:
            axes = [list(a.ints) for a in node.attribute if a.name == "axes"]
            axes += [arrays[given].tolist() for given in node.input[1:]]
            assert [len(each) for each in axes] == [1], node.name
            found[node.op_type] += 1
    assert found == {"ReduceSum": sums, "ReduceMean": 16}
    one_sum = {"GlobalAveragePool", "LogSoftmax", "ReduceLogSumExp", "ReduceL1", "ReduceSumSquare"}
    assert not one_sum & {node.op_type for node in proto.graph.node}


def test_contexts_are_summed_with_care(variant_of: Build) -> None:
    """docs/decisions/context-sums.md: in two parts, or in float64."""
    portable = onnx.load_from_string(variant_of("trufor", "portable").data)
    assert sum(node.op_type == "Round" for node in portable.graph.node) == 8
    proto = onnx.load_from_string(variant_of("trufor", "ort").data)
    double = {
        node.output[0]
        for node in proto.graph.node
        if node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.DOUBLE
    }
    sums = [node for node in proto.graph.node if node.op_type == "ReduceSum"]
    in_double = [node.name for node in sums if node.input[0] in double]
    assert len(in_double) == 2
    assert all("FFMs.0/" in name for name in in_double)


def test_the_decoders_join_nothing(variant_of: Build, tiny: Specs) -> None:
    """No matrix for four times the decoder's width is left."""
    proto = onnx.load_from_string(variant_of("trufor", "ort").data)
    width = tiny["trufor"].builder_arguments["config"].decoder_width
    shapes = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    fused = [s for n, s in shapes.items() if n.startswith("decode_head") and len(s) == 4]
    assert fused
    assert all(shape[1] != 4 * width for shape in fused)


def test_plain_is_what_everybody_does(variant_of: Build) -> None:
    built = variant_of("noiseprint_pp", "plain")
    assert built.document["opset"] == 11
    assert built.document["variant"] == "plain"
    used = operators(built.data)
    assert {domain for domain, _ in used} == {""}
    assert not VARIANTS["plain"].release


@pytest.mark.parametrize("variant", ["ort", pytest.param("plain", marks=pytest.mark.slow)])
def test_every_weight_is_proven(variant: str, variant_of: Build, tiny: Specs) -> None:
    document = variant_of("trufor", variant).document
    names = set(tiny["trufor"].build().state_dict())
    sources = {source for entry in document["initializers"] for source in entry["sources"]}
    assert not [n for n in names - sources if not n.endswith("num_batches_tracked")]
    known = {CHECKPOINT, CONSTANT, *document["transforms"]}
    for entry in document["initializers"]:
        assert set(entry["transform"].split("+")) <= known


@pytest.mark.parametrize("variant", ["ort", "fp16"])
@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["7", "0"])
def test_the_same_bytes_in_another_process(
    hash_seed: str, variant: str, tmp_path: Path, variant_of: Build
) -> None:
    program = (ROOT / "tests/export/test_build.py").read_text("utf-8")
    program = program.partition('IN_A_PROCESS = """')[2].partition('"""')[0]
    program = program.replace("Path(sys.argv[1]))", f"Path(sys.argv[1]), variant={variant!r})")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, check=True)
    expected = variant_of("trufor", variant)
    assert (tmp_path / f"trufor.{variant}.onnx").read_bytes() == expected.data
    assert (tmp_path / f"trufor.{variant}.lock.json").read_bytes() == encode(expected.document)


def test_files_stand_side_by_side(tiny: Specs, tmp_path: Path) -> None:
    for variant in ("portable", "ort", "plain"):
        export_model(tiny["noiseprint_pp"], SEED, tmp_path, variant=variant)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "noiseprint_pp.lock.json",
        "noiseprint_pp.onnx",
        "noiseprint_pp.ort.lock.json",
        "noiseprint_pp.ort.onnx",
        "noiseprint_pp.plain.lock.json",
        "noiseprint_pp.plain.onnx",
    ]
    kept = export_model(tiny["noiseprint_pp"], SEED, tmp_path, variant="ort", missing_only=True)
    assert kept.nodes == 0


@pytest.mark.slow
def test_plain_is_not_simplified(variant_of: Build) -> None:
    used = operators(variant_of("mit_b2", "plain").data)
    assert ("", "LayerNormalization") not in used
    assert ("", "Erf") in used
    assert variant_of("mit_b2", "plain").nodes > 1.5 * variant_of("mit_b2", "portable").nodes


@pytest.mark.usefixtures("tiny_registry")
def test_locks_of_variants_are_rebuilt(tiny: Specs, tmp_path: Path) -> None:
    paths = [
        export_model(tiny["noiseprint_pp"], SEED, tmp_path, variant=variant).path
        for variant in ("portable", "ort")
    ]
    assert locked_files(tmp_path, ["noiseprint_pp"]) == paths
    finding = check_file(paths[1], WeightsSource())
    assert finding.outcome == 0
    assert finding.sentence.startswith("noiseprint_pp.ort.lock.json: the same bytes")
    lock_path(paths[1]).rename(lock_path(paths[0]))
    assert (
        "is the lock of noiseprint_pp.ort, under another name"
        in check_file(paths[0], WeightsSource()).sentence
    )


@pytest.mark.parametrize("opset", [10, 99])
def test_opsets_of_plain(opset: int, tiny: Specs) -> None:
    with pytest.raises(ExportError, match=f"opset {opset} is out of range: 11 to"):
        build_file(tiny["noiseprint_pp"], SEED, variant="plain", opset=opset)
    with pytest.raises(ExportError, match="opset 11 is out of range: 17 to"):
        build_file(tiny["noiseprint_pp"], SEED, variant="ort", opset=11)


@pytest.mark.slow
def test_a_newer_opset_of_ort(tiny: Specs) -> None:
    assert build_file(tiny["mit_b2"], SEED, variant="ort", opset=20).document["opset"] == 20


def test_names() -> None:
    spec = find("mit_b2")
    assert file_stem(spec) == "mit_b2"
    assert file_stem(spec, "ort") == "mit_b2.ort"
    assert split_stem("mit_b2.ort") == ("mit_b2", "ort")
    assert split_stem("mit_b2") == ("mit_b2", "")
    assert split_stem("timm_a.b") == ("timm_a.b", "")


def test_unknown_variants() -> None:
    with pytest.raises(ExportError, match="no variant 'fast'") as caught:
        find_variant("fast")
    assert "portable" in str(caught.value)
    with pytest.raises(ExportError, match="the variant ort is made for") as caught:
        find_variant("ort", find("timm:resnet18"))
    assert "plain, portable" in str(caught.value)


def test_a_lock_says_how_to_make_it_again(tiny: Specs, tmp_path: Path) -> None:
    path = export_model(tiny["noiseprint_pp"], SEED, tmp_path, variant="ort").path
    lock_path(path).write_text("{}")
    with pytest.raises(ExportError, match="python -m export noiseprint_pp --variant ort"):
        read_lock(path)
