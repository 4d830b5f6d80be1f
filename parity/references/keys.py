"""Under which key a result is stored: all that decides it, so that no other result is taken.

A key has two parts. ``what`` names the thing itself: the network with its version and weights, the
pixels, the preprocessing, the precision. ``made_by`` names what computed it: the program, the code
that the network's builder reaches (`parity.references.closure`), torch, and for float32 the
machine. The cache asks for both; a bundle, which is made to be carried
elsewhere, for ``what`` alone, and the report says by what it was made.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from trufor_onnx.documents import canonical
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.references.closure import Closure, closure, data_files, strangers
from trufor_onnx.sessions import package_version

Key = dict[str, Any]

WEIGHTS, PROOF, CASES = "weights", "proof", "cases"
# The module that computes references; what it imports is found by reading it.
COMPUTES = f"{__package__}.supply"

logger = logging.getLogger(__name__)


def network(spec: ModelSpec) -> dict[str, Any]:
    """A network without its weights."""
    return {
        "model": spec.name,
        "version": spec.version,
        "builder": spec.builder,
        "arguments": sha256_bytes(repr(sorted(spec.builder_arguments.items())).encode()),
    }


def made_by(spec: ModelSpec, *, machine: dict[str, Any] | None = None) -> dict[str, Any]:
    """The program, the network's own code and its packages; the machine for float32's rounding."""
    builder = builder_closure(spec)
    found: dict[str, Any] = {
        "torch": package_version("torch"),
        "code": code_digest(),
        "builder_code": builder.digest,
        "packages": {name: version.split()[0] for name, version in builder.packages.items()},
        "spec": sha256_bytes(repr(spec).encode()),
        "arguments": _arguments_digest(spec),
    }
    return found if machine is None else found | {"machine": machine}


def builder_closure(spec: ModelSpec) -> Closure:
    """The code of a network: its builder's, and that of the objects which it is called with."""
    modules = {spec.builder.partition(":")[0], *_modules_of(dict(spec.builder_arguments))}
    return closure(*sorted(modules), content=True)


def unkept(*specs: ModelSpec) -> str:
    """Why nothing of some networks may be stored, or "".

    Their code cannot be followed by reading it, or building them loaded a module which reading it
    did not find: what such code gives cannot be known from a key.
    """
    ours = closure(COMPUTES).unseen
    for spec in specs:
        unseen = [*ours, *builder_closure(spec).unseen, *_strange.get(spec.builder, ())]
        if unseen:
            reason = f"{spec.name}: {unseen[0]}"
            _say_once(reason)
            return reason
    return ""


@contextmanager
def watched(spec: ModelSpec) -> Iterator[None]:
    """Take note of modules that come in while a network is built, and that no key would cover."""
    before = set(sys.modules)
    yield
    came = [name for name in sys.modules if name not in before]
    found = strangers(came, builder_closure(spec))
    if found:
        _strange[spec.builder] = (f"building it loads {found[0]}, which its imports do not name",)


_strange: dict[str, tuple[str, ...]] = {}


@cache
def _say_once(reason: str) -> None:
    logger.warning("references are not kept, each is computed anew: %s", reason)


def key_digest(key: Key) -> str:
    """A key as 64 hexadecimal digits."""
    return sha256_bytes(canonical(key).encode())


@cache
def code_digest() -> str:
    """SHA-256 of our code that references are a function of: a changed runner has new ones."""
    return closure(COMPUTES).digest


def _modules_of(value: object) -> Iterator[str]:
    """Modules of classes, functions and objects among a builder's arguments."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _modules_of(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _modules_of(inner)
    else:
        named = value if isinstance(value, type) or callable(value) else type(value)
        module = getattr(named, "__module__", None)
        if isinstance(module, str) and module != "builtins":
            yield module


def _arguments_digest(spec: ModelSpec) -> str:
    """SHA-256 of a builder's arguments: arrays whole, files that they name by their content."""
    texts: list[str] = []

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return [[str(key), plain(inner)] for key, inner in value.items()]
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, str | Path):
            texts.append(str(value))
        if hasattr(value, "__array__"):  # `repr` leaves out the middle of a large one
            array = np.asarray(value)
            return [str(array.dtype), list(array.shape), sha256(array.tobytes()).hexdigest()]
        return repr(value)

    found = plain(dict(spec.builder_arguments))
    files = data_files(texts, spec.builder.partition(":")[0])
    return sha256_bytes(canonical([found, files]).encode())
