"""Where weights are looked for: ``--weights``, ``$TRUFOR_WEIGHTS``, ``weights/``, or nowhere."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.checkpoints import (
    INDEX_SUFFIX,
    Checkpoint,
    CheckpointPlace,
    load_checkpoint,
)
from trufor_onnx.export.weights.standin import DEFAULT_SEED
from trufor_onnx.export.weights.tensors import Weights, checkpoint_weights, stand_in_weights

if TYPE_CHECKING:
    import torch

ENVIRONMENT_VARIABLE = "TRUFOR_WEIGHTS"
DEFAULT_FOLDER = Path("weights")

logger = logging.getLogger(__name__)


@dataclass
class WeightsSource:
    """The user's choice of weights; one load serves all models of a command.

    Attributes:
        path: a file or a folder (``--weights``), or None.
        stand_in: a seed (``--stand-in``), or None. With a path: for what the file lacks.
    """

    path: Path | None = None
    stand_in: str | None = None
    _loaded: dict[CheckpointPlace, Checkpoint] = field(default_factory=dict, repr=False)

    @property
    def named_stand_in(self) -> bool:
        """Whether somebody asked for stand-in weights; else they are what was left."""
        return self.stand_in is not None

    def weights_for(self, spec: ModelSpec, module: torch.nn.Module) -> Weights:
        """The network's weights by the user's choice.

        Without a choice: the first file that suits in ``$TRUFOR_WEIGHTS``, then in ``weights/``;
        where there is none, stand-in weights with seed ``golden``, which every report says.

        Raises:
            ExportError: the chosen file is missing, unreadable, or does not cover the network.
        """
        file, seed = self.choice_for(spec)
        hint = "a network whose tensors are plain ones on the CPU: float32, dense"
        with foreign(f"{spec.name}: its weights", hint=hint):
            if file is None:
                return stand_in_weights(spec, module, seed)
            return checkpoint_weights(spec, module, self._load(file), fill_seed=seed)

    def choice_for(self, spec: ModelSpec) -> tuple[CheckpointPlace | None, str]:
        """The file and the seed that `weights_for` takes; nothing is read.

        The seed is that of stand-in weights where there is no file; with one, that of the tensors
        that the file lacks ("" where it must have all).

        Raises:
            ExportError: the chosen file is missing.
        """
        if self.stand_in is not None and not _is_text(self.stand_in):
            raise ExportError("--stand-in needs a seed", hint="any text, such as golden")
        if self.path is None and self.stand_in is not None:
            return None, self.stand_in
        file = self._file_for(spec)
        if file is None:
            logger.info("%s: no checkpoint found, stand-in weights are used", spec.name)
            return None, DEFAULT_SEED
        return file, self.stand_in or ""

    def _file_for(self, spec: ModelSpec) -> CheckpointPlace | None:
        if self.path is not None:
            return _in_place(self.path, spec, chosen_by="--weights")
        variable = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if variable:
            place = Path(variable)
            if not place.is_dir():
                return _in_place(place, spec, chosen_by=f"${ENVIRONMENT_VARIABLE}")
            if (found := _first_in(place, spec)) is not None:
                return found  # else: a folder of everything, and this network is not in it
        return _first_in(DEFAULT_FOLDER, spec)

    def _load(self, file: CheckpointPlace) -> Checkpoint:
        key = CheckpointPlace(file.path.resolve(), file.inside)
        if key not in self._loaded:
            self._loaded[key] = load_checkpoint(file.path, file.inside)
        return self._loaded[key]


def _is_text(seed: str) -> bool:
    """Not empty, and it can be written as UTF-8 (an argument in another encoding cannot)."""
    return bool(seed) and seed == seed.encode(errors="replace").decode()


def _first_in(folder: Path, spec: ModelSpec) -> CheckpointPlace | None:
    there = (folder / name for name in spec.files if (folder / name).is_file())
    return next(map(CheckpointPlace, there), None)


def _in_place(place: Path, spec: ModelSpec, *, chosen_by: str) -> CheckpointPlace:
    """The file that the user chose, or the one in the folder that the user chose."""
    if place.is_file():
        return CheckpointPlace(place)
    before, _, inside = str(place).rpartition(":")
    if inside and before and Path(before).is_file():
        return CheckpointPlace(Path(before), inside)
    if not place.exists():
        raise ExportError(
            f"{chosen_by} {place}: there is no such file or folder",
            hint="download with `make weights`, or choose stand-in weights by name: "
            f"--stand-in {DEFAULT_SEED}",
        )
    found = _first_in(place, spec)
    indices = sorted(place.glob(f"*{INDEX_SUFFIX}"))
    if found is None and len(indices) == 1:
        return CheckpointPlace(indices[0])
    if found is None:
        names = ", ".join(spec.files) or "a file named directly"
        raise ExportError(
            f"{chosen_by} {place}: no weights for {spec.name} in this folder",
            hint=f"it loads from {names}; or choose stand-in weights: --stand-in {DEFAULT_SEED}",
        )
    return found
