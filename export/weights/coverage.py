"""The proof that a checkpoint sets every tensor of a network, each exactly once.

The export that people copy today loads with "missing names are fine", and a quarter of its
encoder is a fresh random draw in every process. Here a missing tensor is an error that names it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import CoverageError
from trufor_onnx.export.networks.spec import ModelSpec

if TYPE_CHECKING:
    import torch

SHOWN = 8  # how many names an error lists before it counts the rest
COUNTER = "num_batches_tracked"  # a training counter, no weight: never counted as a parameter

Signature = tuple[tuple[int, ...], str]  # shape and dtype, "float32"


@dataclass(frozen=True)
class Coverage:
    """Which tensors of a network a checkpoint sets.

    Attributes:
        expected: shape and dtype of every tensor of the network, by name.
        found: tensors that are there and fit.
        missing: tensors of the network that are not there, the largest first.
        unexpected: tensors that no part of the network asked for.
        misfits: a sentence for each tensor whose shape or dtype is not the network's.
    """

    expected: Mapping[str, Signature]
    found: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misfits: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Every tensor is set once and nothing is left over."""
        return bool(self.expected) and not (self.missing or self.unexpected or self.misfits)

    def parameters(self, names: Sequence[str] | None = None) -> int:
        """How many numbers these tensors hold; all of the network's where ``names`` is None."""
        chosen = self.expected if names is None else names
        return sum(_size(self.expected, name) for name in chosen)

    def share(self) -> str:
        """Such as ``covers 48.4 M of 65.0 M parameters (74.5 %)``."""
        covered, total = self.parameters(self.found), self.parameters()
        percent = 100.0 * covered / total if total else 0.0
        if covered < total:
            percent = min(percent, 99.9)  # a missing bias must not read as 100.0 %
        return f"covers {_millions(covered)} of {_millions(total)} parameters ({percent:.1f} %)"

    def document(self) -> dict[str, int]:
        """Counts for lock files and reports."""
        return {
            "tensors": len(self.expected),
            "tensors_set": len(self.found),
            "parameters": self.parameters(),
            "parameters_set": self.parameters(self.found),
        }


def measure(expected: Mapping[str, Signature], given: Mapping[str, Signature]) -> Coverage:
    """Compare what a network needs with what a checkpoint gives."""
    misfits = {
        name: f"{name}: {_show(given[name])} in the checkpoint, {_show(signature)} in the network"
        for name, signature in expected.items()
        if name in given and given[name] != signature
    }
    missing = [name for name in expected if name not in given]
    return Coverage(
        expected=expected,
        found=tuple(name for name in expected if name in given and name not in misfits),
        missing=tuple(sorted(missing, key=lambda name: (-_size(expected, name), name))),
        unexpected=tuple(
            sorted((n for n in given if n not in expected), key=lambda n: (-_size(given, n), n))
        ),
        misfits=dict(sorted(misfits.items(), key=lambda m: (-_size(expected, m[0]), m[0]))),
    )


def require_complete(coverage: Coverage, what: str, *, hint: str) -> None:
    """Refuse anything but full coverage.

    Args:
        coverage: what was measured.
        what: the file and the network, for the message.
        hint: what the user can do about it.

    Raises:
        CoverageError: names what is missing, unexpected or misshapen, worst offenders first.
    """
    if coverage.complete:
        return
    lines = [f"{what}: {coverage.share()}"]
    if coverage.missing:
        count = len(coverage.missing)
        size = _millions(coverage.parameters(coverage.missing))
        lines.append(f"  missing {count} tensors, {size} parameters, in {groups(coverage.missing)}")
        lines += _listed(coverage.missing, coverage.expected)
    if coverage.misfits:
        lines.append(f"  {len(coverage.misfits)} tensors of another shape or dtype:")
        lines += [f"    {text}" for text in list(coverage.misfits.values())[:SHOWN]]
        lines += _rest(len(coverage.misfits))
    if coverage.unexpected:
        count = len(coverage.unexpected)
        lines.append(f"  {count} unexpected tensors, in {groups(coverage.unexpected)}")
        lines += [f"    {name}" for name in coverage.unexpected[:SHOWN]] + _rest(count)
    raise CoverageError("\n".join(lines), hint=hint)


def groups(names: Sequence[str]) -> str:
    """Names by their first part, most tensors first: ``FFMs.* (92), FRMs.* (32)``."""
    counts = Counter(map(_group, names))
    shown = [f"{group} ({count})" for group, count in counts.most_common(SHOWN)]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more groups" if more > 0 else "")


def group_list(names: Collection[str], order: Iterable[str]) -> str:
    """The first parts of names, in the order in which ``order`` has the names: ``FRMs.*, ...``."""
    return ", ".join(dict.fromkeys(_group(name) for name in order if name in names))


def signatures(tensors: Mapping[str, Any]) -> dict[str, Signature]:
    """Shape and dtype of torch tensors or numpy arrays by name."""
    return {
        name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in tensors.items()
    }


def _group(name: str) -> str:
    first, dot, _ = name.partition(".")
    return f"{first}.*" if dot else first


