"""Derive a file again from the weights at hand, and hold it to that: what "proven" means.

A lock is a text file, and says what its writer wants. So nothing is believed of it but which
variant and opset to make: the network is exported once more in memory, from the tensors that the
reference runs with, and the file must hold the same weights in the same graph. What a rebuild gave
is kept by digests, in the cache and in bundles, so that it is made once, and torch is not needed
to compare with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

import trufor_onnx.export as export
from trufor_onnx.chunking import initializers
from trufor_onnx.chunking.initializers import Contents, Tensor, contents_of
from trufor_onnx.documents import canonical
from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.finish import toolchain
from trufor_onnx.export.graph.provenance import CONSTANT
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.references.bundle import Bundle
from trufor_onnx.parity.references.keys import Key, made_by, network, unkept
from trufor_onnx.parity.references.networks import PUBLISHED, KnownWeights
from trufor_onnx.parity.references.store import ReferenceCache, Tally
from trufor_onnx.parity.results.rows import AS_LOCKED, PROVEN, REFUTED, named

REBUILD = "rebuild"  # the kind of such entries
DIGITS = 16  # of a part's digest, to name the first that differs; `graph` covers all digits


@dataclass(frozen=True)
class Rebuilt:
    """What an export of the reference's own tensors is, by digest.

    Attributes:
        file_sha256: of the file as a whole.
        initializers: its weights by name.
        made_of: each one's transform and sources, as locks have them.
        graph: SHA-256 over everything else that it computes by.
        parts: the first digits of each part's digest, in order.
        toolchain: the versions that made it.
        by: what made it, for reports.
    """

    file_sha256: str
    initializers: Mapping[str, Tensor]
    made_of: Mapping[str, str]
    graph: str
    parts: tuple[str, ...]
    toolchain: Mapping[str, str]
    by: str

    def document(self) -> dict[str, Any]:
        """As a cache or a bundle keeps it."""
        return {
            "file_sha256": self.file_sha256,
            "initializers": {
                name: [tensor.kind, list(tensor.shape), tensor.sha256, self.made_of[name]]
                for name, tensor in self.initializers.items()
            },
            "graph": self.graph,
            "parts": list(self.parts),
            "toolchain": dict(self.toolchain),
        }


@dataclass(frozen=True)
class Derived:
    """How a comparison with a rebuild ended.

    Attributes:
        proof: ``proven``, ``other weights`` or ``as its lock says``.
        how: by what it is proven, or "".
        reason: why it is not, or "".
    """

    proof: str
    how: str = ""
    reason: str = ""


class Prover(Protocol):
    """Gives what an export of the reference's weights must be."""

    def rebuilt(
        self, spec: ModelSpec, weights: KnownWeights, *, variant: str, opset: int
    ) -> Rebuilt | str:
        """The rebuild, or why there is none."""
        ...


class Rebuilder:
    """Exports again, in memory, unless the cache has done so before.

    Args:
        store: keeps what rebuilds gave; None: nowhere.
    """

    def __init__(self, store: ReferenceCache | None = None) -> None:
        self._store = store

    def rebuilt(
        self, spec: ModelSpec, weights: KnownWeights, *, variant: str, opset: int
    ) -> Rebuilt | str:
        """The rebuild, or why there is none."""
        key: Key = {"what": what(spec, weights, variant, opset), "made_by": builder(spec)}
        known = self._store is not None and not unkept(spec)
        entry = self._store.find(key, Tally()) if self._store and known else None
        if entry is not None:
            return from_document(entry.document, "rebuilt here")
        try:
            found = rebuild(spec, weights, variant, opset)
        except ExportError as error:
            return f"it cannot be made again here ({error.problem})"
        if self._store and not unkept(spec):  # building it may have shown what no key covers
            self._store.add(key, document=found.document())
        return found


class BundledProofs:
    """What the maker of a bundle rebuilt; nothing is built here.

    Args:
        bundle: the open bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def rebuilt(
        self, spec: ModelSpec, weights: KnownWeights, *, variant: str, opset: int
    ) -> Rebuilt | str:
        """The rebuild, or why there is none."""
        item = self._bundle.find(what(spec, weights, variant, opset))
        if item is None:
            return (
                f"the bundle {self._bundle.path.name} holds no rebuild of {spec.name} as "
                f"{variant} at opset {opset}"
            )
        try:
            return from_document(item.document, f"derived by bundle {self._bundle.sha256[:16]}")
        except (KeyError, TypeError, ValueError) as error:
            return f"the bundle's rebuild of {spec.name} is none ({error})"


def rebuild(spec: ModelSpec, weights: KnownWeights, variant: str, opset: int) -> Rebuilt:
    """Export a network again, in memory.

    Raises:
        ExportError: it has no such variant, or cannot be exported at this opset.
    """
    from trufor_onnx.export.build import rebuild_file  # imports torch

    tensors = weights.load()
    built = rebuild_file(spec, tensors, variant=variant, opset=opset)
    found = contents_of(built.data)
    return Rebuilt(
        built.document["file"]["sha256"],
        found.initializers,
        {entry["name"]: made_of(entry) for entry in built.document["initializers"]},
        found.graph,
        tuple(part.sha256[:DIGITS] for part in found.parts),
        built.document["toolchain"],
        "rebuilt here",
    )


def from_document(document: Mapping[str, Any], by: str) -> Rebuilt:
    """A rebuild as `Rebuilt.document` wrote it.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    entries = document["initializers"]
    return Rebuilt(
        str(document["file_sha256"]),
        {
            name: Tensor(int(kind), tuple(map(int, shape)), str(sha256))
            for name, (kind, shape, sha256, _) in entries.items()
        },
        {name: str(entry[3]) for name, entry in entries.items()},
        str(document["graph"]),
        tuple(map(str, document["parts"])),
        dict(document["toolchain"]),
        by,
    )


