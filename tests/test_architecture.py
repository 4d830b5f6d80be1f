"""The layout, held by reading the imports of every file."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("chunking", "export", "runtime", "parity")

# What each package may import of ours, beside itself.
MAY_IMPORT = {
    "chunking": (),
    "export": ("chunking",),
    "runtime": ("chunking", "export.spec", "export.preprocess", "export.toolchain"),
    "parity": ("chunking", "export", "runtime"),
}
# Imported inside functions, so that command lines, merging and the runtime start without them.
HEAVY = ("torch", "torchvision", "timm", "onnx", "onnx_ir", "onnxsim", "onnxruntime", "matplotlib")
# The networks are torch code from the first line; `ModelSpec.build` imports them when one is built.
HEAVY_AT_THE_TOP = ("export.models.",)

MOST_LINES = 400
# Longer files, each with its reason.
LONG: dict[str, str] = {}


@dataclass(frozen=True)
class Source:
    """A file of the product."""

    module: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


@cache
def sources() -> tuple[Source, ...]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
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


def test_every_package_is_read() -> None:
    modules = {source.module for source in sources()}
    assert {"chunking.atomic", "export.cli", "export.models.trufor", "parity.run"} <= modules


def test_import_directions() -> None:
    """Also of imports inside functions and for type checkers."""
    ours = set(PACKAGES)

    def wrong() -> Iterator[str]:
        for source in sources():
            allowed = (source.package, *MAY_IMPORT[source.package])
            for node in ast.walk(source.tree):
                names = list(imports(source, iter([node])))
                if not names or names[0].partition(".")[0] not in ours:
                    continue
                # `from export import spec` is right if `export.spec` is.
                targets = names[1:] if isinstance(node, ast.ImportFrom) else names
                base = names[0]
                for target in targets:
                    if not any(within(target, a) or within(base, a) for a in allowed):
                        yield f"{source.name} imports {target}; may import {', '.join(allowed)}"

    faults_of(wrong())


def test_nothing_imports_a_command_line() -> None:
    def wrong() -> Iterator[str]:
        for source in sources():
            if source.module.endswith(".__main__"):
                continue
            for name in imports(source, ast.walk(source.tree)):
                if any(within(name, f"{package}.cli") for package in PACKAGES):
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
            if source.module.startswith("export.models"):
                continue
            for name in imports(source, at_import(source.tree)):
                if within(name, "export.models"):
                    yield f"{source.name} imports {name} at its top"

    faults_of(wrong())


def test_one_caller_of_torch_onnx_export() -> None:
    def wrong() -> Iterator[str]:
        for source in sources():
            for node in ast.walk(source.tree):
                if isinstance(node, ast.Attribute | ast.Name):
                    text = ast.unparse(node)
                    if text in ("torch.onnx.export", "onnx.export", "torch.onnx.dynamo_export"):
                        yield source.name

    assert set(wrong()) == {"export/to_onnx.py"}


def test_one_importer_of_timm() -> None:
    found = {
        source.name
        for source in sources()
        for name in imports(source, ast.walk(source.tree))
        if within(name, "timm")
    }
    assert found == {"export/timm_specs.py"}


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


def test_files_have_one_job() -> None:
    lengths = {s.name: len(s.path.read_text("utf-8").splitlines()) for s in sources()}
    long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES}
    unreasoned = {name: lines for name, lines in long.items() if name not in LONG}
    assert not unreasoned, f"split these, or give a reason here: {unreasoned}"
    assert not LONG.keys() - long.keys(), "these are short enough: take them off the list"


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
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES:
            found |= {alias.asname or alias.name for alias in node.names}
    return {name for name in found if not name.startswith("_")}


WITH_ALL = [
    source
    for source in sources()
    if any(
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
