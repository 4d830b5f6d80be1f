from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from trufor_onnx.export.models.attention import (
    Attention,
    Block,
    FeedForward,
    PatchEmbedding,
    join_heads,
    split_heads,
    to_grid,
    to_maps,
)

EXACT = 1e-12  # sums of a few dozen float64 numbers of size 1, in two orders


@pytest.mark.parametrize(("channels", "heads", "reduction"), [(12, 3, 2), (8, 2, 1), (4, 1, 3)])
def test_attention(
    channels: int,
    heads: int,
    reduction: int,
    fill: Callable,
    arrays: Callable,
    plain: ModuleType,
    draw: Callable,
) -> None:
    module = fill(Attention(channels, heads=heads, reduction=reduction)).double()
    maps = draw(2, channels, 7, 5)  # no multiple of 2 or 3: a row and a column are dropped
    with torch.inference_mode():
        found = module(to_grid(maps)).flatten(1, 2).numpy()
    for image, one in zip(maps.numpy(), found, strict=True):
        state = plain.State(arrays(module))
        expected = plain.attention(state, image, heads=heads, reduction=reduction)
        assert one.shape == expected.shape
        assert np.abs(one - expected).max() < EXACT


def test_rows_and_columns_that_fill_no_window_do_not_reach_keys(
    fill: Callable, draw: Callable
) -> None:
    module = fill(Attention(4, heads=2, reduction=3)).double()
    grid = draw(1, 7, 8, 4)
    changed = grid.clone()
    changed[:, 6:] += 1.0
    changed[:, :, 6:] -= 1.0
    with torch.inference_mode():
        before, after = module(grid), module(changed)
    assert torch.equal(before[:, :6, :6], after[:, :6, :6])
    assert not torch.equal(before[:, 6:], after[:, 6:])


def test_feed_forward(fill: Callable, arrays: Callable, plain: ModuleType, draw: Callable) -> None:
    module = fill(FeedForward(6)).double()
    maps = draw(1, 6, 5, 4) * 3
    with torch.inference_mode():
        found = module(to_grid(maps)).flatten(1, 2)[0].numpy()
    expected = plain.feed_forward(plain.State(arrays(module)), maps[0].numpy())
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < EXACT


def test_block(fill: Callable, arrays: Callable, plain: ModuleType, draw: Callable) -> None:
    module = fill(Block(8, heads=2, reduction=2)).double()
    maps = draw(1, 8, 6, 9) * 1e-2  # small: an eps that is wrong by a factor of ten shows
    with torch.inference_mode():
        found = to_maps(module(to_grid(maps)))[0].numpy()
    state = plain.State(arrays(module))
    expected = plain.block(state, maps[0].numpy(), heads=2, reduction=2)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < EXACT


@pytest.mark.parametrize(("kernel", "stride", "size"), [(7, 4, (9, 11)), (3, 2, (6, 3))])
def test_patch_embedding_rounds_sizes_up(
    kernel: int,
    stride: int,
    size: tuple[int, int],
    fill: Callable,
    arrays: Callable,
    plain: ModuleType,
    draw: Callable,
) -> None:
    height, width = size
    maps = draw(1, 3, height, width)
    module = fill(PatchEmbedding(3, 6, kernel=kernel, stride=stride)).double()
    with torch.inference_mode():
        found = to_maps(module(maps))[0].numpy()
    assert found.shape == (6, -(-height // stride), -(-width // stride))
    state = plain.State(arrays(module))
    expected = plain.patch_embedding(state, maps[0].numpy(), kernel=kernel, stride=stride)
    assert np.abs(found - expected).max() < EXACT


def test_heads_are_contiguous_channels_and_tokens_run_row_by_row() -> None:
    grid = torch.arange(2 * 3 * 2 * 6).reshape(2, 3, 2, 6)
    heads = split_heads(grid, 3, 2)
    assert heads.shape == (2, 3, 6, 2)
    assert torch.equal(heads[1, 2, 3], grid[1, 1, 1, 4:])
    assert torch.equal(join_heads(heads, like=grid), grid)
