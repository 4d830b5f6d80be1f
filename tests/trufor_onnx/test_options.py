"""One vocabulary: every command spells, shows and explains a concept in the same way."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from trufor_onnx.__main__ import COMMANDS
from trufor_onnx.options import SHARED

ROOT = Path(__file__).resolve().parents[2]
MODULES = {*(module for module, _, _ in COMMANDS.values()), "sample_dataset.maker.cli"}

# The spellings of the last release: where they were used, and what they are now. They go with the
# next one.
OLD = {
    "export": {"--checkpoint": "--weights"},
    "export check": {"--checkpoint": "--weights", "--out": "--onnx-models"},
    "chunking split": {"--max": "--max-size"},
    "parity run": {
        "--checkpoint": "--weights",
        "--variants": "--variant",
        "--formats": "--format",
    },
    "parity reference": {"--checkpoint": "--weights"},
    "parity bench": {
        "--checkpoint": "--weights",
        "--variants": "--variant",
        "--sizes": "--size",
        "--baseline": "--compare-to",
    },
    "parity gate": {
        "--checkpoint": "--weights",
        "--models-dir": "--onnx-models",
        "--image": "--images",
    },
    "parity release": {"--models-dir": "--onnx-models", "--references": "--reference"},
    "parity locate": {"--checkpoint": "--weights", "--image": "--images"},
    "parity files": {"--most-bytes": "--max-size"},
    "runtime": {"--models": "--onnx-models"},
    "runtime.serve": {"--models": "--onnx-models"},
}
OLD_CASES = [(command, old, new) for command, of in OLD.items() for old, new in of.items()]
# What a command writes is a folder or one file: all else of an option is the same everywhere.
METAVARS = {"--out": {"DIR", "FILE"}}
# These say what kind of value it is; any other metavar says which, and stands for one concept.
KINDS = {"N", "X", "S", "DIR", "FILE", "SIZE", "LIST", "NAME", "TEXT", "PATH"}

# Options of git and pip that the code or a hint passes on.
GIT = "--batch-check --cached --name-only --no-ext-diff --no-renames --renormalize"
GIT += " --show-toplevel --stage --stdin"
OF_OTHERS = {**dict.fromkeys(GIT.split(), "git"), "--force-reinstall": "pip"}


def parser_of(module: str, *words: str) -> argparse.ArgumentParser:
    """The parser that prints the help of a command."""
    found: list[argparse.ArgumentParser] = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(argparse.ArgumentParser, "print_help", lambda parser: found.append(parser))
        importlib.import_module(module).main([*words, "--help"])
    return found[0]


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every command's parser by its name, as ``parity run``."""
    found = {}
    for module in sorted(MODULES):
        name = module.removeprefix("trufor_onnx.").removesuffix(".cli")
        parser = parser_of(module)
        subcommands = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not subcommands:
            found[name] = parser
        for word in subcommands[0].choices if subcommands else ():
            found[f"{name} {word}"] = parser_of(module, word)
    for word in re.findall(r'prog="python -m export (\w+)"', (ROOT / "export/cli.py").read_text()):
        found[f"export {word}"] = parser_of("trufor_onnx.export.cli", word)
    return found


def options() -> Iterator[tuple[str, str, argparse.Action]]:
    """Command, spelling and action of every option that is shown."""
    for command, parser in parsers().items():
        for action in parser._actions:
            for spelling in action.option_strings:
                if spelling not in ("-h", "--help"):
                    yield command, spelling, action


def shown(command: str) -> set[str]:
    return {spelling for name, spelling, _ in options() if name == command}


def required(parser: argparse.ArgumentParser) -> list[str]:
    """The words without which a command does not start."""
    words = []
    for action in parser._actions:
        if not action.option_strings and action.nargs not in ("?", "*"):
            words.insert(0, "x")
        elif action.required and action.option_strings:
            words += [action.option_strings[0], "x"]
    return words


def parsed(command: str, *words: str) -> dict[str, object]:
    parser = parsers()[command]
    name = vars(parser.parse_args([*required(parser), *words]))
    return {key: value for key, value in name.items() if key != "_given"}


def test_every_command_is_walked() -> None:
    """One that is not would have options that `test_messages_name_only_...` does not find."""
    parity = importlib.import_module("trufor_onnx.parity.cli").COMMANDS
    wanted = {f"parity {name}" for name in parity} | {"export", "export check", "chunking split"}
    assert {*wanted, "runtime", "runtime.serve", "sample_dataset.maker"} <= parsers().keys()


def test_one_spelling_means_one_thing() -> None:
    """The same destination, kind of value and explanation in every command that has it."""
    by_spelling: dict[str, list[tuple[str, argparse.Action]]] = {}
    for command, spelling, action in options():
        by_spelling.setdefault(spelling, []).append((command, action))
    for spelling, uses in by_spelling.items():
        actions = [action for _, action in uses]
        about = f"{spelling} of {', '.join(command for command, _ in uses)}"
        assert len({(action.dest, action.nargs, action.type) for action in actions}) == 1, about
        metavars = {action.metavar for action in actions}
        assert len(metavars) == 1 or metavars <= METAVARS.get(spelling, set()), about
        texts = {str(action.help) for action in actions}
        base = SHARED[spelling]["help"] if spelling in SHARED else next(iter(texts))
        assert all(re.match(rf"{re.escape(base)}(\W|$)", text) for text in texts), about
        if spelling not in SHARED:
            assert len(texts) == 1, f"{about}: put it into trufor_onnx/options.py"