def _listed(names: tuple[str, ...], expected: Mapping[str, Signature]) -> list[str]:
    return [f"    {name} {_show(expected[name])}" for name in names[:SHOWN]] + _rest(len(names))


def _rest(count: int) -> list[str]:
    return [f"    and {count - SHOWN} more"] if count > SHOWN else []


def _size(expected: Mapping[str, Signature], name: str) -> int:
    return 0 if name.endswith(COUNTER) else math.prod(expected[name][0])


def _show(signature: Signature) -> str:
    shape, dtype = signature
    return f"{dtype}{list(shape)}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 100_000 else f"{count:,}"


@dataclass(frozen=True)
class OwnPart:
    """A network's share of a checkpoint.

    Attributes:
        tensors: by the network's own names.
        sources: what each is called in the checkpoint, by the network's own names.
        left: names in the checkpoint that this network leaves to others.
        one_branch: the checkpoint has one of the network's two branches; both got its tensors.
    """

    tensors: Mapping[str, torch.Tensor]
    sources: Mapping[str, str]
    left: tuple[str, ...]
    one_branch: bool


def own_part(
    spec: ModelSpec, given: Mapping[str, torch.Tensor], expected: Mapping[str, Any]
) -> OwnPart:
    """A network's share of a checkpoint; what is unknown stays in it, to be reported.

    A checkpoint of the whole network has the network's prefix (``spec.prefix``) before its names.
    A checkpoint of one branch of two (``spec.second_branch``) has tensors of the first branch and
    none that both branches share: then the second branch gets the same tensors, and what else is
    in the file (a classifier) is left. A checkpoint of a training script's module has the name of
    the network in it before each name (``model.``): where all of the network's tensors are there
    under one such name, and none without it, what stands under other names is left.

    Args:
        spec: the network.
        given: the checkpoint's tensors by name.
        expected: the network's tensors, by its own names.
    """
    sources = {name: name for name in given}
    left: tuple[str, ...] = ()
    if spec.prefix and any(name.startswith(spec.prefix) for name in given):
        sources = {n.removeprefix(spec.prefix): n for n in given if n.startswith(spec.prefix)}
        left = tuple(name for name in given if not name.startswith(spec.prefix))
    elif wrapped := _wrapped(given, expected):
        sources = {n.removeprefix(wrapped): n for n in given if n.startswith(wrapped)}
        left = tuple(name for name in given if not name.startswith(wrapped))
    one_branch = _is_one_branch(spec, sources, expected)
    elsewhere = spec.elsewhere
    if one_branch:
        known = {_parts_group(name) for name in expected}
        elsewhere = (*elsewhere, *sorted({_parts_group(name) for name in sources} - known))
    if elsewhere:
        left += tuple(source for own, source in sources.items() if own.startswith(elsewhere))
        sources = {own: n for own, n in sources.items() if not own.startswith(elsewhere)}
    if one_branch:
        second = {spec.second_branch + own: name for own, name in sources.items()}
        sources |= {own: name for own, name in second.items() if own in expected}
    return OwnPart({own: given[n] for own, n in sources.items()}, sources, left, one_branch)


def _wrapped(given: Collection[str], expected: Collection[str]) -> str:
    """The one prefix, ``model.`` say, under which a checkpoint has all of a network, or ""."""
    weights = [name for name in expected if not name.endswith(COUNTER)]
    if not weights or any(name in given for name in expected):
        return ""
    ends = (name.removesuffix(weights[0]) for name in given if name.endswith(f".{weights[0]}"))
    fitting = [p for p in ends if all(p + name in given for name in weights)]
    return fitting[0] if len(fitting) == 1 else ""


def _is_one_branch(spec: ModelSpec, own: Mapping[str, str], expected: Mapping[str, Any]) -> bool:
    """Every tensor that the network knows is of the first branch: it has a twin in the second."""
    known = [name for name in own if name in expected]
    return (
        bool(spec.second_branch)
        and bool(known)
        and all(spec.second_branch + name in expected for name in known)
    )


def _parts_group(name: str) -> str:
    return name.partition(".")[0] + "."


def tied_names(module: torch.nn.Module) -> dict[str, str]:
    """The later names of shared tensors, each with the first name of the same tensor."""
    first: dict[int, str] = {}
    tied: dict[str, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if first.setdefault(id(tensor), name) != name:
            tied[name] = first[id(tensor)]
    return tied


def require_equal(tied: Mapping[str, str], digests: Mapping[str, str], what: str) -> None:
    """Refuse a checkpoint that gives one tensor two values.

    Args:
        tied: from `tied_names`.
        digests: SHA-256 of each tensor by name.
        what: the file and the network, for the message.

    Raises:
        CoverageError: names the tensors.
    """
    torn = [
        f"{name} and {first}" for name, first in tied.items() if digests[name] != digests[first]
    ]
    if torn:
        raise CoverageError(
            f"{what}: one tensor of the network has two values: {'; '.join(torn[:4])}",
            hint="the checkpoint was made from another network, or saved by parts",
        )
