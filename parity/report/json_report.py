"""``parity.json``: the one result that every other view is made of."""

from __future__ import annotations

import json

from parity.results import Report


def json_text(report: Report) -> str:
    """The document: sorted keys, ASCII, no NaN."""
    return json.dumps(report.document(), indent=1, sort_keys=True, allow_nan=False) + "\n"
