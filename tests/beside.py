"""Pictures, weights and reference outputs that are not ours to ship: beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRUFOR_TEST_DATA") or ROOT.parent / "shared")


def need(part: str) -> Path:
    """The folder that they are in; without this part of it the test is skipped."""
    if not (DATA / part).exists():
        pytest.skip(f"no {part} in {DATA.name}/ (set TRUFOR_TEST_DATA)")
    return DATA
