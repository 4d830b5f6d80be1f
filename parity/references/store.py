"""The cache of references: a file an entry, named by the digest of its key.

Nothing in it is trusted: an entry is used if its key is the one asked for and every byte agrees
with its digest; else it is computed again and replaced. Several processes may use one folder.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trufor_onnx.files import parse_size
from trufor_onnx.parity.references.keys import Key, key_digest
from trufor_onnx.parity.results.container import (
    Array,
    Container,
    ContainerError,
    NoContainerError,
    StoredEntry,
    write_container,
)

SUFFIX, PART = ".ref", ".part"
ABANDONED_S = 3600  # after so long nobody writes a part any more
KEEP = 0.9  # of the limit, once it was reached

logger = logging.getLogger(__name__)
ENVIRONMENT_VARIABLE = "TRUFOR_CACHE"
DEFAULT_FOLDER = Path(".cache/references")
DEFAULT_LIMIT = "8GiB"


@dataclass
class Tally:
    """Where a run's references came from.

    Attributes:
        from_cache: taken from the cache.
        from_bundle: taken from a bundle.
        computed: computed by this run.
        corrupt: found in the cache, refused, computed again.
    """

    from_cache: int = 0
    from_bundle: int = 0
    computed: int = 0
    corrupt: int = 0

    def document(self) -> dict[str, int]:
        """As the report has it."""
        return asdict(self)

    def add(self, other: Tally) -> None:
        """Count another's references here too."""
        for name, count in other.document().items():
            setattr(self, name, getattr(self, name) + count)


class ReferenceCache:
    """Entries on disk, the least recently used of which go when they are too many.

    Args:
        folder: where they are; made when the first one is written.
        limit: bytes.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._used: int | None = None  # bytes, counted at the first write
        self._writes = True

    def find(self, key: Key, tally: Tally) -> StoredEntry | None:
        """The entry of a key, or None where it must be computed."""
        path = self._path(key)
        try:
            with Container(path) as container:
                (item,) = container.items
                if item.key != key:
                    raise ContainerError(f"{path}: the entry of another key", hint="")
                arrays = container.read(item)
        except NoContainerError:  # never made, or another process evicted it just now
            return None
        except (ContainerError, ValueError) as error:
            tally.corrupt += 1
            logger.warning(
                "%s is not used and computed again (%s)", path, str(error).split("\n")[0]
            )
            return None
        with suppress(OSError):  # a folder that may only be read, or the entry is gone by now
            os.utime(path)
        return StoredEntry(item.key, item.document, arrays)

    def add(
        self,
        key: Key,
        *,
        document: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Array] | None = None,
    ) -> None:
        """Keep an entry. Where that cannot be, the run goes on without, which is said once."""
        entry = StoredEntry(key, document or {}, arrays or {})
        size = sum(array.nbytes for array in entry.arrays.values())
        if not self._writes or size > self.limit:
            return
        try:
            size = self._write(self._path(key), entry)
            self._used = self._count() if self._used is None else self._used + size
            if self._used > self.limit:
                self._evict()
        except OSError as error:
            self._writes = False
            logger.warning(
                "references are not kept from here on: %s cannot be written (%s)",
                self.folder,
                error.strerror or error,
            )

    def _path(self, key: Key) -> Path:
        digest = key_digest(key)
        return self.folder / digest[:2] / f"{digest}{SUFFIX}"

    def _write(self, path: Path, entry: StoredEntry) -> int:
        """Atomic, but not synced: an entry that a power cut tears is found out by its digest."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.stem}.{secrets.token_hex(8)}{PART}")
        try:
            with part.open("xb") as stream:
                write_container(stream, [entry])
            size = part.stat().st_size
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return size

    def _files(self) -> list[tuple[float, int, Path]]:
        """Last use, size and path of every file; other processes may remove some meanwhile."""
        found = []
        for path in self.folder.glob(f"[0-9a-f][0-9a-f]/*{SUFFIX}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found

    def _count(self) -> int:
        for path in self.folder.glob(f"[0-9a-f][0-9a-f]/*{PART}"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()
        return sum(size for _, size, _ in self._files())

    def _evict(self) -> None:
        """Remove the entries that were used longest ago, down to a share of the limit."""
        files = sorted(self._files())
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used <= KEEP * self.limit:
                break
            path.unlink(missing_ok=True)
            used -= size
        self._used = used


def add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """``--cache``, ``--no-cache`` and ``--cache-limit``."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep PyTorch's outputs here, and take those that are there "
        f"(default: ${ENVIRONMENT_VARIABLE}, then {DEFAULT_FOLDER})",
    )
    where.add_argument("--no-cache", action="store_true", help="compute every reference anew")
    parser.add_argument(
        "--cache-limit",
        default=DEFAULT_LIMIT,
        metavar="SIZE",
        help="above it the entries used longest ago go (default: %(default)s)",
    )


def cache_of(args: argparse.Namespace) -> ReferenceCache | None:
    """The cache that the options choose, or None for none.

    Raises:
        ChunkingError: the limit is no size.
    """
    if args.no_cache:
        return None
    return open_cache(args.cache, args.cache_limit)


def open_cache(folder: Path | None = None, limit: str = DEFAULT_LIMIT) -> ReferenceCache:
    """The cache in a folder; in `ENVIRONMENT_VARIABLE`'s or `DEFAULT_FOLDER` where None.

    Raises:
        ChunkingError: the limit is no size.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE, "")
    folder = folder or (Path(named) if named else DEFAULT_FOLDER)
    return ReferenceCache(folder, limit=parse_size(limit))
