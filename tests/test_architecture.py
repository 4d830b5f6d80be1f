"""The house of docs/architecture.md: its map, its imports, its sizes, and tests that mirror it."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAME = "trufor_onnx"
GROUND = NAME  # the files of trufor_onnx/ itself
FACE = ("trufor_onnx.face", "trufor_onnx.__main__")  # top floor, not ground

# What each room may import of ours, beside itself and the ground. A room is a package, or a folder
# of `parity`. Nothing here runs upwards.
_BELOW = ("chunking", "export", "runtime", "parity.inputs", "parity.results", "parity.runners")
_STORED = ("chunking", "export", "parity.inputs", "parity.results", "parity.gate")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "chunking": (),
    "export": ("chunking",),
    "runtime": (*("chunking", "export.networks.spec", "export.networks.preprocess"),),
    "parity.inputs": ("export",),
    "parity.runners": ("export", "runtime", "parity.inputs"),
    "parity.results": ("chunking", "export", "parity.inputs"),
    "parity.references": _BELOW,
    "parity.running": (*_BELOW, "parity.references"),
    "parity.timing": _BELOW,
    "parity.report": ("parity.inputs", "parity.results"),
    "parity.gate": ("chunking", "export", "parity.inputs", "parity.results"),
    "parity.locate": (*_BELOW, "parity.references", "parity.gate"),
    "parity.history": (*_STORED, "parity.runners.onnxruntime_runner"),
    "parity.release": (*_STORED, "parity.report"),
    "parity.commands": ("chunking", "export", "runtime", "parity"),
    "parity": (),  # its doors: `cli`, which names the commands, and `__main__`
}
MOST_LAYERS = 8
# Imported inside functions, so that command lines, merging and the runtime start without them.
HEAVY = ("torch", "torchvision", "timm", "onnx", "onnx_ir", "onnxsim", "onnxruntime", "matplotlib")
# The networks are torch code from the first line; `ModelSpec.build` imports them when one is built.
HEAVY_AT_THE_TOP = ("trufor_onnx.export.models.",)

MOST_FILES, MOST_FILES_A_FOLDER, MOST_LINES, LEAST_MEDIAN = 220, 18, 400, 100
# Longer files, each with its reason.
LONG: dict[str, str] = {}


@dataclass(frozen=True)
class Source:
    """A file of the product."""

    module: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        parts = self.module.split(".")[1:]
        if len(parts) < 2 and self.path.parent.name == NAME:
            return GROUND
        return ".".join(parts[:2]) if parts[0] == "parity" and self.is_below else parts[0]

    @property
    def is_below(self) -> bool:
        """In a folder of `parity`, not beside its doors."""
        return self.path.relative_to(ROOT).parts[1:-1] != ()

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


@cache
def sources() -> tuple[Source, ...]:
    found = []
    for folder in (NAME, "chunking", "export", "runtime", "parity"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts if parts[0] == NAME else (NAME, *parts)
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Source(module, path, ast.parse(path.read_text("utf-8"), str(path))))
    return tuple(found)


def imports(source: Source, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The modules that import statements name; ``from a import b`` gives ``a`` and ``a.b``."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name}:{node.lineno}: a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: no function bodies, nothing for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from at_import(node)


def within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(allowed + ".")


def faults_of(condition: Iterator[str]) -> None:
    found = sorted(set(condition))
    assert not found, "\n".join(found)


@cache
def of_ours() -> dict[str, frozenset[str]]:
    """Each module's imports of ours, as modules, those inside functions too."""
    modules = {source.module for source in sources()}
    found = {}
    for source in sources():
        names = set(imports(source, ast.walk(source.tree)))
        known = {name for name in names if name in modules}
        # `from package import module` names both; the package itself is not meant then.
        specific = {n for n in known if not any(o != n and within(o, n) for o in known)}
        found[source.module] = frozenset(specific - {source.module})
    return found


def rooms() -> dict[str, set[str]]:
    """Which rooms each room imports from."""
    room = {source.module: source.room for source in sources() if source.module not in FACE}
    found: dict[str, set[str]] = {name: set() for name in room.values()}
    for module, targets in of_ours().items():
        if module in room:
            found[room[module]] |= {room[t] for t in targets if t in room} - {room[module]}
    return found