def what(spec: ModelSpec, weights: KnownWeights, variant: str, opset: int) -> dict[str, Any]:
    """Under what a rebuild is stored: all that decides its bytes but what makes it.

    What the weights are called is written into the file, and so is part of it.
    """
    origin = {key: said for key, said in weights.document().items() if key != PUBLISHED}
    return {
        "kind": REBUILD,
        "network": network(spec),
        "spec": sha256_bytes(repr(spec).encode()),
        "weights": weights.digest,
        "origin": sha256_bytes(canonical(origin).encode()),
        "variant": variant,
        "opset": opset,
    }


def builder(spec: ModelSpec) -> dict[str, Any]:
    """What makes a rebuild: the exporter's code, the network's, and the packages."""
    return {
        **made_by(spec),
        "exporter": exporter_digest(),
        "toolchain": toolchain("onnxruntime"),
    }


@cache
def exporter_digest() -> str:
    """SHA-256 of the code that makes a file, and of the code that reads what is in one."""
    folder = Path(str(export.__file__)).parent
    paths = [*sorted(folder.rglob("*.py")), Path(__file__), Path(str(initializers.__file__))]
    lines = [f"{path.name} {sha256_bytes(path.read_bytes())}" for path in paths]
    return sha256_bytes("\n".join(lines).encode())


def made_of(entry: Mapping[str, Any]) -> str:
    """An initializer's transform and sources in one line, to find it under another name."""
    return canonical([entry["transform"], list(entry["sources"])])


def compare(sha256: str, contents: Contents, lock: Mapping[str, Any], rebuilt: Rebuilt) -> Derived:
    """Hold a file to a rebuild: its bytes; or else its weights, and then its graph.

    Args:
        sha256: of the ONNX file.
        contents: what it computes with.
        lock: the file's, for the versions that made it and what it says of initializers that the
            rebuild has under other names.
        rebuilt: what the reference's weights give.
    """
    if sha256 == rebuilt.file_sha256 and not contents.external:
        return Derived(PROVEN, f"{rebuilt.by}: the same bytes")
    same_makers = dict(lock["toolchain"]) == dict(rebuilt.toolchain)
    wrong, unknown = _weights(contents.initializers, lock, rebuilt, same_makers)
    if wrong:
        return Derived(
            REFUTED,
            reason=f"initializers that are not what {lock['weights']['label']} gives: "
            f"{named(wrong)} ({rebuilt.by})",
        )
    if not unknown and contents.graph == rebuilt.graph:
        return Derived(PROVEN, f"{rebuilt.by}: the same weights and graph")
    if same_makers:
        return Derived(
            REFUTED,
            reason="its graph is not the one that export makes of these weights: "
            f"{_first_difference(contents, rebuilt)} ({rebuilt.by})",
        )
    makers = ", ".join(
        f"{name} {lock['toolchain'].get(name, 'absent')} (here {rebuilt.toolchain.get(name)})"
        for name in sorted({*lock["toolchain"], *rebuilt.toolchain})
        if lock["toolchain"].get(name) != rebuilt.toolchain.get(name)
    )
    weights = (
        f"{len(unknown)} initializers were found in no rebuild ({named(unknown)})"
        if unknown
        else f"its weights are derived again ({rebuilt.by})"
    )
    return Derived(
        AS_LOCKED, reason=f"{weights}; its graph was made by another toolchain: {makers}"
    )


def _weights(
    found: Mapping[str, Tensor], lock: Mapping[str, Any], rebuilt: Rebuilt, same_makers: bool
) -> tuple[list[str], list[str]]:
    """Initializers that are wrong, and those of which nothing can be said.

    The same toolchain gives the same names. Another one may number what has no name of its own;
    such initializers are looked for by content, and by what the lock says that they are made of.
    """
    own = rebuilt.initializers
    wrong = [name for name in sorted(found) if name in own and found[name] != own[name]]
    apart = sorted(found.keys() ^ rebuilt.initializers.keys())
    if same_makers:
        return sorted([*wrong, *apart]), []
    contents = {*found.values()}, {*rebuilt.initializers.values()}
    made: defaultdict[tuple[str, tuple[int, ...]], set[Tensor]] = defaultdict(set)
    for name, tensor in rebuilt.initializers.items():
        made[rebuilt.made_of[name], tensor.shape].add(tensor)
    said = {entry["name"]: entry for entry in lock["initializers"]}
    unknown = []
    for name in apart:
        if name not in found:
            if rebuilt.initializers[name] not in contents[0]:
                unknown.append(name)
            continue
        tensor, entry = found[name], said.get(name)
        if tensor in contents[1]:
            continue
        alike = made.get((made_of(entry), tensor.shape)) if entry else None
        constant = entry is not None and entry["transform"] == CONSTANT
        (wrong if alike and not constant else unknown).append(name)
    return wrong, unknown


def _first_difference(contents: Contents, rebuilt: Rebuilt) -> str:
    """The first part that is another one, and its place."""
    for number, (part, digits) in enumerate(zip_longest(contents.parts, rebuilt.parts)):
        if part is None:
            return f"it ends after {number} of {len(rebuilt.parts)} parts"
        if part.sha256[:DIGITS] != digits:
            return f"{part.label} (part {number + 1} of {len(contents.parts)})"
    return "its parts as a whole"
