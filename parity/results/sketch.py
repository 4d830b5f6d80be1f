"""A network's float64 outputs in a few numbers, by which another run's can be held to them.

An output of any size is kept as its Euclidean norm and sixteen signed sums: each element goes into
one of them, with a sign that is drawn once for all (a "count sketch"). An element that is off by
``d`` moves one sum by ``d``; sums of two outputs that differ by rounding alone differ by rounding.
So a report of a few kilobytes tells whether a network computes what it computed, without torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.parity.results.container import FLOAT64, START, Container, ContainerError
from trufor_onnx.parity.results.rows import Report

SUMS = 16
SEED = 0x7F4C  # of the signs; another one makes all stored sketches void
ROUNDING = 1e-9  # of an output's norm; machines and torch versions differ by less than 1e-12

Who = tuple[str, str, str, str]  # network, version, digests of its weights and of the extractor's
Where = tuple[str, str]  # digest of the pixels, output


@dataclass(frozen=True)
class Outputs:
    """What a release's networks compute in float64.

    Attributes:
        name: of the file that says so.
        networks: sketches by network, pixels and output.
    """

    name: str
    networks: Mapping[Who, Mapping[Where, Mapping[str, Any]]]

    def versions(self, network: str) -> list[Who]:
        """All that is known under a network's name."""
        return [who for who in self.networks if who[0] == network]


def sketch(array: npt.NDArray[Any]) -> dict[str, Any]:
    """An output's shape, norm and signed sums, computed in float64."""
    values = np.ascontiguousarray(array, np.float64).reshape(-1)
    with np.errstate(invalid="ignore", over="ignore"):  # not finite: the comparison refuses it
        signed = values * _signs(values.size)
        sums = np.pad(signed, (0, -values.size % SUMS)).reshape(-1, SUMS).sum(axis=0)
        norm = math.sqrt(float(np.einsum("i,i->", values, values)))
    return {"shape": list(array.shape), "norm": norm, "sums": [float(value) for value in sums]}


def apart(old: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    """The largest difference of two sketches' sums, over the old norm; infinite where they do not
    describe outputs that can be compared (another shape, a value that is not finite).
    """
    if old.get("shape") != new.get("shape"):
        return math.inf
    ours, theirs = (_numbers(given.get("sums")) for given in (old, new))
    norms = _numbers([old.get("norm"), new.get("norm")])
    if not len(ours) == len(theirs) == SUMS or not norms:
        return math.inf
    found = [abs(after - before) for before, after in zip(ours, theirs, strict=True)]
    difference = max(*found, abs(norms[1] - norms[0]))
    return difference / norms[0] if norms[0] else (math.inf if difference else 0.0)


def _numbers(given: object) -> list[float]:
    """A list of finite numbers; empty where it is none."""
    if not isinstance(given, list | tuple):
        return []
    found = [float(value) for value in given if type(value) in (int, float)]
    whole = len(found) == len(given) and all(math.isfinite(value) for value in found)
    return found if whole else []


def recorded(report: Report, name: str) -> Outputs:
    """The outputs that a report recorded; of reports of earlier versions there are none.

    Args:
        report: the report.
        name: what messages call it.
    """
    networks: dict[Who, dict[Where, Mapping[str, Any]]] = {}
    for row in report.all_rows:
        pixels = (row.sketch or {}).get("pixels")
        who = who_of(report.models.get(row.model, {}))
        if who and isinstance(pixels, str):
            networks.setdefault(who, {})[pixels, row.output] = row.sketch or {}
    return Outputs(name, networks)


def who_of(about: Mapping[str, Any]) -> Who | None:
    """Which network with which weights a report's part is of, or None where it does not say."""
    given = about.get("reference_network")
    if not isinstance(given, Mapping):
        return None
    return (
        str(given.get("model")),
        str(given.get("version")),
        str(given.get("weights")),
        str(given.get("second_input") or ""),
    )


def bundled(path: Path) -> Outputs:
    """The outputs that a bundle of `parity reference` holds.

    Raises:
        ContainerError: it is none, or damaged.
    """
    networks: dict[Who, dict[Where, Mapping[str, Any]]] = {}
    with Container(path) as container:
        for item in container.items:
            what = item.key.get("what")
            if not isinstance(what, dict) or what.get("kind") != FLOAT64:
                continue
            try:
                second = what["second_input"]
                who = (
                    what["network"]["model"],
                    what["network"]["version"],
                    what["weights"],
                    second["weights"] if second else "",
                )
                pixels = what["pixels"]["sha256"]
            except (KeyError, TypeError) as error:
                raise ContainerError(
                    f"{path}: not what `parity reference` writes ({error})",
                    hint="make it anew: `python -m parity reference --out FILE`",
                ) from error
            for name, array in container.read(item).items():
                networks.setdefault(who, {})[pixels, name] = sketch(array)
    return Outputs(str(path), networks)


def is_bundle(path: Path) -> bool:
    """Whether a file is a bundle, by its first bytes."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(START)) == START
    except OSError:
        return False


def differing(old: Outputs, new: Outputs, who: Who, most: float) -> tuple[int, Iterator[str]]:
    """One network's outputs in two releases.

    Args:
        old: the earlier release's.
        new: today's.
        who: the network with its weights, the same in both.
        most: the largest difference, over the old output's norm, that is rounding.

    Returns:
        How many outputs both have, and a sentence for each that is another one.
    """
    before, after = old.networks.get(who, {}), new.networks.get(who, {})
    shared = sorted(before.keys() & after.keys())
    found = ((place, apart(before[place], after[place])) for place in shared)
    return len(shared), (
        f"{who[0]}: not the outputs of {old.name}, under the same version {who[1]} and weights: "
        f"{output} on pixels {pixels[:12]} is off by {far:.1e} of its size"
        for (pixels, output), far in found
        if not far <= most
    )


def unlike_report(given: Outputs, report: Report) -> Iterator[str]:
    """Why a bundle is not of a report: a sentence for each network that it does not agree on."""
    known = recorded(report, "the report")
    for model, about in report.models.items():
        who = who_of(about)
        if who is None or who not in known.networks:
            yield f"{model}: the report does not say what it computes"
            continue
        if who not in given.networks:
            versions = ", ".join(sorted({other[1] for other in given.versions(who[0])}))
            there = f"it has version {versions}" if versions else "it has none"
            yield f"{model}: no outputs of version {who[1]} with these weights; {there}"
            continue
        count, wrong = differing(known, given, who, ROUNDING)
        yield from wrong
        if not count:
            yield f"{model}: no picture in common"


@lru_cache(maxsize=4)
def _signs(count: int) -> npt.NDArray[np.int8]:
    """(count,) of -1 and 1: the same on every machine and with every numpy.

    Raw words of PCG64 are drawn, since only these are promised to stay as they are.
    """
    words = np.random.PCG64(SEED).random_raw(count // 64 + 1).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), count=count)
    signs: npt.NDArray[np.int8] = 2 * bits.astype(np.int8) - 1
    return signs
