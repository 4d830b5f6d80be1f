"""Where a release comes from: an in-toto statement (v1) with SLSA provenance (v1) in it.

https://in-toto.io/Statement/v1 and https://slsa.dev/provenance/v1. No times: the same inputs give
the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:trufor-onnx:model-release:v1"
LOCAL_BUILDER = "urn:trufor-onnx:builder:unnamed"


@dataclass(frozen=True)
class Origin:
    """What a release was made of.

    Attributes:
        version: the release's.
        models: names of its networks, with variants.
        settings: digests of policy, tolerances and report, and what was let pass.
        checkpoints: digests of the weights' files, by name.
        revision: the source's git commit, or "".
        builder: who made it, a URI.
        tools: versions by name.
    """

    version: str
    models: Sequence[str]
    settings: Mapping[str, str]
    checkpoints: Mapping[str, str]
    revision: str
    builder: str
    tools: Mapping[str, str]


def statement(digests: Mapping[str, str], origin: Origin) -> bytes:
    """The statement over files.

    Args:
        digests: SHA-256 by name.
        origin: where they come from.
    """
    dependencies: list[dict[str, Any]] = [
        {"name": name, "digest": {"sha256": sha256}}
        for name, sha256 in sorted(origin.checkpoints.items())
    ]
    if origin.revision:
        dependencies.append({"name": "source", "digest": {"gitCommit": origin.revision}})
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digests[name]}} for name in sorted(digests)
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": origin.version, "models": list(origin.models)},
                "internalParameters": dict(origin.settings),
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": origin.builder, "version": dict(origin.tools)},
            },
        },
    }
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def subjects(document: object) -> dict[str, str]:
    """Digests by name, as a statement has them.

    Raises:
        ValueError: it is no such statement.
    """
    if not isinstance(document, dict) or document.get("_type") != STATEMENT_TYPE:
        raise ValueError("not an in-toto statement")
    found: dict[str, str] = {}
    for entry in _list(document.get("subject")):
        given = entry.get("digest")
        name, digest = entry.get("name"), given.get("sha256") if isinstance(given, dict) else None
        if not isinstance(name, str) or not isinstance(digest, str) or name in found:
            raise ValueError("a subject without name or digest, or twice")
        found[name] = digest
    return found


def version_of(document: Any) -> str:
    """The release's version.

    Raises:
        ValueError: the statement says none.
    """
    try:
        if document["predicateType"] != PREDICATE_TYPE:
            raise ValueError("no SLSA provenance")
        version = document["predicate"]["buildDefinition"]["externalParameters"]["version"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no version ({error})") from error
    return str(version)


def _list(given: object) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise ValueError("no list of subjects")
    return given
