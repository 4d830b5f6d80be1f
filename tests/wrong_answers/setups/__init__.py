"""The set-ups, a file an area."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.wrong_answers.workshop import SET_UPS, SetUp


def load() -> dict[str, SetUp]:
    """All of them, in the order of their numbers."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        importlib.import_module(f"{__name__}.{path.stem}")
    return dict(
        sorted(SET_UPS.items(), key=lambda item: (int(item[0].rstrip("abcdefgh")), item[0]))
    )
