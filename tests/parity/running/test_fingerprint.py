"""A stored row is used under exactly the conditions that it was measured under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.parity.conftest import TINY_NP
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.parity.inputs.cases import Case
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.runners.providers import Provider
from trufor_onnx.parity.running import journal as fingerprint
from trufor_onnx.parity.running.journal import case_key, model_fingerprint

CPU = Provider("cpu", required=True)
DOCUMENT: dict[str, Any] = {
    "file": {"sha256": "a"},
    "weights": {"digest": "b"},
    "preprocessing": {"scale": 256.0},
    "torch32": {"convolution_kernel": "onednn", "threads": 2},
}


def of(
    document: dict[str, Any] | None = None,
    *,
    threads: int = 0,
    providers: Any = (CPU,),
    specs: tuple[ModelSpec, ...] = (),
) -> str:
    return model_fingerprint(document or DOCUMENT, providers, specs=specs, threads=threads)


def test_the_same_conditions_give_the_same_digest() -> None:
    assert of() == of({key: DOCUMENT[key] for key in reversed(DOCUMENT)})
    assert len(of()) == 64


@pytest.mark.parametrize("key", DOCUMENT)
def test_everything_in_the_model_s_document_counts(key: str) -> None:
    assert of(DOCUMENT | {key: {"sha256": "another"}}) != of()


def test_threads_and_providers_count() -> None:
    others = [
        of(threads=1),
        of(providers=(replace(CPU, required=False),)),
        of(providers=(replace(CPU, options={"use_tf32": "1"}),)),
        of(providers=(CPU, Provider("cuda", required=False))),
    ]
    assert len({of(), *others}) == 5


@pytest.mark.parametrize("what", ["code_digest", "tolerances_digest", "environment"])
def test_code_tolerances_and_versions_count(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = of()
    monkeypatch.setattr(fingerprint, what, lambda **_: "something else")
    assert of() != before


def test_the_schema_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    monkeypatch.setattr(fingerprint, "SCHEMA_VERSION", 99)
    assert of() != before


def test_the_networks_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's network whose module changed is another one, though its file's name is not."""
    before = of(specs=(TINY_NP,))
    assert before == of(specs=(TINY_NP,)) != of()
    monkeypatch.setattr(fingerprint, "made_by", lambda _: {"builder_code": "changed"})
    assert of(specs=(TINY_NP,)) != before


def test_of_code_that_cannot_be_followed_nothing_is_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fingerprint, "unkept", lambda *_: "it changes sys.path")
    assert of(specs=(TINY_NP,)) != of(specs=(TINY_NP,))


def test_a_case_s_key_follows_its_files(make_images: Callable[..., Path]) -> None:
    first, second = find_images(make_images(2))
    case = Case("shape:2x8x8", (first, second), (8, 8))
    key = case_key("fingerprint", case)
    assert key == case_key("fingerprint", replace(case))
    others = [
        case_key("another", case),
        case_key("fingerprint", replace(case, name="shape:8x8")),
        case_key("fingerprint", replace(case, size=(8, 9))),
        case_key("fingerprint", replace(case, pictures=(second, first))),
        case_key("fingerprint", replace(case, pictures=(replace(first, label="fake"), second))),
    ]
    second.path.write_bytes(first.path.read_bytes())
    others.append(case_key("fingerprint", case))
    assert len({key, *others}) == 7


def test_a_case_that_cannot_be_read_has_no_key(make_images: Callable[..., Path]) -> None:
    (picture,) = find_images(make_images(1))
    listed = replace(picture, expected_sha256="0" * 64)
    assert case_key("fingerprint", Case("x", (listed,))) == ""
    picture.path.unlink()
    assert case_key("fingerprint", Case("x", (picture,))) == ""
