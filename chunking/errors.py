"""The errors that a user can mend. Every package's own error derives from ``UserError``."""

from __future__ import annotations


class UserError(Exception):
    """Something a user can mend: what was wrong, where, and what to do about it.

    Command lines print it without a traceback and exit with ``exit_code``.
    """

    exit_code = 2

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(f"{problem}\n  hint: {hint}" if hint else problem)
