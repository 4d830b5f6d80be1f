"""What is judged: a network, its weights, the file that claims to be it, and how images enter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.build import export_model, file_stem
from export.errors import ExportError
from export.registry import find
from export.sources import WeightsSource
from export.spec import ModelSpec, Preprocessing
from export.standin import DEFAULT_SEED
from export.trufor_specs import NOISEPRINT_PP
from export.weights import Weights
from parity.errors import ParityError
from parity.identity import Identity, identify

Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """One network to judge.

    Attributes:
        spec: the network.
        weights: the reference's.
        path: the ONNX file.
        identity: what is known of the file's weights.
        preprocessing: how images become the first input.
        noiseprint: the weights of the Noiseprint++ that makes the second input, or None.
    """

    spec: ModelSpec
    weights: Weights
    path: Path
    identity: Identity
    preprocessing: Preprocessing
    noiseprint: Weights | None

    def document(self) -> dict[str, Any]:
        """Provenance for the report."""
        given = {
            "network_version": self.spec.version,
            "weights": self.weights.document(),
            "preprocessing": self.preprocessing.document(),
            **self.identity.document(),
        }
        if self.noiseprint is not None:
            given["second_input"] = {
                "made_by": f"{NOISEPRINT_PP.title}, in float64",
                "weights": self.noiseprint.document(),
            }
        return given


def make_subject(
    name: str,
    source: WeightsSource,
    *,
    candidates: Mapping[str, Path],
    folder: Path,
    pixel_scale: float | None = None,
    say: Say = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Subject:
    """Find a network's weights and the file to judge, and check that they belong together.

    A file that is not in ``folder`` yet is exported there; one that is there is judged as it is.

    Args:
        name: the network.
        source: the user's choice of weights.
        candidates: files that the user named, by network.
        folder: where exported files are.
        pixel_scale: what 8-bit values are divided by, where it is not the network's own.
        say: told what is being done.

    Raises:
        ParityError: a named file is not there.
        ExportError: the weights do not cover the network.
    """
    spec = find(name)
    say("loading weights")
    weights = source.weights_for(spec, spec.build())
    path = candidates.get(name)
    if path is None:
        path = folder / f"{file_stem(spec)}.onnx"
        if not path.is_file():
            say(f"{path} is not there: exporting it")
            export_model(spec, source, folder)
    elif not path.is_file():
        raise ParityError(f"no file {path}", hint=f"--candidate {name}=FILE.onnx names a file")
    say("checking digests")
    preprocessing = spec.preprocessing
    if pixel_scale is not None:
        if not (pixel_scale > 0.0 and math.isfinite(pixel_scale)):
            raise ParityError("--pixel-scale must be positive", hint="255 or 256")
        preprocessing = replace(preprocessing, scale=pixel_scale)
    needs_noiseprint = spec.second_input == "noiseprint"
    return Subject(
        spec,
        weights,
        path,
        identify(path, spec, weights),
        preprocessing,
        _noiseprint(source) if needs_noiseprint else None,
    )


def _noiseprint(source: WeightsSource) -> Weights:
    """Noiseprint++ weights from the same source, or stand-in ones where it has none.

    These make an input, the same for reference and candidate; the report says which they are.
    """
    module = NOISEPRINT_PP.build()
    try:
        return source.weights_for(NOISEPRINT_PP, module)
    except ExportError:
        seed = source.stand_in or DEFAULT_SEED
        return WeightsSource(stand_in=seed).weights_for(NOISEPRINT_PP, module)
