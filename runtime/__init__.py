"""Run the exported files without torch: an image in; map, reliability and score out."""

from trufor_onnx.errors import (
    AnalysisError,
    ImageError,
    ModelError,
    OutOfMemoryError,
    OutputError,
    ProviderError,
)
from trufor_onnx.runtime.detector import Analysis, Detector
from trufor_onnx.runtime.images import ImageInfo, Picture, load_picture
from trufor_onnx.runtime.model_files import ModelInfo, Provenance

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