def layers(graph: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each node: one above the highest that it imports.

    Raises:
        AssertionError: there is a circle; it names it.
    """
    floors: dict[str, int] = {}

    def floor(node: str, above: tuple[str, ...]) -> int:
        assert node not in above, f"a circle: {' -> '.join([*above[above.index(node) :], node])}"
        if node not in floors:
            below = [floor(other, (*above, node)) for other in sorted(graph.get(node, ()))]
            floors[node] = 1 + max(below, default=0)
        return floors[node]

    for node in graph:
        floor(node, ())
    return floors


def test_every_package_is_read() -> None:
    modules = {source.module for source in sources()}
    wanted = {"trufor_onnx.files", "trufor_onnx.export.cli", "trufor_onnx.parity.running.run"}
    assert wanted <= modules


def test_layers_and_no_circle(capsys: pytest.CaptureFixture[str]) -> None:
    """Of files no circle; of rooms at most `MOST_LAYERS` floors. Both are printed."""
    layers({module: set(targets) for module, targets in of_ours().items()})
    floors = layers(rooms())
    lines = [
        f"floor {number}: {', '.join(sorted(r for r in floors if floors[r] == number))}"
        for number in sorted(set(floors.values()))
    ]
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, "circles: none", ""]))
    assert max(floors.values()) <= MOST_LAYERS


def test_import_directions() -> None:
    """Also of imports inside functions and for type checkers."""

    def wrong() -> Iterator[str]:
        for source in sources():
            if source.module in FACE:
                continue
            if source.room == GROUND:
                allowed: tuple[str, ...] = ()
            else:
                allowed = (source.room, *MAY_IMPORT[source.room])
            for target in of_ours()[source.module]:
                rest = target.removeprefix(NAME).lstrip(".")
                ground = "." not in rest and (ROOT / NAME / f"{rest}.py").is_file()
                if (ground or not rest) and target not in FACE:
                    continue
                if not any(within(rest, a) for a in allowed):
                    yield f"{source.name} imports {target}; may import {', '.join(allowed)}"

    faults_of(wrong())


def test_nothing_imports_by_the_folders_own_names() -> None:
    """`export`, `parity` and so on are in nobody's way: all imports begin with the one package."""

    def wrong() -> Iterator[str]:
        for source in sources():
            for name in imports(source, ast.walk(source.tree)):
                if name.partition(".")[0] in ("chunking", "export", "parity", "runtime"):
                    yield f"{source.name} imports {name}"

    faults_of(wrong())


def test_nothing_imports_a_command_line() -> None:
    def wrong() -> Iterator[str]:
        for source in sources():
            if source.module.endswith(".__main__"):
                continue
            for name in imports(source, ast.walk(source.tree)):
                if name.startswith(NAME) and ".cli" in f"{name}.".replace(".cli.", ".cli"):
                    yield f"{source.name} imports {name}"

    faults_of(wrong())


def test_frameworks_are_imported_where_they_are_used() -> None:
    def wrong() -> Iterator[str]:
        for source in sources():
            if source.module.startswith(HEAVY_AT_THE_TOP):
                continue
            for name in imports(source, at_import(source.tree)):
                if name.partition(".")[0] in HEAVY:
                    yield f"{source.name} imports {name} at its top"

    faults_of(wrong())


def test_the_networks_are_imported_only_to_build_one() -> None:
    """They import torch at their top, so nobody may import them at theirs."""

    def wrong() -> Iterator[str]:
        for source in sources():
            if source.module.startswith("trufor_onnx.export.models"):
                continue
            for name in imports(source, at_import(source.tree)):
                if within(name, "trufor_onnx.export.models"):
                    yield f"{source.name} imports {name} at its top"

    faults_of(wrong())


def test_one_caller_of_each_of_torchs_exporters() -> None:
    def wrong() -> Iterator[str]:
        for source in sources():
            for node in ast.walk(source.tree):
                if isinstance(node, ast.Attribute | ast.Name):
                    text = ast.unparse(node)
                    if text in ("torch.onnx.export", "onnx.export", "torch.onnx.dynamo_export"):
                        yield source.name

    assert set(wrong()) == {"export/graph/trace.py", "export/graph/dynamo.py"}


def test_one_importer_of_timm() -> None:
    found = {
        source.name
        for source in sources()
        for name in imports(source, ast.walk(source.tree))
        if within(name, "timm")
    }
    assert found == {"export/networks/timm_specs.py"}


def places(found: Callable[[ast.AST], bool]) -> dict[str, int]:
    """How often files have a node."""
    counts = {s.name: sum(map(found, ast.walk(s.tree))) for s in sources()}
    return {name: count for name, count in counts.items() if count}


def calls(*functions: str) -> Callable[[ast.AST], bool]:
    """Whether a node calls one of these, ``json.loads`` or ``loads`` by the end of its name."""

    def found(node: ast.AST) -> bool:
        text = f".{ast.unparse(node.func)}" if isinstance(node, ast.Call) else ""
        return text.endswith(tuple(f".{function}" for function in functions))

    return found


def says(*ends: str) -> Callable[[ast.AST], bool]:
    """Whether a node is a text of one word with such an end."""

    def found(node: ast.AST) -> bool:
        text = node.value if isinstance(node, ast.Constant) else ""
        return isinstance(text, str) and " " not in text and text.endswith(ends)

    return found


def test_one_opener_of_sessions() -> None:
    """Each with its own options; none that falls back to the CPU unsaid."""
    assert places(calls("InferenceSession")) == {"trufor_onnx/sessions.py": 1}


def test_one_provider_table() -> None:
    """ONNX Runtime's names of providers, and the settings that are pinned, stand once."""
    assert places(says("ExecutionProvider")) == {
        "trufor_onnx/providers.py": 5,
        "trufor_onnx/sessions.py": 1,  # the CPU's
    }
    assert places(says("trt_engine_cache_enable", "trt_fp16_enable")) == {
        "trufor_onnx/providers.py": 2
    }


def test_one_finder_of_images() -> None:
    """What counts as an image's name, and how folders and patterns are searched."""
    suffixes = places(
        lambda node: isinstance(node, ast.Constant) and node.value in (".jpg", ".heic")
    )
    assert suffixes == {"trufor_onnx/finding.py": 2}
    assert places(calls("has_magic")).keys() == {"trufor_onnx/finding.py"}
    walks = places(calls("os.walk")).keys()
    others = {
        "parity/references/closure.py",  # modules
        "parity/results/release_layout.py",  # files of a release
    }
    assert walks == {"trufor_onnx/finding.py", *others}


def test_one_reader_of_json() -> None:
    """Strict: no key twice, no NaN."""
    reads = places(calls("json.load", "json.loads", "JSONDecoder"))
    assert reads == {"trufor_onnx/documents.py": 1}


def test_one_key_of_figures() -> None:
    """Model, variant, backend and provider of a thing are put together in one place."""
    wanted = ["model", "variant", "backend", "provider"]

    def four(node: ast.AST) -> bool:
        if not isinstance(node, ast.Tuple | ast.List | ast.Call):
            return False
        given = node.args if isinstance(node, ast.Call) else node.elts
        names = [one.attr for one in given if isinstance(one, ast.Attribute)]
        return names[:4] == wanted

    assert places(four) == {"parity/results/contestant.py": 1}


# The one function that may catch everything, and why: code of others may raise anything, and what
# it raises is never passed over: it becomes an error of ours with its reason (exit code 2).
CATCHES_ALL = ("export/foreign.py", "foreign")


def catches_all(source: Source) -> set[ast.AST]:
    """The nodes of the function that may."""
    if source.name != CATCHES_ALL[0]:
        return set()
    return {
        inner
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef) and node.name == CATCHES_ALL[1]
        for inner in ast.walk(node)
    }


