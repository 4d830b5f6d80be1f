"""``parity locate`` as one call: reference, candidate, walk, answer; also for a whole report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError, UserError
from trufor_onnx.export.build import file_stem
from trufor_onnx.export.networks.registry import NOISEPRINT_PP, find
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile, Location
from trufor_onnx.parity.inputs.cases import Case, Pixels, make_feeds
from trufor_onnx.parity.inputs.feeds import find_feeds, given_feeds
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.locate.candidate import (
    Output,
    in_its_pieces,
    load,
    outputs_of,
    require_same,
)
from trufor_onnx.parity.locate.entering import enter, size_of
from trufor_onnx.parity.locate.judge import error_of
from trufor_onnx.parity.locate.origins import find_origins
from trufor_onnx.parity.locate.results import Located, Store, shares
from trufor_onnx.parity.locate.tape import Tape, record
from trufor_onnx.parity.locate.walks import Walks
from trufor_onnx.parity.references.identity import CANDIDATE, candidates_of
from trufor_onnx.parity.references.subject import Subject, make_subject
from trufor_onnx.parity.results.environment import environment
from trufor_onnx.parity.results.rows import REFUTED, RUNTIME
from trufor_onnx.parity.results.tolerances import plain_variant
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.torch_runner import TorchRunner

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
HALF = "float16"
DEFAULT_SIZE = (96, 128)  # not square: rows and columns cannot be taken for each other


@dataclass(frozen=True)
class Question:
    """What the user asked.

    Attributes:
        model: the network.
        source: the choice of weights.
        candidate: the ONNX file, or None for the exported one.
        variant: which exported one ("" for the portable).
        image: an image, or a data set of which the first image is taken.
        size: height and width of the crop from its middle, or None for a small one.
        folder: where exported files are.
        feeds: inputs that are no pictures, in place of the image; the first of them is taken.
    """

    model: str
    source: WeightsSource
    candidate: Path | None = None
    variant: str = ""
    image: Path = Path("sample_dataset")
    size: tuple[int, int] | None = None
    folder: Path = Path("onnx_models")
    feeds: str = ""


class LocateListener:
    """Told how it goes on; this one says nothing."""

    def say(self, text: str) -> None:
        """Something that takes a while is being done."""

    def node(self, index: int, count: int) -> None:
        """A node of the candidate is next."""


def locate(question: Question, listener: LocateListener | None = None) -> Located:
    """Find the first module that creates error.

    Args:
        question: what the user asked.
        listener: told how it goes on.

    Raises:
        ParityError: the two cannot be compared: no file, no image, another network's file, other
            weights, or a size that the network does not take.
        ExportError: the weights do not cover the network, or the file is no whole ONNX file.
    """
    listener = listener or LocateListener()
    subject = _subject(question, listener.say)
    if subject.spec.inputs[0].dtype == HALF:
        raise ParityError(
            f"{subject.spec.name}: a network in half precision cannot be looked into: each of its "
            "parts rounds more than a float32 does",
            hint="look into a file of the same network in float32",
        )
    opened = load(subject.path)
    if question.feeds:
        case: Case = find_feeds(question.feeds, most=1)[0]
        feeds = given_feeds(subject.spec, case.load().given or {}, subject.preprocessing)
    else:
        picture = find_images(question.image, most=1)[0]
        size = question.size or size_of(opened) or _default_size(subject.spec)
        case = Case(picture.name, (picture,), size)
        noiseprint = None if subject.noiseprint is None else _noiseprint(subject.noiseprint)
        pixels = case.load().pixels
        feeds = make_feeds(subject.spec, pixels, subject.preprocessing, noiseprint)
    entries, whole = enter(subject.path, opened, feeds, subject.spec, subject.preprocessing)
    listener.say("reference in float64")
    with Store() as store:
        tape = _reference(subject, opened.proto, feeds, store)
        outputs = outputs_of(opened.proto, subject.spec, tape)
        origins = find_origins(subject.path, opened, subject.weights, tape)
        listener.say("layer by layer")
        errors = _errors(whole, opened.proto, outputs, tape)
        walks = Walks(opened, origins, subject, tape, outputs, entries, listener.node)
        parts, notes = walks.run(max(errors.values()))
        found = shares([part.created for part in parts])
    return Located(
        model=subject.spec.name,
        file=subject.identity.file,
        proof=subject.identity.proof,
        weights=subject.weights.label,
        image=case.name,
        shapes={name: array.shape for name, array in feeds.items()},
        origins=origins.counts(),
        parts=tuple(replace(p, share=s) for p, s in zip(parts, found, strict=True)),
        outputs=errors,
        quantised=opened.quantised,
        notes=tuple(notes),
        environment=environment(threads=1, settings={}),
    )


def _subject(question: Question, say: Callable[[str], None]) -> Subject:
    candidate = question.candidate
    if question.variant and candidate is None:
        stem = file_stem(find(question.model))
        candidate = question.folder / f"{stem}.{question.variant}.onnx"
        if not candidate.is_file():
            raise ParityError(
                f"no file {candidate}",
                hint=f"export it: python -m export {question.model} --variant {question.variant}",
            )
    candidates = {} if candidate is None else {question.model: candidate}
    subject = make_subject(
        question.model,
        question.source,
        candidates=candidates,
        folder=question.folder,
        say=say,
    )
    origin = subject.identity.origin
    others = origin is not None and origin["digest"] != subject.weights.digest
    if subject.identity.proof == REFUTED and others:
        raise ParityError(
            f"{subject.path}: {subject.identity.reason}",
            hint="name the file's own weights with --weights or --stand-in",
        )
    return subject


def _default_size(spec: ModelSpec) -> tuple[int, int]:
    if spec.fixed_size:
        return spec.fixed_size
    height, width = DEFAULT_SIZE
    more = max(0, -(-(spec.least_size - height) // 32) * 32)
    return height + more, width + more


def _noiseprint(weights: Weights) -> Callable[[Pixels], Array]:
    """The second input, in float64, from the same pixels."""

    def compute(pixels: Pixels) -> Array:
        feeds = make_feeds(NOISEPRINT_PP, pixels, NOISEPRINT_PP.preprocessing)
        with TorchRunner(NOISEPRINT_PP, weights, precision=64) as runner:
            return runner.run(feeds)[NOISEPRINT_PP.outputs[0].name]

    return compute


def _reference(subject: Subject, proto: onnx.ModelProto, feeds: Feeds, store: Store) -> Tape:
    import torch

    spec = subject.spec
    written: torch.nn.Module = spec.build()
    module = in_its_pieces(proto, spec, written)
    module.load_state_dict(dict(subject.weights.tensors), strict=True)
    module = module.to(torch.float64).eval()
    inputs = {tensor.name: feeds[tensor.name] for tensor in spec.inputs}
    tape = record(spec, module, inputs, store)
    if module is not written:
        with TorchRunner(spec, subject.weights, precision=64) as runner:
            require_same(tape, runner.run(feeds), spec.name)
    return tape


def _errors(
    found: Outputs, proto: onnx.ModelProto, outputs: Sequence[Output], tape: Tape
) -> dict[str, float]:
    """Each output's relative L2 error in one run of the file as it is."""
    errors = {}
    for output, wanted in zip(proto.graph.output, outputs, strict=True):
        array, reference = np.asarray(found[output.name]), tape.array(wanted.value)
        if array.size == reference.size:
            errors[output.name] = error_of(array.reshape(-1), reference.reshape(-1)).rel_l2
        else:
            errors[output.name] = float(np.inf)
    return errors


