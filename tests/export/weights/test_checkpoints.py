"""Checkpoints of every container are read, and nothing else is."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from trufor_onnx.errors import ExportError, UserError
from trufor_onnx.export.weights import checkpoints
from trufor_onnx.export.weights.checkpoints import CheckpointPlace, load_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


def saved(content: object, *, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def put(data: bytes, name: str = "weights.pth") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return put


def same(found: Any, expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[n], expected[n]) for n in expected
    )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before zip"])
@pytest.mark.parametrize("container", ["", "network", "state_dict", "model"])
def test_containers(container: str, zipped: bool, write: Callable[..., Path]) -> None:
    content = {container: STATE, "epoch": 3} if container else STATE
    path = write(saved(content, zipped=zipped))
    found = load_checkpoint(path)
    assert found.container == container
    assert same(found.tensors, STATE)
    assert found.sha256 == sha256(path.read_bytes()).hexdigest()


def test_the_prefix_of_parallel_training_goes(write: Callable[..., Path]) -> None:
    path = write(saved({"model": {f"module.{name}": value for name, value in STATE.items()}}))
    assert same(load_checkpoint(path).tensors, STATE)


def test_a_name_with_and_without_the_prefix_is_refused(write: Callable[..., Path]) -> None:
    path = write(saved({"a": torch.zeros(1), "module.a": torch.ones(1)}))
    with pytest.raises(ExportError, match=r"the tensor 'a' stands in it twice"):
        load_checkpoint(path)


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(STATE, path)
    assert same(load_checkpoint(path).tensors, STATE)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ExportError, match="not a readable safetensors file"):
        load_checkpoint(path)


class Harmful:
    """Unpickled, it would make a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    "content",
    [saved({"a": Harmful()}), saved({"a": Harmful()}, zipped=False), pickle.dumps(Harmful(), 2)],
    ids=["zip", "before zip", "plain pickle"],
)
def test_code_is_not_run(content: bytes, write: Callable[..., Path]) -> None:
    path = write(content)
    with pytest.raises(ExportError) as refusal:
        load_checkpoint(path)
    assert not Path("harm").exists()
    assert "refused" in str(refusal.value)
    assert "weights_only" not in str(refusal.value)  # torch advises to load it unsafely


def test_a_pickled_module_is_refused_by_its_class(write: Callable[..., Path]) -> None:
    path = write(saved({"model": torch.nn.Linear(2, 2)}))
    with pytest.raises(ExportError, match=r"needs GLOBAL torch\.nn\.modules\.linear\.Linear"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({}, "keys"),
        ({"epoch": 3, "optimizer": {}}, "keys epoch, optimizer"),
        ({"state_dict": {"a": 1}}, "keys state_dict"),
        ([torch.zeros(1)], "list"),
        (torch.zeros(1), "Tensor"),
    ],
)
def test_no_state_dict(content: object, held: str, write: Callable[..., Path]) -> None:
    with pytest.raises(ExportError, match=rf"no state dict in it \({held}"):
        load_checkpoint(write(saved(content)))


def test_one_set_of_any_name_is_taken(write: Callable[..., Path]) -> None:
    found = load_checkpoint(write(saved({"params_ema": STATE, "epoch": 3})))
    assert found.container == "params_ema"
    assert same(found.tensors, STATE)


