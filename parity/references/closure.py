"""Which code computes something: all that its imports can reach, found without running any of it.

From a module's name its imports are followed, those inside functions too. Of our own code and of a
user's own files the closure has the SHA-256 of the source (of a user's package: of every file in
it, since a package may import its parts by made-up names); of an installed distribution its
version and what its files are. The standard library goes by Python's version.

What cannot be followed (an import by a name that is only made when it runs, a changed `sys.path`,
a module without source) is named in `unseen`: results of such code are not kept at all.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import pkgutil
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from itertools import accumulate
from pathlib import Path

from trufor_onnx.documents import canonical
from trufor_onnx.files import sha256_bytes, sha256_file
from trufor_onnx.parity.references.installed import (
    Installed,
    by_name,
    is_standard,
    owner_of,
    record_digest,
)

OWN = {__name__.partition(".")[0]}  # this program: however installed, it goes by its files
MAIN = "__main__"
MOST_FILES = 4000  # of a user's package
LARGEST_DATA = 256 << 20  # bytes of a file that code names
RUNS_CODE = (
    "exec",
    "eval",
    "spec_from_file_location",
    "SourceFileLoader",
    "run_path",
    "run_module",
)
IMPORTS = ("import_module", "__import__")
FILE_NAME = re.compile(r"""["']([^"'\s]{1,200}\.\w{1,12})["']""")  # in quotes, with an ending


@dataclass(frozen=True)
class Closure:
    """Code that is reached.

    Attributes:
        files: SHA-256 by module, or by the name of a data file.
        packages: installed distributions, with version and digest.
        unseen: why some of it is not known; such code has no key.
    """

    files: Mapping[str, str]
    packages: Mapping[str, str]
    unseen: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over all of it, and Python's version."""
        python = platform.python_version()
        return sha256_bytes(canonical([python, dict(self.files), dict(self.packages)]).encode())


@cache
def closure(*starts: str, content: bool = False) -> Closure:
    """What some modules reach by imports; looked up once in a process.

    Args:
        starts: names of modules; none of them is imported.
        content: hold the installed distributions that they import to the content of their Python
            files too, so that one that was edited in its place is another one.
    """
    walk = _ImportWalk()
    for name in starts:
        walk.add(name, f"{name} is not there")
    packages = {
        name: f"{found.version} {record_digest(found, content and name in walk.direct)}"
        for name, found in sorted(walk.packages.items())
    }
    return Closure(dict(sorted(walk.files.items())), packages, tuple(sorted(walk.unseen)))


def strangers(names: Iterable[str], known: Closure) -> list[str]:
    """Those of some loaded modules that a closure should have, and has not."""
    found = []
    for given in names:
        module = sys.modules.get(given)
        spec = getattr(module, "__spec__", None)
        if spec is None or spec.origin is None:  # made by a program, not read from a file
            continue
        if module is sys.modules.get(MAIN):  # it was there before, and got a second name
            continue
        name = spec.name  # some modules stand under two names
        top = name.partition(".")[0]
        if top in OWN or name in known.files or is_standard(top, spec):
            continue
        if owner_of(_top_spec(top) or spec, top) is None:
            found.append(name)
    return sorted(found)


