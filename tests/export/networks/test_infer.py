"""What a network takes is found by running it: on pictures, or on an example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.networks.infer import infer_spec, spec_from_example


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(50, 8), nn.Linear(8, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, bias: float = 0.0) -> torch.Tensor:
        return self.out((self.embedding(ids) * mask.unsqueeze(-1)).sum(1)) + bias


class Wave(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 9, padding=4)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.conv(wave.unsqueeze(1))


class Picture(nn.Module):
    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, side)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image)


def test_ids_and_a_mask() -> None:
    given = {"ids": np.array([[3, 41, 5]]), "mask": np.array([[1, 1, 0]])}
    found = spec_from_example(Text().eval(), "text", "here:Text", given)
    ids, mask = found.inputs
    assert ids.axes == mask.axes == ("batch", "axis_1")
    assert (ids.dtype, ids.below, mask.below) == ("int64", 42, 2)
    assert found.outputs[0].axes == ("batch", 4)


def test_a_waveform_without_a_name() -> None:
    wave = np.ones((2, 64), np.float32)
    found = spec_from_example(Wave().eval(), "wave", "here:Wave", {"": wave})
    assert found.inputs[0].name == "wave"
    assert found.inputs[0].axes == ("batch", "axis_1")
    assert found.outputs[0].axes == ("batch", 4, "axis_1")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ids": np.array([[3]]), "other": np.array([[1]])}, "the example has 'ids', 'other'"),
        ({"ids": np.array([[3]])}, "run on the example"),
        ({"ids": np.array([[300]]), "mask": np.array([[1]])}, "run on the example"),
    ],
)
def test_an_example_that_it_does_not_take(given: dict[str, np.ndarray], problem: str) -> None:
    with pytest.raises(ExportError, match=problem):
        spec_from_example(Text().eval(), "text", "here:Text", given)


def test_one_channel_and_the_least_side() -> None:
    found = infer_spec(Picture(1, 9).eval(), "grey", "here:grey")
    assert found.inputs[0].axes == ("batch", 1, "height", "width")
    assert (found.preprocessing.channels, len(found.preprocessing.mean)) == ("L", 1)
    assert found.least_size == 16
    assert infer_spec(Picture(3, 1).eval(), "rgb", "here:rgb").least_size == 1
    with pytest.raises(ExportError, match="run on a picture of 224 x 224"):
        infer_spec(Picture(5, 1).eval(), "five", "here:five")
