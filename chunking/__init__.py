"""Split files into pieces that fit a git host, and merge them back bit for bit."""

from chunking.errors import (
    ChunkingError,
    ContentError,
    ExternalDataError,
    HiddenManifestError,
    ManifestError,
    ReplacementError,
    SourceChangedError,
    StorageError,
    UnsafeFileError,
)
from chunking.faults import Fault, FaultKind, IntegrityError
from chunking.inspecting import Inspection, Sharing, inspect
from chunking.manifest import Chunker, Manifest, Piece, WholeFile
from chunking.manifest_json import load, release_id
from chunking.merging import Merged, merge
from chunking.pruning import Pruned, prune
from chunking.splitting import Split, split
from chunking.verifying import Verification, verify

__all__ = [
    "Chunker",
    "ChunkingError",
    "ContentError",
    "ExternalDataError",
    "Fault",
    "FaultKind",
    "HiddenManifestError",
    "Inspection",
    "IntegrityError",
    "Manifest",
    "ManifestError",
    "Merged",
    "Piece",
    "Pruned",
    "ReplacementError",
    "Sharing",
    "SourceChangedError",
    "Split",
    "StorageError",
    "UnsafeFileError",
    "Verification",
    "WholeFile",
    "inspect",
    "load",
    "merge",
    "prune",
    "release_id",
    "split",
    "verify",
]
