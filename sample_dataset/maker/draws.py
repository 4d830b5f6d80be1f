"""Numbers that look random and are the same on every machine and under every numpy version.

A draw is a hash of its key and its index: the start comes from the SHA-256 of the key, the
sequence is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
2014), all in integers. No generator object, no state, no order of calls.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def start(key: str) -> np.uint64:
    """The start of the sequence that belongs to ``key``."""
    return np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))


def mix(words: Words) -> Words:
    """SplitMix64's output function, element by element."""
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))


def uniform(key: str, shape: tuple[int, ...] | int) -> Floats:
    """Float64 in [0, 1), 53 random bits each."""
    sizes = (shape,) if isinstance(shape, int) else shape
    index = np.arange(1, math.prod(sizes) + 1, dtype=np.uint64)
    words = mix(index * _GOLDEN + start(key))
    return ((words >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(sizes)


def normal(key: str, shape: tuple[int, ...] | int) -> Floats:
    """Float64, mean 0, variance 1 (Box and Muller, 1958)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(f"{key}/radius", shape)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(f"{key}/angle", shape)))
