from __future__ import annotations

import pytest
import torch

from trufor_onnx.errors import UserError
from trufor_onnx.export.models.rewriting import MIN_SIZE, InputShapeError, check_images


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (4, 3, 32, 500), (2, 3, 33, 47)])
def test_sizes_from_the_least_up_pass(shape: tuple[int, ...]) -> None:
    check_images(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("size", [(31, 32), (32, 31), (1, 1), (600, 16)])
def test_too_small_says_the_size_and_the_least(size: tuple[int, int]) -> None:
    with pytest.raises(InputShapeError) as caught:
        check_images(torch.zeros(1, 3, *size))
    assert f"{size[0]} x {size[1]}" in caught.value.problem
    assert f"{MIN_SIZE} x {MIN_SIZE}" in caught.value.problem
    assert caught.value.hint
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 64, 64)],
        [(1, 1, 64, 64)],
        [(1, 64, 64, 3)],
        [(1, 3, 64, 64), (1, 1, 64, 64)],
        [(1, 3, 64, 64), (2, 3, 64, 64)],
        [(1, 3, 64, 64), (1, 3, 64, 65)],
    ],
)
def test_other_shapes_are_refused_with_what_came(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(InputShapeError) as caught:
        check_images(*(torch.zeros(shape) for shape in shapes))
    assert all(str(shape) in caught.value.problem for shape in shapes)


def test_a_one_channel_map_passes_only_where_it_may() -> None:
    image, extra = torch.zeros(2, 3, 40, 48), torch.zeros(2, 1, 40, 48)
    check_images(image, extra, one_channel=True)
    with pytest.raises(InputShapeError):
        check_images(image, extra)
    with pytest.raises(InputShapeError):
        check_images(image, extra[:, :, 1:], one_channel=True)
    with pytest.raises(InputShapeError):
        check_images(extra, extra, one_channel=True)
