"""Links and paths lead somewhere in here; what is shown exists; every word is in the glossary."""

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

from trufor_onnx.export.variants import VARIANTS
from trufor_onnx.parity.results.findings import Outcome
from trufor_onnx.parity.results.pictures import Drawing, Panel, Pictures
from trufor_onnx.parity.results.rows import LEAST_FIRST, Group, Row, Status

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "sample_dataset/README.md"]
)
CODE = ("trufor_onnx", "chunking", "export", "parity", "runtime")
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
def help_of(module: str, words: tuple[str, ...]) -> str:
    """What a command prints for ``--help``."""
    main: Callable[[list[str]], int] = importlib.import_module(f"{module}.cli").main
    shown: list[str] = []

    def print_help(self: argparse.ArgumentParser, file: object = None) -> None:  # noqa: ARG001
        shown.append(self.format_help())

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(argparse.ArgumentParser, "print_help", print_help)
        main([*words, "--help"])
    assert caught.value.code == 0 and shown, f"python -m {module} {' '.join(words)}"
    return shown[0]


def options(module: str, words: tuple[str, ...]) -> frozenset[str]:
    """The options of a command, as its parser lists them in its help."""
    return frozenset(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_of(module, words)))


SUBCOMMANDS = {
    "trufor_onnx.chunking": ("split", "merge", "verify", "inspect", "prune"),
    "trufor_onnx.export": ("check", "list", "weights"),
    "trufor_onnx.runtime": (),
    "trufor_onnx.runtime.serve": (),
    "sample_dataset.maker": (),
    "trufor_onnx.parity": tuple(importlib.import_module("trufor_onnx.parity.cli").COMMANDS),
}


def installed(module: str) -> str:
    """`parity` of a checkout as it is called when it is installed: `trufor_onnx.parity`."""
    ours = module.partition(".")[0] in CODE[1:]
    return f"{CODE[0]}.{module}" if ours else module


PYTHON = [
    shown
    for start in (*CODE, r"sample_dataset\.maker")
    for shown in commands(rf"python3? -m {start}")
    if len(shown.words) > 3
]


@pytest.mark.parametrize("shown", PYTHON, ids=str)
def test_commands_and_their_options_exist(shown: Shown) -> None:
    module, first, *rest = installed(shown.words[2]), *shown.words[3:]
    words = (first, *rest)
    names = first.split("|")  # `split|merge` stands for both
    known = SUBCOMMANDS[module]
    if module == "trufor_onnx.parity":
        assert set(names) <= set(known), f"no command {first}"
    chosen = [name for name in names if name in known]
    given = [option for word in words for option in re.findall(r"--[a-z][a-z-]*", word)]
    for name in chosen or [""]:
        there = options(module, (name,) if name else ())
        assert set(given) <= there | {"--help"}, f"{sorted(set(given) - there)} of {shown}"


def test_commands_are_found() -> None:
    assert len(PYTHON) > 20
    found = {shown.words[2] for shown in PYTHON}
    assert found >= {"chunking", "export", "parity", "runtime", "sample_dataset.maker"}


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


FOLDERS = rf"(?:{'|'.join((*CODE, 'tests', 'docs', 'benchmarks', 'sample_dataset'))})"
# As a name in code or prose; a page may also name a folder, in backquotes.
PATH = re.compile(rf"(?<![\w./-]){FOLDERS}/[\w./-]*\w\.(?:py|md|toml|yml|css|js)\b")
FOLDER = re.compile(rf"`({FOLDERS}/[\w./-]*)`")
MODULE = re.compile(rf"`((?:{'|'.join(CODE)})\.[\w.]+)`")
AT_A_COMMIT = re.compile(r"\bcommit [0-9a-f]{7,40}\b")  # a study that is not kept
ENDINGS = ("json", "html", "md", "junit.xml")  # `parity.json` is no module
OUTSIDE = re.compile(r"(?<![\w./-])(?:\.\./)*(?:shared|design)/|/work/|\b[Ii]ssue \d")
# Pictures and weights that are not ours to ship: where `$TRUFOR_TEST_DATA` may stand for a folder.
BESIDE = re.compile(r"""/ ["']shared["']""")
LOOK_BESIDE = {"tests/beside.py", "benchmarks/harness_speed.py", "benchmarks/synthetic_onnx.py"}


