"""The export package's errors: an export that could not be made or could not be proven."""

from __future__ import annotations

from chunking.errors import UserError


class ExportError(UserError):
    """The export could not be made."""


class CoverageError(ExportError):
    """The checkpoint does not set every tensor of the network exactly once."""


class LockError(ExportError):
    """A lock file cannot be read as one; exporting again writes it anew."""


class PreprocessError(ExportError):
    """An image could not be read as the networks need it."""
