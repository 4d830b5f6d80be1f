"""The runtime as a backend: from the file on disk to the answers, as users run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.parity.inputs.cases import ImageFile, LoadedCase, Pixels
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.onnxruntime_runner import BACKEND
from trufor_onnx.parity.runners.placement import Placement
from trufor_onnx.providers import Provider

if TYPE_CHECKING:
    from trufor_onnx.runtime.detector import Analysis

SCALE = 256  # the contract of the detector's input; it takes no other


class DetectorRunner:
    """`runtime.Detector`, one image after the other.

    Args:
        folder: where the exported files are.
        variant: which of them.
        provider: where they are to run.
        sha256: digests of the files whose identity was checked; no others may run.
        threads: threads of an operator; 0 leaves ONNX Runtime's own choice.

    Attributes:
        asked: the provider as it was asked for.
        placement: None: the detector's sessions are not profiled.

    Raises:
        ProviderError: the provider did not load.
        ParityError: a file cannot be loaded, or is not one of those that were checked.
    """

    def __init__(
        self,
        folder: Path,
        variant: str,
        provider: Provider,
        *,
        sha256: Sequence[str],
        threads: int = 0,
    ) -> None:
        import trufor_onnx.runtime as runtime

        self.backend = BACKEND
        self.provider = provider.name
        self.asked = provider
        self.placement: Placement | None = None
        try:
            self._detector = runtime.Detector(
                folder, providers=(provider.name,), variant=variant, threads=threads
            )
        except runtime.ProviderError as error:
            raise ProviderRunError(error.problem, hint=error.hint) from error
        except runtime.AnalysisError as error:
            raise ParityError(error.problem, hint=error.hint) from error
        ran = [model.sha256 for model in self._detector.provenance.models]
        if ran != list(sha256):
            self._detector.close()
            raise ParityError(
                f"{folder}: the runtime took other files than those that were checked",
                hint="begin the run anew: the folder changed meanwhile",
            )

    def run(self, feeds: Feeds) -> Outputs:
        """All outputs for the trial's pixels, which its input holds exactly."""
        pixels = np.rint(feeds["image"] * SCALE).astype(np.uint8)
        return self._analysed(list(pixels.transpose(0, 2, 3, 1)))

    def run_case(self, loaded: LoadedCase, feeds: Feeds) -> Outputs:  # noqa: ARG002 - it reads it
        """All outputs for an image's file, or for the crops of a shape case.

        Raises:
            ParityError: the runtime refuses the image, or reads another file than the reference.
        """
        case, picture = loaded.case, loaded.case.pictures[0]
        if case.size is None and len(case.pictures) == 1 and isinstance(picture, ImageFile):
            return self._analysed([picture.path], sha256=loaded.sha256)
        return self._analysed(list(loaded.pixels))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._detector.close()

    def _analysed(self, images: Sequence[Path | Pixels], *, sha256: str = "") -> Outputs:
        import trufor_onnx.runtime as runtime

        found: list[Analysis] = []
        for image in images:
            try:
                found.append(self._detector.analyze(image, noiseprint=True))
            except runtime.AnalysisError as error:
                raise ParityError(f"the runtime: {error.problem}", hint=error.hint) from error
        if sha256 and found[0].image.sha256 != sha256:
            raise ParityError(
                f"{found[0].image.name} changed while it was read", hint="begin the run anew"
            )
        return {
            "map": np.stack([analysis.map for analysis in found]),
            "conf": np.stack([analysis.conf for analysis in found]),
            "score": np.array([analysis.score for analysis in found], dtype=np.float32),
            "noiseprint": np.stack([_map(analysis) for analysis in found])[:, np.newaxis],
        }


def _map(analysis: Analysis) -> npt.NDArray[Any]:
    assert analysis.noiseprint is not None  # it was asked for
    return analysis.noiseprint