def test_a_moving_average_is_said_and_can_be_chosen(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    ema = {name: value + 1 for name, value in STATE.items()}
    path = write(saved({"state_dict_ema": ema, "state_dict": STATE}))
    found = load_checkpoint(path)
    assert found.container == "state_dict"
    assert same(found.tensors, STATE)
    assert f"--weights {path}:state_dict_ema" in caplog.text
    chosen = load_checkpoint(path, "state_dict_ema")
    assert chosen.container == "state_dict_ema"
    assert same(chosen.tensors, ema)
    with pytest.raises(ExportError, match="no tensors under 'other'") as refusal:
        load_checkpoint(path, "other")
    assert "state_dict_ema, state_dict" in refusal.value.hint


def test_of_several_sets_none_is_guessed(write: Callable[..., Path]) -> None:
    path = write(saved({"generator": STATE, "discriminator": STATE}))
    with pytest.raises(ExportError, match=r"several sets of tensors \(generator, disc") as refusal:
        load_checkpoint(path)
    assert f"--weights {path}:KEY" in refusal.value.hint
    assert load_checkpoint(path, "generator").container == "generator"


@pytest.mark.parametrize("before", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_names_of_wrappers_go(before: str, write: Callable[..., Path]) -> None:
    path = write(saved({f"{before}{name}": value for name, value in STATE.items()}))
    assert same(load_checkpoint(path).tensors, STATE)
    inner = {"a._orig_mod.weight": STATE["a.weight"], "a._orig_mod.bias": STATE["a.bias"]}
    assert same(load_checkpoint(write(saved(inner))).tensors, STATE)


def sharded(folder: Path) -> Path:
    """A checkpoint in two shards with an index."""
    shards = {"a-1.safetensors": ["a.weight"], "a-2.safetensors": ["a.bias"]}
    for file, names in shards.items():
        save_file({name: STATE[name] for name in names}, folder / file)
    path = folder / "a.safetensors.index.json"
    where = {name: file for file, names in shards.items() for name in names}
    path.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return path


def test_shards(tmp_path: Path) -> None:
    path = sharded(tmp_path)
    found = load_checkpoint(path)
    assert same(found.tensors, STATE)
    assert found.sha256 == CheckpointPlace(path).sha256
    save_file({"a.bias": STATE["a.bias"] + 1}, tmp_path / "a-2.safetensors")
    assert load_checkpoint(path).sha256 == CheckpointPlace(path).sha256 != found.sha256


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "a-2.safetensors").unlink(), r"its shard a-2\.safetensors is missing"),
        (
            lambda f: save_file({"a.other": STATE["a.bias"]}, f / "a-2.safetensors"),
            "does not hold the tensors that",
        ),
        (lambda f: (f / "a.safetensors.index.json").write_text("{}"), "it has no weight_map"),
        (lambda f: (f / "a.safetensors.index.json").write_text("{"), "not a list of shards"),
        (
            lambda f: (f / "a.safetensors.index.json").write_text(
                '{"weight_map": {"a.weight": "../a-1.safetensors"}}'
            ),
            "no file beside it",
        ),
    ],
    ids=["missing", "mixed", "no map", "no JSON", "elsewhere"],
)
def test_shards_that_are_not_whole(
    spoil: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    path = sharded(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=reason):
        load_checkpoint(path)


class Scripted(torch.nn.Module):
    """With what TorchScript stores in ways of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        self.scale = torch.nn.Parameter(torch.tensor(2.0))
        self.register_buffer("turned", torch.arange(6).reshape(2, 3).t())
        self.register_buffer("part", torch.arange(10.0)[3:7])
        self.sizes = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * self.scale


def archive(path: Path) -> torch.nn.Module:
    network = Scripted().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript goes
        torch.jit.trace(network, torch.rand(1, 3, 8, 8)).save(str(path))
    return network


def test_the_tensors_of_a_torchscript_archive(tmp_path: Path) -> None:
    path = tmp_path / "scripted.pt"
    network = archive(path)
    assert same(load_checkpoint(path).tensors, network.state_dict())


def test_no_code_of_a_torchscript_archive_is_run(tmp_path: Path) -> None:
    path, harmful = tmp_path / "scripted.pt", tmp_path / "harmful.pt"
    archive(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(harmful, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, pickle.dumps(Harmful(), 2) if name.endswith("data.pkl") else data)
    with pytest.raises(ExportError, match=r"refused, .* \(it needs GLOBAL \w+\.mkdir\)"):
        load_checkpoint(harmful)
    assert not Path("harm").exists()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    path, short = tmp_path / "scripted.pt", tmp_path / "short.pt"
    archive(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(short, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[: len(data) // 2] if "/data/" in name else data)
    with pytest.raises(ExportError, match=r"beyond its storage|not a readable"):
        load_checkpoint(short)


def test_missing_and_empty(tmp_path: Path, write: Callable[..., Path]) -> None:
    with pytest.raises(ExportError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(ExportError, match="no checkpoint at"):
        load_checkpoint(tmp_path)
    with pytest.raises(ExportError, match="not a readable checkpoint"):
        load_checkpoint(write(b""))


def test_a_git_lfs_pointer_is_named(write: Callable[..., Path]) -> None:
    path = write(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(ExportError, match="git-lfs pointer") as refusal:
        load_checkpoint(path)
    assert "git lfs pull" in refusal.value.hint


def test_unreadable(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(saved(STATE))

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ExportError, match="cannot be read"):
        load_checkpoint(path)


def test_a_flipped_bit_in_a_weight_is_seen(write: Callable[..., Path]) -> None:
    data = bytearray(saved(STATE))
    with zipfile.ZipFile(io.BytesIO(data)) as records:
        record = next(i for i in records.infolist() if i.filename.endswith("data/0"))
    place = data.find(STATE["a.weight"].numpy().tobytes(), record.header_offset)
    data[place + 5] ^= 1
    with pytest.raises(ExportError, match=r"damaged, the checksum of \S+/data/0 is wrong"):
        load_checkpoint(write(bytes(data)))


SAMPLES = [saved({"state_dict": STATE}), saved({"state_dict": STATE}, zipped=False)]


@pytest.mark.parametrize("whole", SAMPLES, ids=["zip", "before zip"])
def test_cut_anywhere(whole: bytes, write: Callable[..., Path]) -> None:
    for length in range(0, len(whole), 9):
        path = write(whole[:length])
        with pytest.raises(ExportError):
            load_checkpoint(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    whole=st.sampled_from(SAMPLES),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1),
)
def test_damage_is_an_error_and_no_traceback(
    whole: bytes, changes: list[tuple[int, int]], write: Callable[..., Path]
) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    path = write(bytes(data))
    try:
        found = load_checkpoint(path)
    except ExportError as refusal:
        assert str(path) in str(refusal)
    else:  # a changed name, a changed weight in a format without checksums, or no change at all
        assert found.tensors


def test_an_index_is_read_once_and_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sharded(tmp_path)
    read: list[str] = []
    original = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: (read.append(self.name), original(self))[1]
    )
    load_checkpoint(path)
    assert sorted(read) == ["a-1.safetensors", "a-2.safetensors", path.name]
    monkeypatch.setattr(checkpoints, "LARGEST_INDEX", 3)
    with pytest.raises(UserError, match="too large for a list of shards"):
        load_checkpoint(path)
