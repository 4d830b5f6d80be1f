"""Which exported file is a network's, of those in a folder: whole or in pieces, by variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chunking.folders import FOLDER_SUFFIX, LOCK_SUFFIX, MODEL_SUFFIX
from runtime.errors import ModelError
from runtime.model_cache import merged_model

NOISEPRINT, HEAD = "noiseprint_pp", "trufor_head"
AUTO, PORTABLE, FUSED = "auto", "portable", "ort"


@dataclass(frozen=True)
class ModelFile:
    """A network's file.

    Attributes:
        network: ``noiseprint_pp`` or ``trufor_head``.
        variant: ``portable``, ``ort``, ...
        path: the file, or the folder of pieces.
    """

    network: str
    variant: str
    path: Path

    @property
    def in_pieces(self) -> bool:
        """Whether it has to be merged first."""
        return self.path.suffix == FOLDER_SUFFIX

    def whole(self) -> Path:
        """The ONNX file; pieces are merged into the cache.

        Raises:
            ModelError: the pieces are damaged.
        """
        return merged_model(self.path) if self.in_pieces else self.path

    def lock(self) -> Path | None:
        """The lock beside the file or the folder of pieces, or None where there is none."""
        name = _stem(self.network, self.variant) + LOCK_SUFFIX
        path = self.path.with_name(name)
        return path if path.is_file() else None


def find_model(folder: Path, network: str, variant: str = AUTO) -> list[ModelFile]:
    """The files of a network, the one to try first in front.

    Args:
        folder: where exported files, or folders of pieces, are.
        network: its name.
        variant: ``auto`` for the variant with ONNX Runtime's own operators and the portable one
            after it; or the one variant that will do.

    Raises:
        ModelError: there is none.
    """
    if not folder.is_dir():
        raise ModelError(
            f"no folder of models at {folder}", hint="make it: python -m export trufor_head"
        )
    variants = (FUSED, PORTABLE) if variant == AUTO else (variant,)
    found = []
    for name in variants:
        for suffix in (MODEL_SUFFIX, FOLDER_SUFFIX):
            path = folder / (_stem(network, name) + suffix)
            if path.is_dir() if suffix == FOLDER_SUFFIX else path.is_file():
                found.append(ModelFile(network, name, path))
                break
    if not found:
        which = network if variant == AUTO else f"{network} of variant {variant}"
        raise ModelError(
            f"{folder} holds no {which}, neither as *.onnx nor in pieces (*.chunks)",
            hint=f"export it: python -m export {NOISEPRINT} {HEAD}",
        )
    return found


def _stem(network: str, variant: str) -> str:
    return network if variant == PORTABLE else f"{network}.{variant}"
