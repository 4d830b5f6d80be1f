"""Split files into pieces that fit a git host, and merge them back bit for bit."""

from trufor_onnx.chunking.inspecting import Inspection, Sharing, inspect
from trufor_onnx.chunking.manifest import Chunker, Manifest, Piece, WholeFile, load, release_id
from trufor_onnx.chunking.merging import Merged, merge
from trufor_onnx.chunking.pruning import Pruned, prune
from trufor_onnx.chunking.splitting import Split, split
from trufor_onnx.chunking.verifying import Fault, FaultKind, IntegrityError, Verification, verify
from trufor_onnx.errors import (
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
