"""Check what concerns a folder of pieces as a whole."""

from __future__ import annotations

import re
from contextlib import closing

from chunking.acceptance import still_needed
from chunking.atomic import PART_PREFIX, PART_SUFFIX
from chunking.cuts import METHODS, VERSION, plan_cuts
from chunking.errors import ChunkingError, command
from chunking.faults import Fault, FaultKind
from chunking.folders import PieceFolder, listed_in, manifests_in
from chunking.manifest import Manifest
from chunking.sources import JoinedPieces

PIECE_NAME = re.compile(r"[0-9a-f]{64}\.chunk")
PART_NAME = re.compile(re.escape(PART_PREFIX) + r"[0-9a-f]{32}" + re.escape(PART_SUFFIX))


def check_whole(manifest: Manifest, found: str) -> list[Fault]:
    """Compare the SHA-256 of all pieces together with the manifest's."""
    if found == manifest.file.sha256:
        return []
    return [
        Fault(
            FaultKind.FILE_DIGEST,
            manifest.file.name,
            expected=manifest.file.sha256,
            found=found,
            cause="every piece is as listed, but together they make another file: the manifest "
            "contradicts itself",
            hint="get manifest.json again, or split the original file again",
        )
    ]


def check_cuts(folder: PieceFolder) -> list[Fault]:
    """Compare the manifest's cuts with those that `split` makes. The pieces must be right."""
    manifest = folder.manifest
    chunker = manifest.chunker
    known = chunker.name in METHODS and chunker.version == VERSION
    cause = f"cut by {chunker.name!r} version {chunker.version}, which this program does not know"
    if known:
        cause = "the file is not cut where `split` cuts it"
        with closing(JoinedPieces(folder.path, manifest)) as source:
            try:
                plan = plan_cuts(source, target=chunker.target, maximum=chunker.max)
            except ChunkingError as error:
                cause = f"`split` would not cut this file: {error.problem}"
            else:
                ends = tuple(piece.end for piece in manifest.chunks)
                if plan.chunker == chunker and plan.ends == ends:
                    return []
    hint = "split the original file again" if known else "update this program"
    return [Fault(FaultKind.CUTS, folder.manifest_path.name, cause=cause, hint=hint)]


def find_unlisted(folder: PieceFolder) -> list[Fault]:
    """What lies in the folder and belongs to no manifest there.

    Raises:
        OSError: the folder cannot be listed.
    """
    listed = folder.manifest.piece_names | listed_in(folder.path)
    names = sorted(path.name for path in folder.path.iterdir())
    prune = command("prune", folder.path, "--keep", folder.manifest_path)
    needed: str | None = None
    faults = []
    for name in names:
        if name in listed:
            continue
        if PIECE_NAME.fullmatch(name):
            if needed is None:
                manifests = (folder.manifest, *manifests_in(folder.path).values())
                needed = still_needed(folder.path, manifests)
            cause = "a piece that no manifest here lists"
            hint = f"keep such: {needed}" if needed else f"remove such: {prune}"
        elif PART_NAME.fullmatch(name):
            cause, hint = "what a killed run left behind", f"remove such: {prune}"
        else:
            cause, hint = "no part of the release", "move it out of the folder"
        faults.append(Fault(FaultKind.UNLISTED, name, cause=cause, hint=hint))
    return faults
