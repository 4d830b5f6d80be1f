"""Whole releases: full-size models with the names and shapes of our networks, and real files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import onnx
import pytest

from tests.beside import DATA
from trufor_onnx.chunking import inspect, merge, split, verify
from trufor_onnx.files import sha256_file

ROOT = Path(__file__).parents[2]
SEED_MODEL = DATA / "data" / "seed_onnx" / "noiseprint_pp.onnx"
GIT_HOST_WARNS = 50_000_000


def shapes(synthetic: ModuleType, network: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] | None = synthetic.reference_shapes(network)
    if found is None:
        pytest.skip("reference/state_dict.json is not at hand (TRUFOR_TEST_DATA)")
    return found


def check_round_trip(source: Path, out: Path, **sizes: int) -> None:
    made = split(source, out.with_suffix(".chunks"), **sizes)
    assert verify(made.folder, full=True).faults == ()
    merge(made.folder, out)
    assert sha256_file(out) == sha256_file(source) == made.manifest.file.sha256


@pytest.mark.skipif(not SEED_MODEL.is_file(), reason="no seed_onnx (TRUFOR_TEST_DATA)")
@pytest.mark.parametrize("sizes", [{}, {"target": 300_000, "maximum": 500_000}])
def test_published_model(tmp_path: Path, sizes: dict[str, int]):
    check_round_trip(SEED_MODEL, tmp_path / "out.onnx", **sizes)
    found = inspect(tmp_path / "out.chunks")
    assert found.manifest.chunker.name == "tensors"
    names = [tensor.name for tensor in onnx.load(SEED_MODEL).graph.initializer]
    assert [name for names in found.tensors for name in names] == names


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((ROOT / "onnx_models").glob("*.onnx")), ids=lambda p: p.name
)
def test_our_exported_models(tmp_path: Path, path: Path):
    check_round_trip(path, tmp_path / "out.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mit_b2", "trufor", "noiseprint_pp"])
def test_full_size_round_trip(tmp_path: Path, synthetic: ModuleType, network: str):
    expected = shapes(synthetic, network)
    path = tmp_path / "net.onnx"
    synthetic.write_model(path, expected)
    parsed = onnx.load(path).graph.initializer
    assert {tensor.name: list(tensor.dims) for tensor in parsed} == expected
    check_round_trip(path, tmp_path / "out.onnx")
    found = inspect(tmp_path / "out.chunks")
    assert [name for names in found.tensors for name in names] == list(expected)
    assert max(piece.size for piece in found.manifest.chunks) < GIT_HOST_WARNS


@pytest.mark.slow
def test_a_retrained_head_keeps_every_piece_of_the_encoder(tmp_path: Path, synthetic: ModuleType):
    """TruFor with other decoder weights: the share that is new is the decoder's, and no more."""
    expected = shapes(synthetic, "trufor")

    def retrained(name: str) -> bool:
        return name.startswith(("decode_head", "detection"))

    assert 0 < sum(map(retrained, expected)) < len(expected)
    path = tmp_path / "trufor.onnx"
    synthetic.write_model(path, expected)
    split(path)
    (tmp_path / "trufor.chunks" / "manifest.json").rename(tmp_path / "old.json")
    synthetic.write_model(path, expected, retrained=retrained)
    made = split(path)
    sharing = inspect(made.folder, against=tmp_path / "old.json").sharing
    assert sharing is not None
    tensors = inspect(made.folder).tensors
    for names, is_new in zip(tensors, sharing.is_new, strict=True):
        assert is_new == any(map(retrained, names))
    values = {name: 4 * _count(shape) for name, shape in expected.items()}
    decoder = sum(size for name, size in values.items() if retrained(name))
    least, most = decoder, decoder + 2 * made.manifest.chunker.max
    assert least <= sharing.new_bytes <= most
    assert made.written_bytes == sharing.new_bytes


def _count(shape: list[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def test_synthetic_models_are_reproducible(tmp_path: Path, synthetic: ModuleType):
    sizes = {"a": [3, 5], "b": [7]}
    for name in ("one", "two"):
        synthetic.write_model(tmp_path / name, sizes, nodes=3)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
