"""A walk, a second one where the first contradicts the outputs, and what is found in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from trufor_onnx.errors import ParityError
from trufor_onnx.export.variants import FP16
from trufor_onnx.parity.locate.candidate import Opened, Output, variant_of
from trufor_onnx.parity.locate.causes import as_if, of_input, of_output, weights_that_differ
from trufor_onnx.parity.locate.entering import Entry
from trufor_onnx.parity.locate.forcing import Held, Walk
from trufor_onnx.parity.locate.judge import Judge
from trufor_onnx.parity.locate.matching import KINDS, Matcher
from trufor_onnx.parity.locate.origins import Origins
from trufor_onnx.parity.locate.results import FACTOR, INPUT, OUTPUT, LocatedPart
from trufor_onnx.parity.locate.tape import Tape
from trufor_onnx.parity.references.subject import Subject

Array = npt.NDArray[Any]
# Where the outputs agree to the first, a part that is off by the second, tied by its weights
# alone, is no value of the network: an exporter has moved a factor from one layer to the next.
OUTPUTS_AGREE = 1e-4
MUST_SHOW = 1e-2
MOST_WALKS = 3
# A part of which nothing is computed: an input of another type, a weight that no part reads.
NOTHING = LocatedPart(-1, (), (), (), "", "", (), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Walks:
    """Finds the parts of one candidate.

    Args:
        opened: the candidate.
        origins: which of the network's tensors its initializers were made of.
        subject: the network and its contract.
        tape: the recorded reference.
        outputs: what the candidate's outputs should be.
        entries: what its inputs are fed, by the file's names.
        progress: told which node of how many is next.
    """

    def __init__(
        self,
        opened: Opened,
        origins: Origins,
        subject: Subject,
        tape: Tape,
        outputs: Sequence[Output],
        entries: Mapping[str, Entry],
        progress: Callable[[int, int], None],
    ) -> None:
        self._opened, self._origins, self._subject = opened, origins, subject
        self._tape, self._outputs, self._entries = tape, outputs, entries
        self._progress = progress
        state = {n: t.detach().cpu().numpy() for n, t in subject.weights.tensors.items()}
        self._differs = weights_that_differ(opened, origins, state)

    def run(self, off: float) -> tuple[list[LocatedPart], list[str]]:
        """All parts, in network order, and notes for people.

        Args:
            off: the largest relative L2 error of an output in one run of the file.

        Raises:
            ParityError: a node does not run alone, and no fault was found before it.
        """
        parts, stopped = self._walk(())
        untied: set[str] = set()
        for _ in range(MOST_WALKS):
            doubtful = {part.value for part in parts if off <= OUTPUTS_AGREE and _doubtful(part)}
            if not doubtful - untied:
                break
            untied |= doubtful
            again, stopped_again = self._walk(untied)
            if len(_faults(again)) >= len(_faults(parts)):
                break
            parts, stopped = again, stopped_again
        parts = [*self._entered(parts), *self._left(parts)]
        if not parts or (stopped and not _faults(parts)):
            good = f"; {len(parts)} parts before it are within rounding" if parts else ""
            raise ParityError(
                f"{self._subject.path.name}: cannot be told apart inside: "
                f"{stopped or 'nothing in it can be tied to the network'}{good}",
                hint="`python -m parity run` compares the outputs; another --size may run",
            )
        notes = [f"what follows was not looked at: {stopped}"] if stopped else []
        notes += [
            f"the file calls the input {entry.own} {name}"
            for name, entry in self._entries.items()
            if entry.called
        ]
        wide = [p for p in parts if len(p.modules) > 1 and p.creates and not p.place]
        notes += [f"cannot be told apart inside: {p.modules[0]} .. {p.modules[-1]}" for p in wide]
        return parts, notes

    def _walk(self, untied: Sequence[str] | set[str]) -> tuple[list[LocatedPart], str]:
        self._judge = Judge(self._tape)
        walk = Walk(
            self._opened,
            Matcher(self._tape, self._origins),
            self._judge,
            self._progress,
            explain=self._explain,
            differs=self._differs,
            half=variant_of(self._opened.proto) == FP16.name,
            untied=frozenset(untied),
        )
        given = {name: (self._tape.inputs[e.own], e) for name, e in self._entries.items()}
        return walk.run(given, self._outputs), walk.stopped

    def _explain(
        self, part: LocatedPart, one: Held, value: int, wanted: Output | None
    ) -> LocatedPart:
        """The place of a part that creates error, and what was done there."""
        tape, contract = self._tape, self._subject.preprocessing
        inputs = dict.fromkeys(tape.inputs.values())
        if part.place == INPUT:
            return replace(part, cause=of_input(one.given, tape.array(value), contract))
        layers = [name for name in part.operators if name in KINDS] or one.params
        if wanted is not None and not layers:
            own = tape.array(value)
            names = [o.name for o in self._outputs if o.value in one.since and o.value != value]
            cause = f"it is the network's output {names[0]}" if names else ""
            if not cause and own.size == one.given.size:
                cause = of_output(one.given, self._judge.arranged(own, value, one.given))
            return replace(part, place=OUTPUT, cause=cause)
        first = tape.inputs.get(self._subject.spec.inputs[0].name)
        if first is not None and one.since and one.since <= inputs.keys():

            def upto(array: Array) -> Array:
                return self._judge.arranged(
                    self._judge.upto(value, {first: array}), value, one.given
                )

            words = as_if(one.given, upto, tape.array(first), contract)
            place = "" if layers or not words else INPUT
            cause = f"as if its input were {words}" if words and layers else words
            return replace(part, cause=cause, place=place)
        return part

    def _entered(self, parts: Sequence[LocatedPart]) -> list[LocatedPart]:
        """With inputs of another type or order of axes as parts of their own."""
        found = list(parts)
        for name, entry in self._entries.items():
            if not entry.differs:
                continue
            value = self._tape.inputs[entry.own]
            at = next((i for i, part in enumerate(found) if part.place == INPUT), None)
            if at is None:
                shape = self._tape.shapes[value]
                found.insert(0, replace(NOTHING, value=name, shape=shape, place=INPUT))
                at = 0
            found[at] = replace(found[at], differs=(*found[at].differs, entry.differs))
        return found

    def _left(self, parts: Sequence[LocatedPart]) -> list[LocatedPart]:
        """Weights that differ in a place that no part ends behind."""
        said = {text for part in parts for text in part.differs}
        return [
            replace(
                NOTHING,
                order=len(self._tape.ops),
                modules=(self._origins.sources[name][0].rpartition(".")[0],),
                value=name,
                differs=(text,),
            )
            for name, text in self._differs.items()
            if text not in said
        ]


def _faults(parts: Sequence[LocatedPart]) -> list[LocatedPart]:
    return [part for part in parts if part.creates]


def _doubtful(part: LocatedPart) -> bool:
    """Tied by its weights alone, and so far off that the outputs should show it."""
    return part.anchor.endswith("weights") and not part.ratio <= FACTOR and part.created > MUST_SHOW
