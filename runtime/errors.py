"""What a user of the runtime can mend. All derive from ``chunking.errors.UserError``."""

from __future__ import annotations

from chunking.errors import UserError


class AnalysisError(UserError):
    """An image could not be analysed."""


class ImageError(AnalysisError):
    """The image is the cause: unreadable, damaged, too small or too large."""


class ModelError(AnalysisError):
    """The exported files are the cause: missing, damaged, not what they claim to be."""


class ProviderError(AnalysisError):
    """ONNX Runtime, or the execution provider that was asked for, is not there."""


class OutOfMemoryError(AnalysisError):
    """The image needs more memory than there is; said before it is tried."""


class OutputError(AnalysisError):
    """Results cannot be written where they were asked for."""
