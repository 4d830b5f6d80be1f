"""The options that choose a cache of references, the same in every command that computes some."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from chunking.sizes import parse_size
from parity.references.store import ReferenceCache

ENVIRONMENT_VARIABLE = "TRUFOR_CACHE"
DEFAULT_FOLDER = Path(".cache/references")
DEFAULT_LIMIT = "8GiB"


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
    named = os.environ.get(ENVIRONMENT_VARIABLE, "")
    folder = args.cache or (Path(named) if named else DEFAULT_FOLDER)
    return ReferenceCache(folder, limit=parse_size(args.cache_limit))