@dataclass
class _ImportWalk:
    """The walk from module to module."""

    files: dict[str, str] = field(default_factory=dict)
    packages: dict[str, Installed] = field(default_factory=dict)
    direct: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    def add(self, name: str, if_absent: str = "") -> None:
        """A module with its parents, and all that they import."""
        waiting = [name]
        while waiting:
            name = waiting.pop()
            for part in accumulate(name.split("."), "{}.{}".format):
                if part not in self._seen:
                    self._seen.add(part)
                    waiting += self._visit(part)
        if if_absent and name not in self.files and not _find(name):
            self.unseen.add(if_absent)

    def _visit(self, name: str) -> list[str]:
        """Enter one module; the names that it imports."""
        top = name.partition(".")[0]
        spec = _find(name)
        if spec is None:
            if name == MAIN:
                self.unseen.add("it was typed into a notebook or a prompt, which is no file")
            # `from a import b` names no module where b is a function. One that comes to be there
            # later makes another key; one that is never found fails when the network is built.
            if "." not in name:
                self.files[name] = "absent"
            return []
        if top not in OWN:
            if is_standard(top, spec):
                return []
            owner = owner_of(_top_spec(top) or spec, top)
            if owner is not None:
                self.direct.add(owner.name)
                self._add_package(owner)
                if owner.in_site_packages:
                    return []
            if name == top and spec.submodule_search_locations is not None:
                return self._tree(name, list(spec.submodule_search_locations))
        return self._file(name, spec)

    def _file(self, name: str, spec: ModuleSpec) -> list[str]:
        """One source file: its digest, and what it imports."""
        if name in self.files:
            return []
        if spec.origin is None:  # a folder without __init__.py
            self.files[name] = "namespace"
            return []
        path = Path(spec.origin)
        try:
            content = path.read_bytes()
        except OSError:
            self.unseen.add(f"{name}: its source cannot be read")
            return []
        self.files[name] = sha256_bytes(content)
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
            return []
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            self.unseen.add(f"{name}: no Python source")
            return []
        found = list(_imports(tree, package))
        is_own = name.partition(".")[0] in OWN
        if not is_own:
            found += self._dynamic(name, package, tree)
        for text in FILE_NAME.findall(content.decode("utf-8", "replace")):
            self.add_data(text, (path.parent,) if is_own else (path.parent, Path()))
        return found

    def _tree(self, name: str, places: list[str]) -> list[str]:
        """Every module of a user's package."""
        found: list[str] = []
        count = 0
        for place in places:
            for root, folders, names in os.walk(place):
                folders[:] = sorted(f for f in folders if f.isidentifier() and f != "__pycache__")
                below = ".".join([name, *Path(root).relative_to(place).parts])
                for file in sorted(names):
                    suffixes = (".py", *EXTENSION_SUFFIXES)
                    suffix = next((s for s in suffixes if file.endswith(s)), "")
                    count += bool(suffix)
                    if not suffix or count > MOST_FILES:
                        continue
                    stem = file.removesuffix(suffix)
                    module = below if stem == "__init__" else f"{below}.{stem}"
                    is_package = [root] if stem == "__init__" else None
                    spec = ModuleSpec(module, None, origin=str(Path(root) / file))
                    spec.submodule_search_locations = is_package
                    self._seen.add(module)
                    found += self._file(module, spec)
        if count > MOST_FILES:
            self.unseen.add(f"{name}: more than {MOST_FILES} files")
        self.files.setdefault(name, "namespace")
        return found

    def _dynamic(self, name: str, package: str, tree: ast.Module) -> Iterator[str]:
        """What a user's module imports or runs by other means than import statements."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                if ast.unparse(node) in ("sys.path", "sys.meta_path", "torch.hub"):
                    self.unseen.add(f"{name} uses {ast.unparse(node)}")
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                last = called.rpartition(".")[2]
                if last in IMPORTS:
                    yield from self._imported_by_name(name, package, node)
                elif last in RUNS_CODE and called != f"self.{last}" and not _is_method(node, last):
                    self.unseen.add(f"{name} calls {called}")

    def _imported_by_name(self, name: str, package: str, call: ast.Call) -> Iterator[str]:
        given = call.args[0] if call.args else None
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            level = len(given.value) - len(given.value.lstrip("."))
            yield _absolute(given.value[level:], level, package)
            return
        start = given.values[0] if isinstance(given, ast.JoinedStr) and given.values else None
        text = start.value if isinstance(start, ast.Constant) else ""
        inside = (".", f"{package.partition('.')[0]}.")  # every module of its package is known
        if not (package and isinstance(text, str) and text.startswith(inside)):
            self.unseen.add(f"{name} imports a module by a name that is made when it runs")

    def add_data(self, text: str, folders: Iterable[Path]) -> None:
        """A file that a text names, where there is one."""
        if not text or len(text) > 255 or "\n" in text or "\0" in text:
            return
        for folder in folders:
            path = folder / text
            try:
                if not path.is_file() or path.suffix == ".py":
                    continue
                size = path.stat().st_size
                whole = size <= LARGEST_DATA
                known = sha256_file(path) if whole else f"{size} {path.stat().st_mtime_ns}"
            except (OSError, ValueError):
                continue
            self.files[f"file {text}"] = known
            return

    def _add_package(self, owner: Installed) -> None:
        """An installed distribution, and those that it needs."""
        if owner.name in self.packages:
            return
        self.packages[owner.name] = owner
        for name in owner.needs:
            needed = by_name().get(name)
            if needed is not None:
                self._add_package(needed)


def data_files(texts: Iterable[str], module: str) -> dict[str, str]:
    """Files that some texts name, below the current folder or beside a module, with digests."""
    spec = _find(module)
    beside = [Path(spec.origin).parent] if spec and spec.origin else []
    walk = _ImportWalk()
    for text in texts:
        walk.add_data(text, (Path(), *beside))
    return walk.files


def _find(name: str) -> ModuleSpec | None:
    """Where a module is, without importing it or its parents."""
    top, *rest = name.split(".")
    spec = _top_spec(top)
    for number in range(len(rest)):
        if spec is None:
            return None
        below = ".".join([top, *rest[: number + 1]])
        loaded = getattr(sys.modules.get(below), "__spec__", None)
        if isinstance(loaded, ModuleSpec):
            spec = loaded
            continue
        loaded_parent = sys.modules.get(spec.name)
        places = getattr(loaded_parent, "__path__", None) or spec.submodule_search_locations
        spec = _below(below, list(places)) if places is not None else None
    return spec


@cache
def _top_spec(top: str) -> ModuleSpec | None:
    if top == MAIN:  # a script is read from its file; a notebook has none
        file = getattr(sys.modules.get(MAIN), "__file__", None)
        return ModuleSpec(MAIN, None, origin=str(file)) if file else None
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: loaded, and nobody says from where
        return None


def _below(name: str, places: list[str]) -> ModuleSpec | None:
    """A submodule in its package's folders; a folder without code of its own may be several."""
    portions: list[str] = []
    for place in places:
        importer = pkgutil.get_importer(place)
        find = getattr(importer, "find_spec", None)
        spec: ModuleSpec | None = find(name) if find else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += list(spec.submodule_search_locations or ()) if spec else []
    if not portions:
        return None
    found = ModuleSpec(name, None, is_package=True)
    found.submodule_search_locations = portions
    return found


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The modules that import statements name; ``from a import b`` may mean ``a.b``."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module or "", node.level, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        else:  # statements only: no expression holds an import
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, part, None)
                waiting += inner if isinstance(inner, list) else []


def _absolute(module: str, level: int, package: str) -> str:
    """A relative import's full name."""
    if not level:
        return module
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{module}".strip(".") if module else base


def _is_method(call: ast.Call, name: str) -> bool:
    """``module.eval()`` and the like: no built-in that runs text."""
    return name in ("exec", "eval") and isinstance(call.func, ast.Attribute)
