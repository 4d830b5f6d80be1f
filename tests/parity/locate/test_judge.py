"""The arrangement of a tensor is found from its numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trufor_onnx.parity.locate.judge import find_layout

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, seed=st.integers(0, 1000), data=st.data())
def test_every_permutation_is_undone(shape: list[int], seed: int, data: st.DataObject) -> None:
    reference = np.random.default_rng(seed).normal(size=shape)
    order = data.draw(st.permutations(range(len(shape))))
    candidate = reference.transpose(order).astype(np.float32)
    arranged = find_layout(reference, candidate).arrange(reference, candidate.shape)
    np.testing.assert_array_equal(arranged.astype(np.float32), candidate)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_maps_and_tokens_and_heads(noise: float) -> None:
    random = np.random.default_rng(0)
    tokens = random.normal(size=(1, 6, 12))  # h * w, heads * size
    maps = tokens.reshape(1, 2, 3, 12).transpose(0, 3, 1, 2)
    heads = tokens.reshape(1, 6, 3, 4).transpose(0, 2, 1, 3)
    for form in (maps, heads):
        disturbed = form + noise * random.normal(size=form.shape)
        np.testing.assert_array_equal(
            find_layout(tokens, disturbed).arrange(tokens, form.shape), form
        )


def test_what_agrees_with_nothing_is_taken_by_its_axes() -> None:
    reference = np.random.default_rng(0).normal(size=(1, 4, 5, 7))
    other = np.random.default_rng(1).normal(size=(1, 5, 7, 4))
    arranged = find_layout(reference, other).arrange(reference, other.shape)
    assert sorted(arranged.ravel()) == sorted(reference.ravel())


def test_a_single_number() -> None:
    assert find_layout(np.array([[2.0]]), np.array(2.0)).arrange(np.array([[2.0]]), ()) == 2.0