def test_one_thing_has_one_spelling() -> None:
    """Told by what is shown for the value, and by the folder that is the default."""
    spelt: dict[object, set[str]] = {}
    for command, spelling, action in options():
        if action.metavar and action.metavar not in KINDS:
            spelt.setdefault(action.metavar, set()).add(spelling)
        if isinstance(action.default, Path) and spelling != "--out":
            spelt.setdefault(action.default, set()).add(spelling)
        if action.help and spelling not in SHARED:
            texts = {SHARED[name]["help"] for name in SHARED}
            assert action.help not in texts, f"{command} {spelling}"
    spelt.pop("MANIFEST"), spelt.pop("OLD")  # pieces of a file, not a model's release
    assert {key: names for key, names in spelt.items() if len(names) > 1} == {}
    assert spelt[Path("onnx_models")] == {"--onnx-models"}


def test_places_mean_what_the_options_mean() -> None:
    """`parity gate REPORT.json` and `parity release --report REPORT.json`: one concept."""
    for command, parser in parsers().items():
        for action in parser._actions:
            shared = SHARED.get(f"--{action.dest}")
            if not action.option_strings and shared and command != "runtime":
                assert action.metavar == shared["metavar"], f"{command} {action.dest}"
                assert str(action.help).startswith(shared["help"]), f"{command} {action.dest}"


def test_the_old_spellings_are_these() -> None:
    """Each is known to its parser, and no command has one that it did not have."""
    found: dict[str, dict[str, str]] = {}
    for command, parser in parsers().items():
        for spelling, action in parser._option_string_actions.items():
            if spelling not in action.option_strings:
                found.setdefault(command, {})[spelling] = action.option_strings[0]
    assert found == OLD


@pytest.mark.parametrize(("command", "old", "new"), OLD_CASES)
def test_an_old_spelling_works_and_says_the_new_one(
    command: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = parsed(command, new, "7")
    assert capsys.readouterr().err == ""
    note = f"note: {old} is now {new}\n"
    assert wanted != parsed(command)
    for words in ((old, "7"), (f"{old}=7",), (old, "7", old, "7"), (old, "7", new, "7")):
        assert parsed(command, *words) == wanted
        assert capsys.readouterr() == ("", note)


@pytest.mark.parametrize(("command", "old", "new"), OLD_CASES)
def test_both_spellings_with_different_values_are_refused(
    command: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((old, "7", new, "8"), (new, "8", old, "7"), (old, "7", new, "7", new, "8")):
        with pytest.raises(SystemExit) as ended:
            parsed(command, *words)
        assert ended.value.code == 2
        assert f"are one option, given with different values; keep {new}" in capsys.readouterr().err


@pytest.mark.parametrize("command", list(parsers()))
def test_help_shows_no_old_spelling(command: str) -> None:
    text = parsers()[command].format_help()
    for old in OLD.get(command, ()):
        assert not re.search(rf"(?<![\w-]){old}(?![\w-])", text)


@pytest.mark.parametrize("command", list(parsers()))
def test_no_option_is_abbreviated(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = parsers()[command]
    for spelling in [*shown(command), *OLD.get(command, ())]:
        short = spelling[:-1]
        if short not in parser._option_string_actions:
            with pytest.raises(SystemExit) as ended:
                parser.parse_args([*required(parser), f"{short}=7"])
            assert ended.value.code == 2
    capsys.readouterr()


def test_a_value_may_be_replaced_and_a_list_may_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("parity run", "--out", "a", "--out", "b")["out"] == Path("b")
    with pytest.raises(SystemExit):
        parsed("parity run", "--providers", "cpu", "--providers", "cuda")
    assert "name all its values at once" in capsys.readouterr().err


def words_of_messages() -> Iterator[tuple[str, str]]:
    """Every option that a string of the code names, but for the old ones that are accepted."""
    for folder in ("chunking", "export", "parity", "runtime", "trufor_onnx", "sample_dataset"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            accepted = {
                id(inner)
                for node in ast.walk(tree)
                if isinstance(node, ast.keyword) and node.arg == "old"
                for inner in ast.walk(node.value)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*\w", node.value):
                        if id(node) not in accepted:
                            yield word, path.relative_to(ROOT).as_posix()


def test_messages_name_only_options_that_there_are() -> None:
    there = {spelling for _, spelling, _ in options()} | {"--help"}
    known = there | OF_OTHERS.keys()
    assert {(word, at) for word, at in words_of_messages() if word not in known} == set()


def test_nothing_that_is_read_names_an_old_spelling() -> None:
    gone = {old for _, old, _ in OLD_CASES} - {spelling for _, spelling, _ in options()}
    assert gone >= {"--models-dir", "--checkpoint", "--variants", "--formats", "--sizes"}
    pattern = re.compile(rf"(?<![\w-])({'|'.join(sorted(gone))})(?![\w-])")
    listed = ROOT / "docs/README.md"  # says what they were
    pages = [
        *({*ROOT.glob("docs/**/*.md")} - {listed}),
        ROOT / "README.md",
        ROOT / "Makefile",
        ROOT / "Dockerfile",
    ]
    pages += [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-hooks.yaml"]
    wrong = [
        f"{page.relative_to(ROOT)}: {line.strip()}"
        for page in pages
        for line in page.read_text("utf-8").splitlines()
        if pattern.search(line) and "benchmarks/" not in line
    ]
    assert wrong == []


def test_the_documentation_lists_them() -> None:
    text = (ROOT / "docs" / "README.md").read_text("utf-8")
    table = text.split("## What options are called\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| `(--[a-z-]+) ?([^`]*)` \|.*\| (.*?) \|$", table, re.MULTILINE)
    assert {name for name, _, _ in rows} == SHARED.keys()
    for name, metavar, old in rows:
        assert metavar.removesuffix("...") == SHARED[name].get("metavar", ""), name
        wanted = {word for _, word, new in OLD_CASES if new == name}
        assert set(re.findall(r"`(--[a-z-]+)`", old)) == wanted, name
