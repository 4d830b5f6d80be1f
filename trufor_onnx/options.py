"""The options that several commands have: one spelling, one value, one explanation for each.

A command says with `add_option` which of them it takes, what it adds to the explanation, and how
the option was spelt in the last release.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trufor_onnx.files import parse_size

ONNX_MODELS = Path("onnx_models")
IMAGES = Path("sample_dataset")
REPORT = Path("reports/parity/parity.json")


class Value(argparse.Action):
    """Keeps one value, and says the new spelling where an old one is used.

    A later value replaces an earlier one, as everywhere: so scripts are made. It does not where
    that would drop something without a word: a list (`once`), or another spelling's value.
    """

    def __init__(
        self, option_strings: Sequence[str], dest: str, *, once: bool = False, **settings: Any
    ) -> None:
        super().__init__(option_strings, dest, **settings)
        self.once = once

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keep the value, or end with exit code 2 where there is another one already."""
        spelling, now = str(option_string), self.option_strings[0]
        given = vars(namespace).setdefault("_given", {}).setdefault(self.dest, {})
        if spelling != now and spelling not in given:
            sys.stderr.write(f"note: {spelling} is now {now}\n")
        if any(value != values for other, value in given.items() if other != spelling):
            both = " and ".join(sorted({*given, spelling}))
            parser.error(f"{both} are one option, given with different values; keep {now}")
        if self.once and given.get(spelling, values) != values:
            more = "name all its values at once, with commas between them"
            parser.error(f"{spelling} is given twice, with different values; {more}")
        given[spelling] = values
        setattr(namespace, self.dest, values)


def _of(metavar: str, text: str, **settings: Any) -> dict[str, Any]:
    return {"metavar": metavar, "help": text, **settings}


# What `argparse.ArgumentParser.add_argument` takes.
SHARED: dict[str, dict[str, Any]] = {
    "--models": _of("MODEL", "networks; see `python -m export list`", nargs="+", action="extend"),
    "--onnx-models": _of(
        "DIR", "folder of ONNX files, their locks and pieces", type=Path, default=ONNX_MODELS
    ),
    "--variant": _of("VARIANT", "variant of the ONNX files: portable, ort, plain, ..."),
    "--candidate": _of(
        "MODEL=FILE", "an ONNX file, from wherever it is", default=[], action="append"
    ),
    "--weights": _of(
        "PATH",
        "checkpoint file, FILE:KEY for one of several state dicts in it (EMA), index of shards, or "
        "folder of them (default: $TRUFOR_WEIGHTS, then weights/, then stand-in weights, which "
        "every report says)",
        type=Path,
    ),
    "--stand-in": _of(
        "SEED",
        "deterministic stand-in weights from any text; with --weights: only for tensors that the "
        "checkpoint lacks",
    ),
    "--images": _of(
        "WHERE",
        "folder of images, manifest (*.json), quoted pattern or one image",
        type=Path,
        default=IMAGES,
    ),
    "--feeds": _of(
        "FEEDS",
        "inputs that are no pictures: a folder of .npz, .npy or .safetensors files, a .jsonl "
        "manifest, or FILE.py:CALLABLE that makes them from a seed",
        default="",
    ),
    "--example": _of(
        "ARRAYS.npz",
        "arrays as the network takes them: what a FILE.py:CALLABLE takes is found from it",
        type=Path,
    ),
    "--size": _of("HxW", "height x width of the input in pixels"),
    "--providers": _of(
        "LIST", "execution providers of ONNX Runtime, as cpu or cuda", default="cpu", once=True
    ),
    "--threads": _of(
        "N", "threads of an operator (default: the backend's choice)", type=int, default=0
    ),
    "--seed": _of("N", "seed of what is drawn", type=int),
    "--reference": _of("FILE", "what `parity reference` wrote", type=Path),
    "--report": _of("REPORT.json", "what `parity run` wrote", type=Path, default=REPORT),
    "--bench": _of("BENCH.json", "what `parity bench` wrote", type=Path),
    "--baseline": _of(
        "WHAT",
        "the last release: its folder, or its parity.json, bench.json, references.bundle",
        type=Path,
        nargs="+",
        default=[],
        action="extend",
    ),
    "--compare-to": _of("NAME", "variant or backend that others are compared with", default=""),
    "--policy": _of("FILE.toml", "rules that differ from the default policy", type=Path),
    "--tolerances": _of(
        "LIMITS.toml",
        "limits of your own networks, in the form of parity/results/tolerances.toml; the report "
        "names the file, and the gate wants it too",
        type=Path,
    ),
    "--release": _of(
        "DIR",
        "a signed release: its locks are trusted where nothing derived the files again",
        type=Path,
    ),
    "--key": _of("PUB.pem", "who must have signed the release", type=Path),
    "--out": _of("DIR", "where to write", type=Path),
    "--format": _of("LIST", "what to write", once=True),
    "--max-size": _of("SIZE", "what no file may exceed, as 45MiB", type=parse_size),
    "--force": {"help": "do also what is refused without it", "action": "store_true"},
    "--json": {"help": "print JSON instead of text", "action": "store_true"},
}


def add_option(
    parser: argparse._ActionsContainer,
    name: str,
    clause: str = "",
    *,
    old: Sequence[str] = (),
    **changes: Any,
) -> None:
    """Add an option of `SHARED`.

    Args:
        parser: or a group of one.
        name: its key; without the dashes where the argument is given by its place.
        clause: what this command adds to the explanation, with its punctuation.
        old: spellings of the last release: they work, and `--help` does not show them.
        changes: what else differs here: a default, whether it is required.
    """
    option = name.startswith("--")
    settings = {**SHARED[name if option else f"--{name}"], **changes}
    settings["help"] += clause
    if "default" not in settings["help"] and settings.get("default"):
        settings["help"] += " (default: %(default)s)"
    if not option:
        settings.pop("action", None)
        parser.add_argument(name, **settings)
        return
    action = parser.add_argument(name, *old, **{"action": Value, **settings})
    action.option_strings = [name]  # shown; the parser knows the old ones by now


def add_options(parser: argparse._ActionsContainer, *names: str) -> None:
    """Add options that this command takes as they are."""
    for name in names:
        add_option(parser, name)


def add_weights_options(parser: argparse.ArgumentParser) -> None:
    """The two that choose weights: see `export.weights.sources.WeightsSource`."""
    add_option(parser, "--weights", old=("--checkpoint",))
    add_option(parser, "--stand-in")
