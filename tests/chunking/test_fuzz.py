"""Random damage to manifests, models and whole folders: typed errors, never another crash."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from tests.chunking.conftest import Buffer
from trufor_onnx.chunking import (
    ChunkingError,
    FaultKind,
    Manifest,
    ManifestError,
    inspect,
    merge,
    split,
    verify,
)
from trufor_onnx.chunking.inspecting import map_tensors, plan_cuts
from trufor_onnx.chunking.manifest import Chunker, Piece, WholeFile, decode, encode
from trufor_onnx.errors import ExternalDataError

pytestmark = pytest.mark.slow

MANIFEST_CASES, FRAMING_CASES, FOLDER_CASES = 26_000, 26_000, 300


def fuzz(cases: int) -> settings:
    return settings(
        max_examples=cases,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


MANIFEST = encode(
    Manifest(
        WholeFile("net.onnx", 12, "c" * 64),
        Chunker("tensors", 1, 8, 16),
        (Piece(0, 5, "a" * 64), Piece(5, 7, "b" * 64)),
    )
)


def a_model() -> bytes:
    tensors = [
        numpy_helper.from_array(np.ones(size, np.float32), f"w{size}") for size in (3, 9, 40)
    ]
    for tensor in tensors:
        tensor.data_location = tensor.DEFAULT  # spelled out: one bit away from external
    inner = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "inner", [], [])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensors[0]),
        helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
    ]
    output = helper.make_tensor_value_info("y", 1, None)
    graph = helper.make_graph(nodes, "g", [], [output], initializer=tensors, doc_string="d")
    return helper.make_model(graph).SerializeToString()


MODEL = a_model()
EXTERNAL_MODEL = MODEL.replace(b"\x70\x00", b"\x70\x01", 1)
# What tends to hurt: numbers at the edge, long varints, keys of other fields, JSON's own words.
TOKENS = [
    *(
        b"\xff" * 9 + b"\x01",
        b"\x80" * 12,
        b"\x00",
        b"\x3a",
        b"\x2a",
        b"\x70\x01",
        b"\x0b",
        b"\x7f",
    ),
    *(b'"', b"{", b"[", b"]", b"}", b"-", b"1e9", b"NaN", b"null", b"true", b"0", b"99999999999"),
    *(b"\\u0000", b"\\ud800", b"../", b"\r\n", b",", b":", b"9" * 99, b"[" * 1500),
]


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """``whole`` after one to four edits; one number decides them all, which is quick to draw."""
    return st.integers(0, (1 << 64) - 1).map(lambda seed: _damage(whole, random.Random(seed)))


def _damage(whole: bytes, chance: random.Random) -> bytes:
    data = whole
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(data))
        part = data[start : start + chance.choice([0, 1, 1, 2, 4, 64, len(data)])]
        bit = 1 << chance.randrange(8)
        replacement = chance.choice(
            [
                b"",
                part * 2,
                part[::-1],
                bytes(byte ^ bit for byte in part),
                chance.randbytes(chance.randrange(8)),
                chance.choice(TOKENS),
                chance.choice(TOKENS),
            ]
        )
        data = data[:start] + replacement + data[start + len(part) :]
    return data


def test_manifests_and_framing_in_more_than_50_000_cases():
    counts = {"manifest": 0, "framing": 0}
    outcomes: set[str] = set()

    @fuzz(MANIFEST_CASES)
    @given(st.one_of(damaged(MANIFEST), st.binary(max_size=200)))
    def manifest(data: bytes) -> None:
        counts["manifest"] += 1
        try:
            made = decode(data)
        except ManifestError as error:
            assert error.problem.isprintable()
            assert len(str(error)) < 1000
            outcomes.add("refused")
        else:
            assert encode(made) == data
            outcomes.add("read")

    @fuzz(FRAMING_CASES)
    @example(EXTERNAL_MODEL, 100, 100)  # chance does not reach it in every run
    @given(
        st.one_of(damaged(MODEL), st.binary(max_size=200)),
        st.integers(20, 600),
        st.integers(0, 600),
    )
    def framing(data: bytes, target: int, extra: int) -> None:
        counts["framing"] += 1
        try:
            plan = plan_cuts(Buffer(data), target=target, maximum=target + extra)
        except ExternalDataError:
            outcomes.add("external")
            return
        starts = (0, *plan.ends[:-1])
        sizes = [end - start for start, end in zip(starts, plan.ends, strict=False)]
        assert sum(sizes) == len(data)
        assert all(0 < size <= target + extra for size in sizes)
        outcomes.add(plan.chunker.name)
        pieces = [
            Piece(end - size, size, "0" * 64) for size, end in zip(sizes, plan.ends, strict=True)
        ]
        found = map_tensors(Buffer(data), pieces)
        assert len(found.names) == len(pieces)
        # The other way round there may be names: cuts look deeper than names do.
        assert not found.gap or plan.chunker.name == "fixed"

    manifest()
    framing()
    assert sum(counts.values()) >= 50_000
    assert outcomes == {"refused", "read", "external", "tensors", "fixed"}


def break_something(folder: Path, draw: Callable[[st.SearchStrategy[int]], int]) -> None:
    """Do one kind of damage to one file of a folder."""
    paths = sorted(folder.iterdir())
    path = paths[draw(st.integers(0, len(paths) - 1))]
    if not path.is_file() or path.is_symlink():
        return
    data = bytearray(path.read_bytes())
    position = draw(st.integers(0, max(0, len(data) - 1)))
    other = paths[draw(st.integers(0, len(paths) - 1))]
    kind = draw(st.integers(-2, 7))
    if kind < 0:  # no damage to what is listed
        (folder / f"{position}.txt").write_bytes(data[:position])
    elif kind == 0:
        path.unlink()
    elif kind == 1 and data:
        data[position] ^= 1 << draw(st.integers(0, 7))
        path.write_bytes(data)
    elif kind == 2:
        path.write_bytes(data[:position])
    elif kind == 3:
        path.write_bytes(data + b"x")
    elif kind == 4 and other.is_file():
        path.write_bytes(other.read_bytes())
    elif kind == 5:
        path.unlink()
        path.symlink_to(other.name)
    elif kind == 6:
        path.unlink()
        path.mkdir()
    else:
        path.unlink()
        os.mkfifo(path)


def test_damaged_folders_merge_to_the_original_or_not_at_all(tmp_path: Path):
    source = tmp_path / "net.onnx"
    source.write_bytes(MODEL)
    pristine = split(source, tmp_path / "pristine", target=100, maximum=150).folder
    folder, out = tmp_path / "damaged", tmp_path / "out"
    outcomes = {"merged": 0, "refused": 0}

    @fuzz(FOLDER_CASES)
    @given(st.data())
    def case(data: st.DataObject) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(pristine, folder)
        for _ in range(data.draw(st.integers(0, 3))):
            break_something(folder, data.draw)
        out.write_bytes(b"old")
        try:
            merge(folder, out, force=True)
        except ChunkingError as error:
            assert out.read_bytes() == b"old"
            assert error.hint
            outcomes["refused"] += 1
            merged = False
        else:
            assert out.read_bytes() == MODEL
            outcomes["merged"] += 1
            merged = True
        try:
            found = verify(folder, full=True).faults
            inspect(folder)
        except ChunkingError:
            assert not merged
        else:
            assert merged == all(fault.kind is FaultKind.UNLISTED for fault in found)

    case()
    assert min(outcomes.values()) >= FOLDER_CASES // 20