def test_no_broad_except() -> None:
    allowed = 0

    def names(kind: ast.expr | None) -> Iterator[str]:
        if isinstance(kind, ast.Tuple):
            for item in kind.elts:
                yield from names(item)
        else:
            yield "everything" if kind is None else ast.unparse(kind)

    def wrong() -> Iterator[str]:
        nonlocal allowed
        for source in sources():
            within_it = catches_all(source)
            for node in ast.walk(source.tree):
                if isinstance(node, ast.ExceptHandler):
                    broad = {"everything", "Exception", "BaseException"} & set(names(node.type))
                    # Cleaning up and raising again hides nothing.
                    again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
                    if broad and node in within_it:
                        allowed += 1
                        assert isinstance(node.body[-1], ast.Raise), f"{source.name}: hides it"
                    elif broad and not again:
                        yield f"{source.name}:{node.lineno} catches {', '.join(broad)}"

    faults_of(wrong())
    assert allowed == 1


def test_options_are_not_abbreviated() -> None:
    """`--on ray` was taken for `--onnx-models ray`, and exported into a folder called ray."""

    def wrong() -> Iterator[str]:
        for source in sources():
            for node in ast.walk(source.tree):
                if not isinstance(node, ast.Call):
                    continue
                made = ast.unparse(node.func).rpartition(".")[2]
                named = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if (
                    made in ("ArgumentParser", "add_parser")
                    and named.get("allow_abbrev") != "False"
                ):
                    yield f"{source.name}:{node.lineno}"

    faults_of(wrong())


