"""``python -m tests.wrong_answers [NUMBER ...]``: run the set-ups, print how each ended."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.wrong_answers.setups import load
from tests.wrong_answers.workshop import Workshop


def main(wanted: list[str]) -> int:
    """The exit code: 0 where every set-up ends as it must."""
    console = Console(width=150)
    table = Table("#", "set-up", "wanted end", "ended", "as wanted")
    bad = 0
    for number, row in load().items():
        if wanted and number not in wanted and number.rstrip("abcdefgh") not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                ended, fine = row.act(Workshop(Path(folder))), True
            except AssertionError as error:
                ended, fine = (str(error).strip() or "an assertion").splitlines()[-1][:200], False
        bad += not fine
        Console(stderr=True, highlight=False).print(
            f"{number}: {'as wanted' if fine else 'NOT as wanted'}: {ended}", markup=False
        )
        table.add_row(number, row.what, row.wanted, ended, "yes" if fine else "NO")
    console.print(table)
    console.print(f"{len(table.rows) - bad} of {len(table.rows)} end as wanted")
    return 1 if bad or not table.rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
