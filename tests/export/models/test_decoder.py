from __future__ import annotations

import io
import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from trufor_onnx.export.models.decoder import (
    Decoder,
    log_sigmoid,
    resize,
    score_features,
    weighted_statistics,
)

EXACT = 1e-12  # sums of a few dozen float64 numbers of size 1, in two orders
logits = st.floats(-300, 300)


@pytest.mark.parametrize("size", [(7, 9), (8, 6), (4, 3)])
def test_resize_aligns_pixel_areas(
    size: tuple[int, int], plain: ModuleType, draw: Callable
) -> None:
    maps = draw(1, 2, 4, 3)
    found = resize(maps, like=torch.empty(1, 1, *size))[0].numpy()
    expected = plain.resized(maps[0].numpy(), size)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < EXACT


@pytest.mark.parametrize("eps", [1e-3, 1e-5])
def test_decoder(
    eps: float, fill: Callable, arrays: Callable, plain: ModuleType, draw: Callable
) -> None:
    channels = (2, 3, 4, 5)
    module = fill(Decoder(channels, width=6, classes=2, batch_norm_eps=eps)).double().eval()
    sizes = [(9, 8), (5, 4), (3, 2), (2, 1)]
    fused = [draw(1, c, *size) for c, size in zip(channels, sizes, strict=True)]
    with torch.inference_mode():
        found = module(fused)[0].numpy()
    state = plain.State(arrays(module))
    expected = plain.decoder(state, [maps[0].numpy() for maps in fused], eps)
    assert found.shape == expected.shape == (2, 9, 8)
    assert np.abs(found - expected).max() < EXACT


def test_statistics_in_their_order(plain: ModuleType, draw: Callable) -> None:
    values, log_weights = draw(2, 5, 6) * 3, draw(2, 5, 6) * 2
    found = weighted_statistics(values, log_weights).numpy()
    for index in range(2):
        weights = np.exp(log_weights[index].numpy())
        expected = plain.statistics(values[index].numpy(), weights)
        assert np.abs(found[index] - expected).max() < EXACT


def test_confidence_is_unweighted_and_evidence_weighted_by_it(
    plain: ModuleType, draw: Callable
) -> None:
    confidence, evidence = draw(1, 4, 5) * 3, draw(1, 4, 5) * 3
    found = score_features(confidence, evidence)[0].numpy()
    c, d = confidence[0].numpy(), evidence[0].numpy()
    expected = [
        *plain.statistics(c, np.ones(c.shape)),
        *plain.statistics(d, 1 / (1 + np.exp(-c))),
    ]
    assert np.abs(found - expected).max() < EXACT


@given(st.lists(st.tuples(logits, logits), min_size=1, max_size=40))
def test_statistics_are_ordered_and_finite(pairs: list[tuple[float, float]]) -> None:
    values = torch.tensor([[[value for value, _ in pairs]]], dtype=torch.float64)
    log_weights = torch.tensor([[[weight for _, weight in pairs]]], dtype=torch.float64)
    found = weighted_statistics(values, log_weights)[0]
    low, high, mean, square = (float(number) for number in found)
    slack = 1e-9 * (1 + float(values.abs().max()) ** 2)
    assert float(values.min()) - slack <= low <= mean + slack
    assert mean - slack <= high <= float(values.max()) + slack
    assert square + slack >= mean**2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_statistics_of_extreme_logits_stay_finite(dtype: torch.dtype) -> None:
    confidence = torch.tensor([[[-1e4, 1e4, -90.0, 0.0]]], dtype=dtype)
    evidence = torch.tensor([[[1e4, -1e4, 3.0, 90.0]]], dtype=dtype)
    assert torch.isfinite(score_features(confidence, evidence)).all()
    assert torch.isfinite(score_features(-confidence.abs() - 1e3, evidence)).all()


@given(st.floats(-1e4, 1e4))
@example(-20.5)  # where the linear form sets in too early, a part in 1e9 is lost
@example(-30.0)
@example(-40.5)
def test_log_sigmoid_to_the_last_digits(logit: float) -> None:
    found = float(log_sigmoid(torch.tensor(logit, dtype=torch.float64)))
    expected = min(logit, 0.0) - math.log1p(math.exp(-abs(logit)))
    assert found == pytest.approx(expected, rel=1e-15, abs=1e-15)


class ScoreFeatures(torch.nn.Module):
    def forward(self, confidence: torch.Tensor, evidence: torch.Tensor) -> torch.Tensor:
        return score_features(confidence, evidence)


# The older tracer is deprecated in torch; using it is a decision (docs/decisions/exporter.md).
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_megapixel_keeps_its_digits_in_onnxruntime(draw: Callable) -> None:
    """One sum over all pixels is 6e-5 off here (docs/decisions/sums-by-rows.md)."""
    file = io.BytesIO()
    axes = {0: "batch", 1: "height", 2: "width"}
    torch.onnx.export(
        ScoreFeatures(),
        (torch.rand(2, 5, 6), torch.rand(2, 5, 6)),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["confidence", "evidence"],
        dynamic_axes={"confidence": axes, "evidence": axes},
    )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    confidence = (draw(1, 1024, 1024) * 3 + 1).float()
    evidence = (draw(1, 1024, 1024) * 3 - 1).float()
    feeds = {"confidence": confidence.numpy(), "evidence": evidence.numpy()}
    (found,) = session.run(None, feeds)
    expected = score_features(confidence.double(), evidence.double()).numpy()
    assert found.shape == expected.shape == (1, 8)
    assert np.abs(found - expected).max() < 2e-6