@cache
def committed() -> dict[str, str]:
    """Every text file of the repository, and what it says."""
    git = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if git.returncode or not git.stdout:
        pytest.skip("no git checkout")
    found = {}
    for name in git.stdout.rstrip("\0").split("\0"):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            found[name] = content.decode("utf-8")
    return found


def test_no_file_points_outside_the_repository() -> None:
    """Whoever has a clone has all that its files name.

    Some tests take data from beside it, and skip with a reason where it is not there.
    """
    texts = {name: text for name, text in committed().items() if name != "tests/test_docs.py"}
    assert [name for name, text in texts.items() if OUTSIDE.search(text)] == []
    looking = {name for name, text in texts.items() if BESIDE.search(text)}
    assert looking == LOOK_BESIDE
    assert all("TRUFOR_TEST_DATA" in texts[name] for name in looking)


def test_paths_that_are_named_exist() -> None:
    """In pages, docstrings and comments; what CHANGELOG.md says was so at its time."""
    wrong, seen = [], 0
    for name, text in committed().items():
        if name == "CHANGELOG.md":
            continue
        for number, line in enumerate(text.splitlines(), 1):
            named = [found[0] for found in PATH.finditer(line)]
            if name.endswith(".md"):
                named += FOLDER.findall(line)
            seen += len(named)
            if AT_A_COMMIT.search(line):
                continue
            wrong += [f"{name}:{number}: {path}" for path in named if not (ROOT / path).exists()]
    assert wrong == []
    assert seen > 100


def test_modules_that_pages_name_can_be_imported() -> None:
    wrong = []
    for page in PAGES:
        for dotted in MODULE.findall(page.read_text(encoding="utf-8")):
            first, _, rest = dotted.partition(".")
            if rest in ENDINGS or page.name == "CHANGELOG.md" or dotted in METADATA:
                continue
            if first != CODE[0] or not is_there(dotted):
                wrong.append(f"{page.relative_to(ROOT)}: {dotted}")
    assert wrong == []


# Keys in the metadata of an ONNX file, and the group of entry points.
METADATA = {"trufor_onnx.preprocessing", "trufor_onnx.provenance", "trufor_onnx.models"}


def is_there(dotted: str) -> bool:
    """Is this a module of ours, or a name in one?"""
    try:
        importlib.import_module(dotted)
    except ModuleNotFoundError:
        module, _, name = dotted.rpartition(".")
        return bool(module) and hasattr(importlib.import_module(module), name)
    return True


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


MAP, _, TERMS = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Glossary")
# Without the heading of the table.
GLOSSARY = re.findall(r"^\| `?([^|`]+?)`? \| .+ \|$", TERMS, re.MULTILINE)[1:]


@cache
def what_users_read() -> str:
    """All pages but the glossary, and what every command says for ``--help``."""
    pages = [page for page in PAGES if page.name not in ("architecture.md", "CHANGELOG.md")]
    texts = [MAP, *(page.read_text(encoding="utf-8") for page in pages)]
    for module, names in SUBCOMMANDS.items():
        texts += [help_of(module, (name,) if name else ()) for name in (*names, "")]
    return re.sub(r"[\s`*]+", " ", " ".join(texts)).lower()


def test_the_glossary_is_in_order_and_has_each_term_once() -> None:
    assert len(GLOSSARY) > 50
    assert sorted(set(GLOSSARY), key=str.lower) == GLOSSARY


@pytest.mark.parametrize("term", GLOSSARY)
def test_every_term_of_the_glossary_is_used(term: str) -> None:
    """A page or a help text that a user reads has it, as a word."""
    assert re.search(rf"(?<!\w){re.escape(term.lower())}(?!\w)", what_users_read())


def test_the_words_that_reports_are_written_in_are_in_the_glossary() -> None:
    """States, proofs, variants, and what rows have: nobody need guess what one means."""
    wanted = {*Status, *LEAST_FIRST, *VARIANTS, Outcome.NOT_JUDGED, "accuracy ratio", "A/A floor"}
    wanted |= {"reference", "candidate", "proof", "variant", "backend", "outcome", "label"}
    assert {str(word) for word in wanted} <= set(GLOSSARY)