def located(
    evidence: Evidence, source: WeightsSource, image: Path, candidates: Sequence[str] = ()
) -> tuple[Location, ...]:
    """What `parity locate` finds in each file of the report's networks.

    Args:
        evidence: the report and its files.
        source: the choice of weights.
        image: an image, or a data set of which the first image is taken.
        candidates: ``MODEL=FILE``, where a candidate of the report is.

    Raises:
        ParityError: a candidate is not named as ``MODEL=FILE``.
    """
    files = candidates_of(candidates)
    unknown = sorted(files.keys() - {subject.model for subject in evidence.subjects})
    if unknown:
        raise ParityError(
            f"--candidate {unknown[0]}=...: the report has no such network",
            hint=f"it has {', '.join(dict.fromkeys(s.model for s in evidence.subjects))}",
        )
    return tuple(_locations(evidence, source, image, files))


def _named(subject: JudgedFile, files: Sequence[Path]) -> Path | None:
    """The file that the report judged as this candidate, of those that the user names."""
    if plain_variant(subject.variant) != CANDIDATE:
        return None
    fitting = [path for path in files if path.is_file() and sha256_file(path) == subject.sha256]
    return next(iter([*fitting, *files]), None)


def _locations(
    evidence: Evidence,
    source: WeightsSource,
    image: Path,
    files: Mapping[str, Sequence[Path]],
) -> Iterator[Location]:
    for subject in evidence.subjects:
        if subject.model == RUNTIME:
            continue  # its files are those of networks; see `locate_rule`
        path = _named(subject, files.get(subject.model, ())) or subject.path
        if path is None or not path.is_file():
            why = f"no file {path or ''}; --candidate {subject.model}=FILE, or merge"
            yield Location(subject.model, subject.variant, "", "", "", why)
            continue
        try:
            found = locate(Question(subject.model, source, path, image=image))
            first = found.faults[0].name if found.faults else ""
            sha256 = sha256_file(path)
            yield Location(subject.model, subject.variant, sha256, found.sentence(), first)
        except UserError as error:
            why = f"{error.problem}; {error.hint}"
            yield Location(subject.model, subject.variant, "", "", "", why)