def test_files_are_one_subject_and_folders_can_be_looked_over() -> None:
    """Prints the figures that docs/architecture.md promises."""
    lengths = {s.name: len(s.path.read_text("utf-8").splitlines()) for s in sources()}
    long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES}
    unreasoned = {name: lines for name, lines in long.items() if name not in LONG}
    assert not unreasoned, f"split these, or give a reason here: {unreasoned}"
    assert not LONG.keys() - long.keys(), "these are short enough: take them off the list"
    files = {name: n for name, n in lengths.items() if not name.endswith("__init__.py")}
    folders = Counter(str(Path(name).parent) for name in files)
    full = {name: count for name, count in folders.items() if count > MOST_FILES_A_FOLDER}
    assert not full, f"no one finds a file here: {full}"
    assert len(lengths) <= MOST_FILES
    assert statistics.median(files.values()) >= LEAST_MEDIAN


def test_a_class_name_means_one_thing() -> None:
    defined: dict[str, list[str]] = {}
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name, []).append(source.name)
    faults_of(f"{name}: {', '.join(at)}" for name, at in defined.items() if len(at) > 1)


def public_names(tree: ast.Module) -> set[str]:
    """Names without an underscore that a module defines or imports from ours at its top."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == NAME:
            found |= {alias.asname or alias.name for alias in node.names}
    return {name for name in found if not name.startswith("_")}


WITH_ALL = [
    source
    for source in sources()
    if source.module != NAME  # its names come when they are asked for: tests/trufor_onnx
    and any(
        isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
        for n in source.tree.body
    )
]


@pytest.mark.parametrize("source", WITH_ALL, ids=lambda source: source.module)
def test_all_is_what_there_is(source: Source) -> None:
    """Both ways: every listed name exists, and every public name is listed, sorted and once."""
    listed = list(importlib.import_module(source.module).__all__)
    assert set(listed) == public_names(source.tree)
    assert len(set(listed)) == len(listed)


def test_at_import_sees_through_blocks() -> None:
    """The reader itself: what it must find, and what it must leave."""
    tree = ast.parse(
        "import a\n"
        "try:\n    import b\nexcept ImportError:\n    import c\n"
        "class K:\n    import d\n    def f(self):\n        import no1\n"
        "if TYPE_CHECKING:\n    import no2\n"
        "def g():\n    import no3\n"
        "with x:\n    from e.f import g\n"
    )
    source = Source("test", ROOT, tree)
    assert set(imports(source, at_import(tree))) == {"a", "b", "c", "d", "e.f", "e.f.g"}


def test_layers_finds_a_circle() -> None:
    assert layers({"a": {"b"}, "b": {"c"}, "c": set()}) == {"a": 3, "b": 2, "c": 1}
    with pytest.raises(AssertionError, match="a -> b -> a"):
        layers({"a": {"b"}, "b": {"a"}})


# Tests over several files, or of what is no file of the product. Every other test file has the
# name, and the folder, of the file that it tests.
OVER_SEVERAL = {
    "tests/test_architecture.py": "the imports of all files",
    "tests/test_docs.py": "README.md and docs/",
    "tests/test_workflows.py": ".github/workflows and the hooks",
    "tests/wrong_answers/test_wrong_answers.py": "set-ups through every command, each in a process",
    "tests/export/test_any_network.py": "exports of networks of other kinds",
    "tests/parity/test_any_inputs.py": "networks of other inputs, by every command",
    "tests/parity/running/test_way.py": "one image's way to its row: files and opens",
    "tests/trufor_onnx/test_wheel.py": "the built wheel, in environments of its own",
    "tests/chunking/test_docs.py": "docs/chunking.md",
    "tests/chunking/test_full_disks.py": "every verb, on small disks that are real",
    "tests/chunking/test_fuzz.py": "every verb, on damaged manifests, models and folders",
    "tests/chunking/test_kill.py": "split and merge, ended at random points",
    "tests/chunking/test_peak_memory.py": "whole processes of every verb",
    "tests/chunking/test_public_names.py": "the package from outside: chunking/__init__.py",
    "tests/chunking/test_whole_releases.py": "split, verify and merge on full-size models",
    "tests/export/models/test_golden.py": "all networks, against the reference's outputs",
    "tests/export/test_full_size.py": "the four files that are shipped, from weights to lock",
    "tests/export/test_planted_defects.py": "export, lock, check and proof, each defect planted",
    "tests/export/test_weights_beside_the_file.py": "finish, build, lock and check of two files",
    "tests/parity/gate/test_planted_regressions.py": "all rules, each regression planted",
    "tests/parity/locate/test_full_size.py": "all of it, on full-size networks",
    "tests/parity/locate/test_planted_faults.py": "all of it, each fault planted",
    "tests/parity/locate/test_right_files.py": "all of it, on files that have no fault",
    "tests/parity/release/test_shipped_references.py": "assemble, gate, verify: references",
    "tests/parity/report/html/test_browser.py": "the whole page, in a browser",
    "tests/parity/test_changed_outputs.py": "`parity run`, each way of a wrong output planted",
    "tests/parity/test_docs.py": "docs/parity.md",
    "tests/parity/test_guards.py": "lines without which a wrong file passes, taken out",
    "tests/parity/test_peak_memory.py": "whole processes of `parity run`",
    "tests/parity/test_real_weights.py": "`parity run` on published weights and pictures",
    "tests/parity/test_resume.py": "`parity run`, interrupted",
    "tests/parity/test_variants.py": "`parity run` on several files of one network",
    "tests/parity/test_ways_to_be_fooled.py": "`parity run`, with nothing to earn a pass",
    "tests/runtime/serve/test_browser.py": "the whole page, in a browser",
    "tests/runtime/test_dockerfile.py": "Dockerfile",
    "tests/runtime/test_docs.py": "docs/runtime.md",
    "tests/runtime/test_full_size.py": "session, tiles and detector on full-size networks",
    "tests/runtime/test_hostile.py": "damaged and hostile pictures, through the command line",
    "tests/runtime/test_without_torch.py": "what the package imports, in fresh processes",
    "tests/sample_dataset/test_sample_dataset.py": "the committed pictures",
}


def test_tests_mirror_the_product() -> None:
    """Each file of tests has the name of what it tests, or stands in the table above."""
    names = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 100
    of_one = {n for n in names if (ROOT / n.with_name(n.name.removeprefix("test_"))).is_file()}
    others = {f"tests/{name.as_posix()}" for name in names if name not in of_one}
    assert others == OVER_SEVERAL.keys()


def map_of_the_house() -> dict[str, tuple[str, int]]:
    """From docs/architecture.md: of each folder what happens there, and on which floor."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w/]+)` \| (.+) \| (\d+) \|$", page, re.MULTILINE)
    assert len({folder for folder, _, _ in rows}) == len(rows), "a folder stands there twice"
    return {folder: (what, int(floor)) for folder, what, floor in rows}


def test_the_map_has_every_folder_on_its_floor_and_no_other() -> None:
    floors = layers(rooms())
    there = {
        source.path.parent.relative_to(ROOT).as_posix(): floors[source.room]
        for source in sources()
        if source.module not in FACE
    }
    drawn = map_of_the_house()
    assert {folder: floor for folder, (_, floor) in drawn.items()} == there
    assert all(len(what.split()) >= 3 for what, _ in drawn.values())


def test_the_map_promises_the_limits_that_are_held() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    promised = f"{MOST_FILES} files, {MOST_FILES_A_FOLDER} a folder, {MOST_LINES} lines a file"
    assert promised in page
    assert f"at most {MOST_LAYERS} floors" in page
