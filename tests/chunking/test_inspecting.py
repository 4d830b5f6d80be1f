"""What lies in a file, and where it is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.chunking.conftest import Buffer
from trufor_onnx.chunking import ManifestError, inspect, split
from trufor_onnx.chunking import inspecting as tensor_map_module
from trufor_onnx.chunking.framing import records
from trufor_onnx.chunking.inspecting import BY_TENSORS, FIXED, plan_cuts
from trufor_onnx.chunking.manifest import MAX_PIECES
from trufor_onnx.errors import ChunkingError

Make = Callable[..., bytes]


def test_every_tensor_is_in_the_pieces_that_hold_it(model: Path):
    made = split(model, target=9000, maximum=20_000)
    found = inspect(made.folder)
    assert found.gap == ""
    assert found.tensors[0] == found.tensors[-1] == ()  # the head and the tail
    names = [tensor.name for tensor in onnx.load(model).graph.initializer]
    assert [name for names in found.tensors for name in names] == names
    assert found.release_id == made.release_id
    assert found.sharing is None


def test_a_tensor_that_is_cut_is_in_each_of_its_pieces(tmp_path: Path, make_model: Make):
    (tmp_path / "net.onnx").write_bytes(make_model({"a": b"1", "huge": bytes(5000), "b": b"2"}))
    made = split(tmp_path / "net.onnx", target=1000, maximum=1500)
    holders = [index for index, names in enumerate(inspect(made.folder).tensors) if "huge" in names]
    assert len(holders) >= 4
    assert holders == list(range(holders[0], holders[-1] + 1))


def test_other_files_have_no_tensors(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"text" * 100)
    found = inspect(split(tmp_path / "file", target=100).folder)
    assert set(found.tensors) == {()}
    assert found.gap


def test_missing_pieces_leave_a_gap(model: Path):
    made = split(model, target=9000, maximum=20_000)
    (made.folder / made.manifest.chunks[2].file_name).unlink()
    found = inspect(made.folder)
    assert "piece 2" in found.gap
    assert found.tensors[1]
    assert found.tensors[3] == ()


def test_number_of_names_is_bounded(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensor_map_module, "MAX_ENTRIES", 3)
    found = inspect(split(model).folder)
    assert found.gap == "more than 3 tensors"
    assert sum(map(len, found.tensors)) == 3


def test_a_retrained_head_keeps_every_piece_of_the_encoder(
    tmp_path: Path, make_model: Make, make_bytes: Make
):
    encoder = {f"encoder.{index}": make_bytes(1000, f"{index}") for index in range(30)}
    releases = []
    for seed in ("old", "new"):
        decoder = {f"decoder.{index}": make_bytes(1000, f"{seed}{index}") for index in range(8)}
        (tmp_path / seed).mkdir()
        path = tmp_path / seed / "net.onnx"
        path.write_bytes(make_model({**encoder, **decoder}))
        releases.append(split(path, target=3000, maximum=6000))
    older, newer = releases
    found = inspect(newer.folder, against=older.folder)
    assert found.sharing is not None
    assert found.sharing.against == older.release_id
    for names, is_new in zip(found.tensors, found.sharing.is_new, strict=True):
        touched = any(name.startswith("decoder") for name in names)
        assert is_new == touched
    new_bytes = sum(
        piece.size
        for piece, is_new in zip(newer.manifest.chunks, found.sharing.is_new, strict=True)
        if is_new
    )
    assert found.sharing.new_bytes == found.sharing.gone_bytes == new_bytes
    assert found.sharing.shared_bytes == newer.manifest.file.size - new_bytes
    assert found.sharing.new_share == pytest.approx(8 / 38, abs=0.06)


def test_against_itself_and_against_another_file(model: Path, tmp_path: Path):
    made = split(model, target=9000)
    same = inspect(made.folder, against=made.folder / "manifest.json").sharing
    assert same is not None
    assert (same.new_share, same.new_bytes, same.gone_bytes) == (0.0, 0, 0)
    (tmp_path / "file").write_bytes(b"other")
    other = inspect(made.folder, against=split(tmp_path / "file").folder).sharing
    assert other is not None
    assert (other.new_share, other.shared_bytes, other.gone_bytes) == (1.0, 0, 5)


def test_empty_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    made = split(tmp_path / "file")
    found = inspect(made.folder, against=made.folder)
    assert found.sharing is not None
    assert found.sharing.new_share == 0.0
    assert found.tensors == ()


def test_against_nothing(model: Path, tmp_path: Path):
    with pytest.raises(ManifestError):
        inspect(split(model).folder, against=tmp_path)


def sizes(ends: tuple[int, ...]) -> list[int]:
    return [end - start for start, end in zip((0, *ends), ends, strict=False)]


def test_what_is_no_model_is_cut_at_fixed_offsets():
    plan = plan_cuts(Buffer(b"x" * 100), target=30, maximum=40)
    assert plan.chunker.name == FIXED
    assert plan.ends == (30, 60, 90, 100)


@pytest.mark.parametrize(("size", "ends"), [(0, ()), (1, (1,)), (30, (30,)), (31, (30, 31))])
def test_smallest_files(size: int, ends: tuple[int, ...]):
    assert plan_cuts(Buffer(b"x" * size), target=30, maximum=40).ends == ends


def test_head_and_tail_are_pieces_of_their_own(make_model: Make):
    data = make_model({"a": bytes(50), "b": bytes(50)}, doc_string="tail" * 10)
    tensors = [record for record in records(Buffer(data)) if record.is_tensor]
    plan = plan_cuts(Buffer(data))
    assert plan.chunker.name == BY_TENSORS
    assert plan.ends == (tensors[0].start, tensors[-1].end, len(data))


def test_a_piece_closes_at_the_first_boundary_at_or_past_the_target(make_model: Make):
    data = make_model({f"w{index}": bytes(80) for index in range(6)})
    found = list(records(Buffer(data)))
    first, size = next((r.start, r.end - r.start) for r in found if r.is_tensor)
    exact = plan_cuts(Buffer(data), target=2 * size, maximum=3 * size)
    assert exact.ends[:4] == (first, first + 2 * size, first + 4 * size, first + 6 * size)
    past = plan_cuts(Buffer(data), target=2 * size + 1, maximum=3 * size)
    assert past.ends[:3] == (first, first + 3 * size, first + 6 * size)


def test_a_record_that_would_pass_the_maximum_opens_a_new_piece(make_model: Make):
    data = make_model({"small": bytes(20), "large": bytes(90), "last": bytes(20)})
    starts = {r.name: r.start for r in records(Buffer(data), names=True) if r.is_tensor}
    plan = plan_cuts(Buffer(data), target=100, maximum=110)
    assert starts["large"] in plan.ends
    assert starts["last"] in plan.ends


def test_a_record_larger_than_the_maximum_is_cut_from_its_own_start(make_model: Make):
    data = make_model({"small": bytes(20), "huge": bytes(1000), "last": bytes(20)})
    tensors = {r.name: r for r in records(Buffer(data), names=True) if r.is_tensor}
    ends = plan_cuts(Buffer(data), target=300, maximum=400).ends
    start = tensors["huge"].start
    assert {start, start + 300, start + 600, start + 900} <= {*ends}
    assert tensors["last"].end in ends


def test_values_do_not_decide(make_model: Make, make_bytes: Make):
    shapes = {f"w{index}": 50 * index + 9 for index in range(20)}
    one, two = (
        make_model({name: make_bytes(size, seed) for name, size in shapes.items()})
        for seed in ("one", "two")
    )
    assert one != two
    assert plan_cuts(Buffer(one), target=500, maximum=900) == plan_cuts(
        Buffer(two), target=500, maximum=900
    )


def test_a_longer_decoder_leaves_the_encoder_s_cuts(make_model: Make):
    encoder = {f"encoder{index}": bytes(100) for index in range(20)}
    older = make_model({**encoder, "decoder": bytes(100)})
    newer = make_model({**encoder, "decoder": bytes(99_999)})
    old, new = (plan_cuts(Buffer(data), target=300, maximum=900) for data in (older, newer))
    # The length of the graph stands before it: the larger number may take one byte more.
    shift = new.ends[0] - old.ends[0]
    assert shift in (0, 1)
    assert [end + shift for end in old.ends[:6]] == list(new.ends[:6])


def test_a_model_without_tensors(make_model: Make):
    data = make_model({})
    plan = plan_cuts(Buffer(data), target=1 << 20, maximum=1 << 20)
    assert plan.chunker.name == BY_TENSORS
    assert plan.ends == (len(data),)


@given(
    st.lists(st.integers(0, 400), max_size=15),
    st.integers(20, 600),
    st.integers(0, 500),
)
def test_cuts_of_any_model(tensor_sizes: list[int], target: int, extra: int):
    tensors = [
        helper.make_tensor(f"w{index}", TensorProto.UINT8, [size], bytes(size), raw=True)
        for index, size in enumerate(tensor_sizes)
    ]
    graph = helper.make_graph([], "g", [], [], initializer=tensors, doc_string="d" * 30)
    data = helper.make_model(graph).SerializeToString()
    check_cuts(Buffer(data), target, target + extra, BY_TENSORS)


@given(st.integers(0, 3000), st.integers(1, 3500), st.integers(0, 100))
def test_cuts_of_any_other_file(size: int, target: int, extra: int):
    check_cuts(Buffer(b"x" * size), target, target + extra, FIXED)


def check_cuts(source: Buffer, target: int, maximum: int, name: str) -> None:
    plan = plan_cuts(source, target=target, maximum=maximum)
    assert plan == plan_cuts(source, target=target, maximum=maximum)
    assert plan.chunker.name == name
    assert list(plan.ends) == sorted({*plan.ends})
    assert plan.ends[-1:] == ((source.size,) if source.size else ())
    assert all(0 < size <= maximum for size in sizes(plan.ends))
    if name == BY_TENSORS:
        found = list(records(source))
        boundaries = {record.start for record in found} | {source.size}
        large = [record for record in found if record.end - record.start > maximum]
        for end in plan.ends:
            inside = [record for record in large if record.start < end < record.end]
            assert end in boundaries or inside


@pytest.mark.parametrize(("target", "maximum"), [(0, 1), (2, 1), (-1, 5)])
def test_sizes_that_contradict_each_other(target: int, maximum: int):
    with pytest.raises(ChunkingError, match="maximum"):
        plan_cuts(Buffer(b"x"), target=target, maximum=maximum)


def test_too_many_pieces_are_refused_early():
    with pytest.raises(ChunkingError, match="more than 6000 pieces") as caught:
        plan_cuts(Buffer(b"x", size=1 << 60), target=1, maximum=1)
    assert "--target" in caught.value.hint
    assert len(plan_cuts(Buffer(b"", size=MAX_PIECES), target=1, maximum=1).ends) == MAX_PIECES
