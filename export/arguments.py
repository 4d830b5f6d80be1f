"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.sources import ENVIRONMENT_VARIABLE


def add_weights_arguments(parser: argparse.ArgumentParser) -> None:
    """The two options that choose weights, the same in every command."""
    parser.add_argument(
        "--weights",
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help=f"checkpoint file, or folder of them (default: ${ENVIRONMENT_VARIABLE}, then "
        "weights/, then stand-in weights, which every report says)",
    )
    parser.add_argument(
        "--stand-in",
        metavar="SEED",
        help="deterministic stand-in weights from any text; with --weights: only for tensors "
        "that the checkpoint lacks",
    )
