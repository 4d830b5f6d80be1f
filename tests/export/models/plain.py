"""The networks a second time, in plain numpy, one image at a time: what the modules must equal.

Written for the eye, not for speed: every product and sum as docs/networks.md says it, with
explicit loops over heads and no numerical tricks. Maps are (C, h, w), tokens (N, C), float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


@dataclass(frozen=True)
class State:
    """Tensors of a part: ``state / "attn" / "q"`` goes down, ``state["weight"]`` reads."""

    tensors: Mapping[str, np.ndarray]
    prefix: str = ""

    def __truediv__(self, part: object) -> State:
        return State(self.tensors, f"{self.prefix}{part}.")

    def __getitem__(self, leaf: str) -> np.ndarray:
        return self.tensors[self.prefix + leaf]

    def get(self, leaf: str) -> np.ndarray | float:
        """The tensor, or 0.0 where there is none (a layer without bias)."""
        return self.tensors.get(self.prefix + leaf, 0.0)

    def count(self) -> int:
        """How many numbered parts there are."""
        rest = (n.removeprefix(self.prefix) for n in self.tensors if n.startswith(self.prefix))
        return len({name.split(".")[0] for name in rest})


def conv(s: State, x: np.ndarray, *, stride: int = 1, padding: int = 0) -> np.ndarray:
    weight = s["weight"]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    if weight.shape[1] == 1 and len(x) > 1:  # depthwise
        out = np.einsum("chwij,cij->chw", windows, weight[:, 0])
    else:
        out = np.einsum("chwij,ocij->ohw", windows, weight)
    return out + np.reshape(s.get("bias"), (-1, 1, 1))


def linear(s: State, tokens: np.ndarray) -> np.ndarray:
    return tokens @ s["weight"].T + s.get("bias")


def layer_norm(s: State, tokens: np.ndarray, eps: float) -> np.ndarray:
    centred = tokens - tokens.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + eps) * s["weight"] + s["bias"]


def batch_norm(s: State, maps: np.ndarray, eps: float) -> np.ndarray:
    def column(leaf: str) -> np.ndarray:
        return s[leaf][:, None, None]

    scaled = (maps - column("running_mean")) / np.sqrt(column("running_var") + eps)
    return scaled * column("weight") + column("bias")


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x)
    return powers / powers.sum(axis, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def tokens_of(maps: np.ndarray) -> np.ndarray:
    return maps.reshape(len(maps), -1).T


def maps_of(tokens: np.ndarray, like: np.ndarray) -> np.ndarray:
    return tokens.T.reshape(-1, *like.shape[1:])


def attention(s: State, maps: np.ndarray, *, heads: int, reduction: int) -> np.ndarray:
    tokens = tokens_of(maps)
    channels = tokens.shape[1]
    source = tokens
    if reduction > 1:
        source = layer_norm(s / "norm", tokens_of(conv(s / "sr", maps, stride=reduction)), 1e-5)
    query, both = linear(s / "q", tokens), linear(s / "kv", source)
    key, value = both[:, :channels], both[:, channels:]
    size = channels // heads
    parts = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        weights = softmax(query[:, own] @ key[:, own].T / math.sqrt(size), axis=1)
        parts.append(weights @ value[:, own])
    return linear(s / "proj", np.concatenate(parts, axis=1))


def feed_forward(s: State, maps: np.ndarray) -> np.ndarray:
    hidden = maps_of(linear(s / "fc1", tokens_of(maps)), like=maps)
    hidden = conv(s / "dwconv" / "dwconv", hidden, padding=1)
    return linear(s / "fc2", gelu(tokens_of(hidden)))


def block(s: State, maps: np.ndarray, *, heads: int, reduction: int) -> np.ndarray:
    tokens = tokens_of(maps)
    normed = maps_of(layer_norm(s / "norm1", tokens, 1e-6), like=maps)
    tokens = tokens + attention(s / "attn", normed, heads=heads, reduction=reduction)
    normed = maps_of(layer_norm(s / "norm2", tokens, 1e-6), like=maps)
    return maps_of(tokens + feed_forward(s / "mlp", normed), like=maps)


def patch_embedding(s: State, maps: np.ndarray, *, kernel: int, stride: int) -> np.ndarray:
    out = conv(s / "proj", maps, stride=stride, padding=kernel // 2)
    return maps_of(layer_norm(s / "norm", tokens_of(out), 1e-5), like=out)


def rectification(s: State, a: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channels = len(a)
    both = np.concatenate([a, e])
    mlp = s / "channel_weights" / "mlp"
    summary = np.concatenate([both.mean((1, 2)), both.max((1, 2))])
    cw = sigmoid(linear(mlp / 2, relu(linear(mlp / 0, summary))))[:, None, None]
    cw0, cw1 = cw[:channels], cw[channels:]
    mlp = s / "spatial_weights" / "mlp"
    sw0, sw1 = sigmoid(conv(mlp / 2, relu(conv(mlp / 0, both))))
    return a + 0.5 * cw1 * e + 0.5 * sw1 * e, e + 0.5 * cw0 * a + 0.5 * sw0 * a


def context(s: State, tokens: np.ndarray, heads: int) -> list[np.ndarray]:
    channels = tokens.shape[1]
    both = linear(s, tokens)
    key, value = both[:, :channels], both[:, channels:]
    size = channels // heads
    own = [slice(head * size, (head + 1) * size) for head in range(heads)]
    return [softmax(key[:, i].T @ value[:, i] * size**-0.5, axis=0) for i in own]


def across(tokens: np.ndarray, contexts: list[np.ndarray]) -> np.ndarray:
    parts = np.split(tokens, len(contexts), axis=1)
    return np.concatenate([p @ c for p, c in zip(parts, contexts, strict=True)], axis=1)


def fusion(s: State, a: np.ndarray, e: np.ndarray, *, heads: int) -> np.ndarray:
    cross, channels = s / "cross", len(a)
    projected1 = relu(linear(cross / "channel_proj1", tokens_of(a)))
    projected2 = relu(linear(cross / "channel_proj2", tokens_of(e)))
    y1, u1 = projected1[:, :channels], projected1[:, channels:]
    y2, u2 = projected2[:, :channels], projected2[:, channels:]
    context1 = context(cross / "cross_attn" / "kv1", u1, heads)
    context2 = context(cross / "cross_attn" / "kv2", u2, heads)
    end1 = linear(cross / "end_proj1", np.concatenate([y1, across(u1, context2)], axis=1))
    end2 = linear(cross / "end_proj2", np.concatenate([y2, across(u2, context1)], axis=1))
    a2 = layer_norm(cross / "norm1", tokens_of(a) + end1, 1e-5)
    e2 = layer_norm(cross / "norm2", tokens_of(e) + end2, 1e-5)
    both = maps_of(np.concatenate([a2, e2], axis=1), like=a)
    emb = s / "channel_emb"
    path = emb / "channel_embed"
    deep = conv(path / 3, relu(conv(path / 1, conv(path / 0, both), padding=1)))
    deep = batch_norm(path / 4, deep, 1e-5)
    return batch_norm(emb / "norm", conv(emb / "residual", both) + deep, 1e-5)


def encoder(
    s: State, rgb: np.ndarray, np_: np.ndarray, *, heads: tuple, reductions: tuple
) -> list[np.ndarray]:
    branches, fused = {"": rgb, "extra_": np_}, []
    for i in (1, 2, 3, 4):
        for name, maps in branches.items():
            kernel, stride = (7, 4) if i == 1 else (3, 2)
            embedding = s / f"{name}patch_embed{i}"
            maps = patch_embedding(embedding, maps, kernel=kernel, stride=stride)
            blocks = s / f"{name}block{i}"
            for j in range(blocks.count()):
                maps = block(blocks / j, maps, heads=heads[i - 1], reduction=reductions[i - 1])
            tokens = layer_norm(s / f"{name}norm{i}", tokens_of(maps), 1e-6)
            branches[name] = maps_of(tokens, like=maps)
        a, e = rectification(s / "FRMs" / (i - 1), branches[""], branches["extra_"])
        branches = {"": a, "extra_": e}
        fused.append(fusion(s / "FFMs" / (i - 1), a, e, heads=heads[i - 1]))
    return fused


def interpolation(size_in: int, size_out: int) -> np.ndarray:
    """(out, in): bilinear, align_corners=False; pixel centres lie at i + 0.5."""
    matrix = np.zeros((size_out, size_in))
    for i in range(size_out):
        at = max((i + 0.5) * size_in / size_out - 0.5, 0.0)
        low = int(at)
        matrix[i, low] += 1 - (at - low)
        matrix[i, min(low + 1, size_in - 1)] += at - low
    return matrix


def resized(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    rows = interpolation(maps.shape[1], size[0])
    return rows @ maps @ interpolation(maps.shape[2], size[1]).T


def decoder(s: State, fused: list[np.ndarray], eps: float) -> np.ndarray:
    size = fused[0].shape[1:]
    parts = [
        resized(maps_of(linear(s / f"linear_c{i}" / "proj", tokens_of(maps)), like=maps), size)
        for i, maps in zip((4, 3, 2, 1), reversed(fused), strict=True)
    ]
    hidden = conv(s / "linear_fuse" / 0, np.concatenate(parts))
    return conv(s / "linear_pred", relu(batch_norm(s / "linear_fuse" / 1, hidden, eps)))


def statistics(values: np.ndarray, weights: np.ndarray) -> list[float]:
    weights = weights / weights.sum()
    soft_min = -math.log((weights * np.exp(-values)).sum())
    soft_max = math.log((weights * np.exp(values)).sum())
    return [soft_min, soft_max, (weights * values).sum(), (weights * values**2).sum()]


def noiseprint(s: State, x: np.ndarray, depth: int) -> np.ndarray:
    x = relu(conv(s / 0, x, padding=1))
    for i in range(depth - 2):
        x = relu(batch_norm(s / (3 * i + 3), conv(s / (3 * i + 2), x, padding=1), 1e-5))
    return conv(s / (3 * depth - 4), x, padding=1)


def trufor(tensors: Mapping[str, np.ndarray], image: np.ndarray, config) -> dict[str, np.ndarray]:
    """Everything that the golden files hold, of one image (3, H, W) in [0, 1)."""
    s, size = State(tensors), image.shape[1:]
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    noise = noiseprint(s / "dncnn", image, config.noiseprint.depth)
    fused = encoder(
        s / "backbone",
        (image - mean) / std,
        np.repeat(noise, 3, axis=0),
        heads=config.encoder.heads,
        reductions=config.encoder.reductions,
    )
    localization = resized(decoder(s / "decode_head", fused, 1e-3), size)
    c = resized(decoder(s / "decode_head_conf", fused, 1e-5), size)[0]
    d = localization[1] - localization[0]
    features = [*statistics(c, np.ones(size)), *statistics(d, sigmoid(c))]
    hidden = relu(linear(s / "detection" / 0, np.array(features)))
    detection = linear(s / "detection" / 3, hidden)
    return {
        "noiseprint": noise,
        **{f"fused_{i}": maps for i, maps in enumerate(fused)},
        "localization_logits": localization,
        "confidence_logits": c[None],
        "detection_logit": detection,
        "map": softmax(localization, axis=0)[1],
        "conf": sigmoid(c),
        "score": sigmoid(detection)[0],
    }
