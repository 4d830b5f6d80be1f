"""What a release has to hold, as a small reviewed file: every rule with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from trufor_onnx.documents import canonical, decode, encode
from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_bytes

FILE = "policy.toml"
HINT = "see parity/gate/policy.toml and docs/gate.md: every rule with its keys"
ANY = "*"


class Absent(StrEnum):
    """What happens where a rule has nothing to judge."""

    ALLOW = "allow"
    REFUSE = "refuse"


class Elsewhere(StrEnum):
    """What happens where a baseline was measured in another environment."""

    REFUSE = "refuse"
    WARN = "warn"


class AcrossRuns(StrEnum):
    """Whether times of two runs can pass: a slower one always stops."""

    REFUSE = "refuse"
    JUDGE = "judge"


@dataclass(frozen=True)
class Plain:
    """A rule, and why it is there; by itself one without numbers of its own."""

    reason: str


@dataclass(frozen=True)
class Presence(Plain):
    """A rule whose evidence may be absent."""

    when_absent: Absent


@dataclass(frozen=True)
class Cases(Plain):
    """How many different images and shapes a network must have been run on.

    With ``fresh_seed`` a file other than the baseline's must have been run on other drawn sizes.
    """

    least_images: int
    least_shapes: int
    fresh_seed: bool


@dataclass(frozen=True)
class Complete(Plain):
    """Providers on which nothing may be "not run" or fail to run."""

    required_providers: tuple[str, ...]


@dataclass(frozen=True)
class Accuracy(Plain):
    """How far errors may grow over the baseline's; the ratio's limit is the tolerance's."""

    growth: float
    growth_floor: float


@dataclass(frozen=True)
class WeightsRule(Plain):
    """Whose weights may be released, and what must have proven them.

    Attributes:
        allow_stand_in: weights made from a seed may.
        trust_lock: a lock is believed where nothing was at hand to derive the file again from.
        allow_untrained_looking: tensors that look as a network is made may be there.
        trained_as_they_are: patterns (``head.*.bias``) of tensors that may look so.
    """

    allow_stand_in: bool
    trust_lock: bool
    allow_untrained_looking: bool
    trained_as_they_are: tuple[str, ...]


@dataclass(frozen=True)
class References(Presence):
    """How far the network's float64 outputs may be from the last release's, over their norm."""

    most_difference: float


@dataclass(frozen=True)
class Size(Plain):
    """Bytes of a file, by ``model/variant``, and its growth over the baseline's."""

    growth: float
    most_bytes: Mapping[str, int]


@dataclass(frozen=True)
class MemoryRule(Presence):
    """Peak bytes of a fresh process, by ``model/variant``, and its growth."""

    growth: float
    slack_bytes: int
    most_bytes: Mapping[str, int]


@dataclass(frozen=True)
class PlacementRule(Presence):
    """How many nodes another provider than the wanted one may compute."""

    most_lost_nodes: int
    free_operators: tuple[str, ...]


@dataclass(frozen=True)
class LatencyRule(Presence):
    """What counts as slower."""

    other_environment: Elsewhere
    across_runs: AcrossRuns
    least_effect: float
    must_see: float
    confidence: float


@dataclass(frozen=True)
class Policy:
    """All rules, in the order in which they are judged."""

    report: Plain
    tolerances: Plain
    weights: WeightsRule
    contract: Plain
    digests: Presence
    cases: Cases
    complete: Complete
    outputs: Plain
    verdicts: Plain
    accuracy: Accuracy
    references: References
    pieces: Presence
    size: Size
    memory: MemoryRule
    placement: PlacementRule
    latency: LatencyRule
    locate: Presence

    @property
    def digest(self) -> str:
        """The SHA-256 of all that the policy says."""
        return sha256_bytes(canonical(encode(self)).encode())

    def reason(self, rule: str) -> str:
        """Why a rule is there."""
        reason: str = getattr(self, rule).reason
        return reason


def load_policy(path: Path | None = None) -> Policy:
    """The packaged policy, changed by the rules of a file.

    Raises:
        ParityError: the file is missing, no TOML, or has a rule or key that does not exist.
    """
    document = _parse((files("trufor_onnx.parity.gate") / FILE).read_text(encoding="utf-8"), FILE)
    name = FILE
    if path is not None:
        name = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ParityError(f"{path}: cannot be read ({error})", hint=HINT) from error
        document = _changed(document, _parse(text, name), name)
    try:
        policy = decode(Policy, document)
    except ValueError as error:
        raise ParityError(f"{name}: {error}", hint=HINT) from error
    _require_sense(policy, name)
    return policy


def budget(table: Mapping[str, int], model: str, variant: str) -> int | None:
    """The most specific entry of a table by ``model/variant``, or None."""
    keys = (f"{model}/{variant}", f"{model}/{ANY}", f"{ANY}/{variant}", f"{ANY}/{ANY}")
    return next((table[key] for key in keys if key in table), None)


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ParityError(f"{name}: {error}", hint=HINT) from error


def _changed(default: dict[str, Any], given: dict[str, Any], name: str) -> dict[str, Any]:
    """Rules replaced key by key; a changed rule gives its own reason."""
    merged = dict(default)
    for rule, table in given.items():
        if rule not in default:
            raise ParityError(f"{name}: no rule is called {rule!r}", hint=HINT)
        if not isinstance(table, dict) or not isinstance(table.get("reason"), str):
            raise ParityError(f"{name}: [{rule}] gives no reason of its own", hint=HINT)
        merged[rule] = default[rule] | {
            key: default[rule][key] | value
            if isinstance(value, dict) and isinstance(default[rule].get(key), dict)
            else value
            for key, value in table.items()
        }
    return merged


def _require_sense(policy: Policy, name: str) -> None:
    """Limits that could never fail, or never pass, are refused."""
    faults = {
        "cases: at least one image and no negative number of shapes": (
            policy.cases.least_images < 1 or policy.cases.least_shapes < 0
        ),
        "complete: name at least one required provider": not policy.complete.required_providers,
        "latency: confidence lies between 0.5 and 1": not 0.5 <= policy.latency.confidence < 1.0,
        "latency: least_effect lies between 0 and 1": not 0.0 <= policy.latency.least_effect <= 1.0,
        "latency: must_see is more than least_effect": not (
            policy.latency.least_effect < policy.latency.must_see <= 10.0
        ),
        "references: most_difference is more than 0 and at most 1e-6": not (
            0.0 < policy.references.most_difference <= 1e-6
        ),
        "a growth is 1 or more": not (
            min(policy.size.growth, policy.memory.growth, policy.accuracy.growth) >= 1.0
        ),
        "a rule gives no reason": not all(
            policy.reason(field.name).strip() for field in fields(policy)
        ),
    }
    for fault, there in faults.items():
        if there:
            raise ParityError(f"{name}: {fault}", hint=HINT)
