"""Sums in two parts: exact where float32 sums are not, and the same network."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import onnxsim
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.errors import UserError
from trufor_onnx.export.models.fusion import CrossAttention
from trufor_onnx.export.models.rewriting import (
    MIN_SIZE,
    REWRITTEN,
    STEP,
    InputShapeError,
    PortableCrossAttention,
    check_images,
    concerns,
    rewrite,
    split,
)
from trufor_onnx.export.transforms import simplify

FLOATS = st.floats(-(2.0**120), 2.0**120, width=32)  # eight times a number must be one


@given(number=st.floats(-1e6, 1e6, width=32))
def test_the_coarse_part_is_a_multiple_of_the_step(number: float) -> None:
    coarse, rest = split(torch.tensor(number, dtype=torch.float32))
    assert float(coarse) % STEP == 0.0
    assert abs(float(rest)) <= STEP / 2


@given(number=FLOATS)
def test_nothing_is_lost_at_any_size(number: float) -> None:
    coarse, rest = split(torch.tensor(number, dtype=torch.float32))
    assert float(coarse) + float(rest) == number


@pytest.mark.parametrize("rows", [64, 1024])
def test_sums_that_reach_thousands_keep_their_digits(rows: int, draw: Callable) -> None:
    """Where the softmax sees them: 20 below the greatest of a column nothing is left."""
    products = (draw(1, 1, rows, 16, 16) * 20 + 50).float()
    exact = products.double().sum(2)
    assert float(exact.min()) > 1000

    def worst(module: CrossAttention) -> float:
        scores, wanted = module._scores(products).double(), exact
        scores, wanted = (each - each.amax(-2, keepdim=True) for each in (scores, wanted))
        return float((scores - wanted)[wanted > -20].abs().max())

    careful = worst(PortableCrossAttention(16, heads=1))
    assert careful < 2e-5
    assert careful < 0.1 * worst(CrossAttention(16, heads=1))


def test_the_same_network(fill: Callable, draw: Callable) -> None:
    plain = fill(CrossAttention(6, heads=2)).double()
    careful = fill(CrossAttention(6, heads=2)).double()
    assert concerns(careful, REWRITTEN)
    rewrite(careful, REWRITTEN)
    assert type(careful) is PortableCrossAttention
    assert not concerns(careful, REWRITTEN)
    rgb, extra = draw(2, 3, 5, 6), draw(2, 3, 5, 6)
    with torch.inference_mode():
        pairs = zip(careful(rgb, extra), plain(rgb, extra), strict=True)
    for one, other in pairs:
        assert float((one - other).abs().max()) < 1e-12


# The older tracer is deprecated in torch; using it is a decision (docs/decisions/exporter.md).
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_digits_are_kept_in_onnxruntime_after_the_simplifier(draw: Callable) -> None:
    """A file that is simplified still sums in two parts; one sum is 50 times as far off."""

    class Weights(torch.nn.Module):
        def __init__(self, attention: CrossAttention) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.attention._scores(rows), dim=-2)

    products = (draw(1, 1, 256, 16, 16) * 2 + 50).float()
    exact = torch.softmax(products.double().sum(2), dim=-2).numpy()
    worst = {}
    for kind in (CrossAttention, PortableCrossAttention):
        file = io.BytesIO()
        torch.onnx.export(
            Weights(kind(16, heads=1)).eval(),
            (products[:, :, :64],),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["rows"],
            dynamic_axes={"rows": {2: "h"}},
        )
        proto, _ = onnxsim.simplify(
            onnx.load_from_string(file.getvalue()),
            skipped_optimizers=list(simplify.SKIPPED),
            certify=False,
        )
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (found,) = session.run(None, {"rows": products.numpy()})
        worst[kind] = float(np.abs(found - exact).max())
    assert worst[PortableCrossAttention] < 2e-6
    assert worst[CrossAttention] > 50 * worst[PortableCrossAttention]


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
