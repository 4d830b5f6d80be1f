"""The comparison could not be made. A comparison that failed is a row with status ``fail``."""

from __future__ import annotations

from chunking.errors import UserError


class ParityError(UserError):
    """The comparison could not be made (exit 2)."""


class ProviderError(ParityError):
    """An execution provider that was asked for did not run."""
