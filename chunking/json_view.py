"""Results as JSON objects, for programs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chunking.errors import UserError
from chunking.faults import Fault, IntegrityError
from chunking.inspecting import Inspection
from chunking.merging import Merged
from chunking.pruning import Pruned
from chunking.splitting import Split
from chunking.verifying import Verification

SCHEMA_VERSION = 1
Json = dict[str, Any]
Result = Split | Merged | Verification | Inspection | Pruned


def document(
    command: str, results: Sequence[Result], errors: Sequence[tuple[Path, UserError]]
) -> str:
    """One JSON document for one run of a command: what was done, and what could not be."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "results": [describe(result) for result in results],
        "errors": [_error(path, error) for path, error in errors],
        "environment": {
            "python": platform.python_version(),
            "platform": sys.platform,
            "cpus": os.cpu_count(),
        },
    }
    return json.dumps(data, sort_keys=True, indent=2, allow_nan=False)


def describe(result: Result) -> Json:
    """One result as a JSON object."""
    if isinstance(result, Pruned):
        return {**asdict(result), "folder": str(result.folder)}
    data: Json = {
        "folder": str(result.folder),
        "release_id": result.release_id,
        "name": result.manifest.file.name,
        "size": result.manifest.file.size,
        "sha256": result.manifest.file.sha256,
    }
    if isinstance(result, Split):
        data |= {
            "file": str(result.file),
            "pieces": len(result.manifest.chunks),
            "written_pieces": result.written_pieces,
            "written_bytes": result.written_bytes,
            "leftovers": result.leftovers,
            "needed": result.needed,
            "git": result.git,
        }
    elif isinstance(result, Merged):
        data |= {"file": str(result.file), "written": result.written}
    elif isinstance(result, Verification):
        data |= {
            "full": result.full,
            "ok": not result.faults,
            "faults": [_fault(fault) for fault in result.faults],
        }
    else:
        data |= _inspection(result)
    return data


def _inspection(result: Inspection) -> Json:
    sharing = result.sharing
    new = sharing.is_new if sharing else (None,) * len(result.manifest.chunks)
    return {
        "chunker": asdict(result.manifest.chunker),
        "pieces": [
            {**asdict(piece), "tensors": list(tensors), "is_new": is_new}
            for piece, tensors, is_new in zip(
                result.manifest.chunks, result.tensors, new, strict=True
            )
        ],
        "tensors_gap": result.gap,
        "sharing": None
        if sharing is None
        else {
            "against": sharing.against,
            "new_bytes": sharing.new_bytes,
            "shared_bytes": sharing.shared_bytes,
            "gone_bytes": sharing.gone_bytes,
            "new_share": sharing.new_share,
        },
    }


def _fault(fault: Fault) -> Json:
    return {**asdict(fault), "kind": str(fault.kind), "tensors": list(fault.tensors)}


def _error(path: Path, error: UserError) -> Json:
    faults = error.faults if isinstance(error, IntegrityError) else ()
    return {
        "path": str(path),
        "kind": type(error).__name__,
        "problem": error.problem,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "faults": [_fault(fault) for fault in faults],
    }
