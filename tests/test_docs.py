"""Links lead somewhere, and the commands, fields and messages that are shown exist."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import pytest

from trufor_onnx.parity.results.pictures import Drawing, Panel, Pictures
from trufor_onnx.parity.results.rows import Group, Row

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "sample_dataset/README.md"]
)
CODE = ("chunking", "export", "parity", "runtime")
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
# A fence of shell commands has a language or none; these hold something else.
OTHER_FENCES = ("python", "toml", "json", "yaml", "xml", "text", "html", "dockerfile")


@dataclass(frozen=True)
class Shown:
    """A command that a page shows."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M), re.M)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", head)) for head in heads)
    return {head.strip().lower().replace(" ", "-") for head in plain}


def code_lines(text: str) -> Iterator[str]:
    """Lines of shell fences, indented code and inline code, continued lines joined."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if language not in OTHER_FENCES:
            yield from block.replace("\\\n", " ").splitlines()
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"^    (\S.*)$", rest, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", rest)


def commands(start: str) -> list[Shown]:
    found = []
    for page in PAGES:
        lines = code_lines(page.read_text(encoding="utf-8"))
        for part in (part for line in lines for part in re.split(r" (?:&&|\|\|?|;) ", line)):
            match = re.match(rf"(?:\$ )?({start}\b.*)", part.strip())
            if match:
                try:
                    words = shlex.split(match[1], comments=True)
                except ValueError:  # an apostrophe in prose
                    words = match[1].split()
                found.append(Shown(page.relative_to(ROOT).as_posix(), tuple(words)))
    return found


@PAGE
def test_links_lead_somewhere(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if (
            not path.exists()
            or not path.is_relative_to(ROOT)
            or (anchor and anchor not in anchors(path.read_text(encoding="utf-8")))
        ):
            wrong.append(target)
    assert wrong == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    there = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert there <= listed, f"not in docs/README.md: {sorted(there - listed)}"


def test_pages_are_committed() -> None:
    """A page that links to a file that only this machine has would be a broken one elsewhere."""
    git = subprocess.run(
        ["git", "ls-files", "--", "docs"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if git.returncode or not git.stdout:
        pytest.skip("no git checkout")
    images = re.findall(r"\]\((?:docs/)?(images/[\w.-]+)\)", "".join(p.read_text() for p in PAGES))
    assert images
    assert {f"docs/{image}" for image in images} <= set(git.stdout.split())


@cache
def options(module: str, words: tuple[str, ...]) -> frozenset[str]:
    """The options of a command, as its parser lists them in its help."""
    main: Callable[[list[str]], int] = importlib.import_module(f"{module}.cli").main
    shown: list[str] = []

    def print_help(self: argparse.ArgumentParser, file: object = None) -> None:  # noqa: ARG001
        shown.append(self.format_help())

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(argparse.ArgumentParser, "print_help", print_help)
        main([*words, "--help"])
    assert caught.value.code == 0 and shown, f"python -m {module} {' '.join(words)}"
    return frozenset(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", shown[0]))


SUBCOMMANDS = {
    "chunking": ("split", "merge", "verify", "inspect", "prune"),
    "export": ("check", "list", "weights"),
}


def subcommands(module: str) -> tuple[str, ...]:
    if module == "parity":
        return tuple(importlib.import_module("trufor_onnx.parity.cli").COMMANDS)
    return SUBCOMMANDS.get(module, ())


PYTHON = [
    shown
    for shown in commands(r"python3? -m (?:chunking|export|parity|runtime)")
    if len(shown.words) > 3
]


@pytest.mark.parametrize("shown", PYTHON, ids=str)
def test_commands_and_their_options_exist(shown: Shown) -> None:
    module, *words = shown.words[2:]
    first, *rest = words
    names = first.split("|")  # `split|merge` stands for both
    known = subcommands(module)
    if module == "parity":
        assert set(names) <= set(known), f"no command {first}"
    chosen = [name for name in names if name in known]
    given = [option for word in rest + words[:1] for option in re.findall(r"--[a-z][a-z-]*", word)]
    for name in chosen or [""]:
        if module in ("trufor_onnx.runtime.serve",) or "dataset" in name:
            continue
        there = options(module, (name,) if name else ())
        assert set(given) <= there | {"--help"}, f"{sorted(set(given) - there)} of {shown}"


def test_commands_are_found() -> None:
    assert len(PYTHON) > 20
    assert {shown.words[2] for shown in PYTHON} >= {"chunking", "export", "parity"}


@pytest.mark.parametrize("shown", [s for s in commands("make") if len(s.words) > 1], ids=str)
def test_make_targets_and_variables_exist(shown: Shown) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in shown.words[1:]:
        name, equals, _ = word.partition("=")
        if equals:
            assert re.search(rf"\b{name}\b", makefile), f"no variable {name}"
        elif re.fullmatch(r"[a-z-]+", name):
            assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"no target {name}"


def test_scripts_that_are_shown_exist() -> None:
    for shown in commands(r"python3? \w+/\w+\.py"):
        assert (ROOT / shown.words[1]).is_file(), shown


def test_the_report_page_describes_every_field_and_no_other() -> None:
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")

    def named(heading: str) -> set[str]:
        section = text.split(f"### {heading}\n")[1].split("\n#")[0]
        cells = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
        return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    def of(kind: type) -> set[str]:
        return {field.name for field in fields(kind)}

    identity = {"model", "variant", "weights", "proof", "backend", "provider", "output"}
    assert named("A row") == of(Row)
    assert named("A group") == of(Group) - identity - {"cases"}
    assert named("Pictures") == of(Panel) - identity - {"image"}
    assert all(f"`{name}`" in text for name in (of(Pictures) | of(Drawing)) - {"file", "panels"})


@cache
def messages() -> tuple[str, ...]:
    """Every string of the code; what is filled in stands as a NUL."""
    found = []
    for package in CODE:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (v.value if isinstance(v, ast.Constant) else "\0" for v in node.values)
                    found.append("".join(map(str, parts)))
    return tuple(found)


QUOTED = re.findall(
    r"^> (.+)$", (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize("quoted", QUOTED)
def test_messages_that_are_explained_are_printed(quoted: str) -> None:
    pattern = ".*".join(re.escape(part) for part in quoted.split("…"))
    assert any(re.search(pattern, message, re.DOTALL) for message in messages())


def test_messages_are_quoted() -> None:
    assert len(QUOTED) > 12
