"""Run the exported files without torch: an image in; map, reliability and score out."""

from runtime.detector import Detector
from runtime.errors import (
    AnalysisError,
    ImageError,
    ModelError,
    OutOfMemoryError,
    OutputError,
    ProviderError,
)
from runtime.images import Picture, load_picture
from runtime.provenance import ModelInfo, Provenance
from runtime.results import Analysis, ImageInfo

__all__ = [
    "Analysis",
    "AnalysisError",
    "Detector",
    "ImageError",
    "ImageInfo",
    "ModelError",
    "ModelInfo",
    "OutOfMemoryError",
    "OutputError",
    "Picture",
    "Provenance",
    "ProviderError",
    "load_picture",
]
