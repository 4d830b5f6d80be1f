"""Inputs out of files, manifests and generators; what a network does not take is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image

from trufor_onnx.errors import UserError
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing, TensorSpec
from trufor_onnx.parity.inputs.cases import LoadedCase
from trufor_onnx.parity.inputs.feeds import FeedsCase, example_of, find_feeds, given_feeds
from trufor_onnx.parity.inputs.looks import Looks, document

TEXT = ModelSpec(
    "text",
    inputs=(
        TensorSpec("ids", ("batch", "seq"), dtype="int64"),
        TensorSpec("mask", ("batch", "seq"), dtype="bool"),
        TensorSpec("scale", ("batch", 2)),
    ),
    outputs=(TensorSpec("out", ("batch", 4)),),
    builder="nowhere:build",
)
IMAGE = ModelSpec(
    "image",
    inputs=(TensorSpec("image", ("batch", 3, "height", "width"), dtype="float16"),),
    outputs=(TensorSpec("out", ("batch", 4)),),
    builder="nowhere:build",
)
RIGHT: dict[str, Any] = {
    "ids": np.array([[1, 2, 3]]),
    "mask": np.array([[True, True, False]]),
    "scale": np.array([[0.5, 0.25]], np.float32),
}
PLAIN = Preprocessing(scale=255.0)


def test_a_folder_is_one_case_a_file(tmp_path: Path) -> None:
    for name in ("b", "a"):
        np.savez(tmp_path / f"{name}.npz", **RIGHT)
    (tmp_path / "note.txt").write_text("not looked at")
    cases = find_feeds(str(tmp_path))
    assert [case.name for case in cases] == ["a.npz", "b.npz"]
    assert [case.name for case in find_feeds(str(tmp_path), most=1)] == ["a.npz"]
    loaded = cases[0].load()
    found = given_feeds(TEXT, loaded.given or {}, PLAIN)
    assert all(np.array_equal(found[name], RIGHT[name]) for name in RIGHT)
    assert loaded.digests == cases[1].load().digests
    np.savez(tmp_path / "b.npz", **(RIGHT | {"ids": np.array([[1, 2, 4]])}))
    assert cases[1].load().pixels_sha256 != loaded.pixels_sha256


def test_a_manifest_has_numbers_pictures_and_arrays(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.save(tmp_path / "meta.npy", RIGHT["scale"])
    lines = [{"image": "a.png", "meta": "meta.npy", "label": [3]}, {"image": "a.png", "label": [4]}]
    path = tmp_path / "feeds.jsonl"
    path.write_text("\n\n".join(map(json.dumps, lines)))
    first, second = (case.load().given or {} for case in find_feeds(str(path)))
    assert first.keys() == {"image", "meta", "label"} and second.keys() == {"image", "label"}
    assert np.array_equal(first["image"], picture) and first["label"].tolist() == [3]
    found = given_feeds(IMAGE, {"image": first["image"]}, PLAIN)["image"]
    assert found.dtype == np.float16 and found.shape == (1, 3, 4, 6)
    assert np.array_equal(found[0, 1], (picture[:, :, 1] / 255).astype("f4").astype("f2"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "no object of inputs"),
        ("{}", "no object of inputs"),
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ('{"a": "../secret.npy"}', "lies outside"),
        ('{"a": "/etc/passwd"}', "lies outside"),
        ('{"a": "b.txt"}', "neither a picture nor an array"),
        ('{"a": "none.npy"}', "cannot be read"),
        ('{"a": [[1, 2], [3]]}', "neither numbers"),
        ('{"a": ["x"]}', "neither numbers"),
        ('{"a": {"b": 1}}', "neither numbers"),
        ('{"a": null}', "neither numbers"),
    ],
)
def test_a_manifest_that_gives_no_inputs(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "feeds.jsonl"
    path.write_text(line)
    with pytest.raises(UserError, match=problem) as refusal:
        find_feeds(str(path))[0].load()
    assert refusal.value.hint


def test_a_generator_gives_the_same_for_the_same_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("own_feeds.py").write_text(
        "import numpy as np\n\n\ndef generate(seed):\n"
        "    draw = np.random.default_rng(seed)\n"
        "    while True:\n        yield {'wave': draw.normal(size=(1, 9)).astype('f4')}\n\n\n"
        "def wrong(seed):\n    return [3]\n\n\ndef fails(seed):\n    raise KeyError(seed)\n"
    )

    def digests(seed: int | None) -> list[str]:
        found = find_feeds("own_feeds.py:generate", most=3, seed=seed)
        return [case.load().pixels_sha256 for case in found]

    assert digests(None) == digests(0) != digests(1)
    assert len({*digests(0)}) == 3
    for name in ("wrong", "fails", "none"):
        with pytest.raises(UserError):
            find_feeds(f"own_feeds.py:{name}", most=3)


@pytest.mark.parametrize("where", ["none", "empty", "a.txt"])
def test_no_inputs(tmp_path: Path, where: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match="no inputs there"):
        find_feeds(str(tmp_path / where))
    with pytest.raises(UserError, match="1 or more"):
        find_feeds(str(tmp_path), most=0)


def test_only_broken_files_are_said_all(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no")
    with pytest.raises(UserError, match=r"no inputs can be read: .*a\.npz"):
        example_of(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"more": np.ones(1)}, "takes ids, mask, scale"),
        ({"ids": np.array([1, 2, 3])}, r"\(batch, seq\), given is \(3,\)"),
        ({"scale": np.ones((1, 3), np.float32)}, r"\(batch, 2\), given is \(1, 3\)"),
        ({"ids": np.array([[1.0, 2.0, 3.0]])}, "is int64, given is float64"),
        ({"scale": np.array([[1, 2]])}, "is float32, given is int64"),
        ({"mask": np.array([[1, 1, 0]])}, "is bool, given is int64"),
        ({"mask": np.array([[True, True]])}, "seq is 2 in mask, 3 before"),
        ({"ids": np.array([[1, 2, 2**63 + 1]], np.uint64)}, "is int64, given is uint64"),
    ],
)
def test_what_the_network_does_not_take(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as refusal:
        given_feeds(TEXT, RIGHT | change, PLAIN)
    assert refusal.value.hint


@given(
    arrays_of.arrays(np.int32, (1, 3), elements=st.integers(0, 9)),
    arrays_of.arrays(np.float64, (1, 2), elements=st.floats(-9, 9)),
)
def test_numbers_stay_what_they_are(ids: np.ndarray, scale: np.ndarray) -> None:
    found = given_feeds(TEXT, RIGHT | {"ids": ids, "scale": scale}, PLAIN)
    assert found["ids"].dtype == np.int64 and np.array_equal(found["ids"], ids)
    assert np.array_equal(found["scale"], scale.astype(np.float32))


def test_constant_inputs_and_copies_count_for_nothing() -> None:
    looks = Looks()

    def add(name: str, **arrays: Any) -> LoadedCase:
        loaded = FeedsCase(name, (), source=arrays).load()
        looks.add_given(name, loaded)
        return loaded

    add("constant", wave=np.zeros((1, 8), np.float32))
    add("one", wave=np.arange(8.0))
    add("copy", wave=np.arange(8.0))
    other = add("other type", wave=np.arange(8.0).astype("f4"))
    found = document(looks.found)
    assert (found["images"], found["different"], found["flat"], found["copies"]) == (4, 2, 1, 1)
    assert other.pixels.dtype == np.uint8
