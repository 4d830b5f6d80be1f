"""What the package is, seen from outside: its names, its imports, its start."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import trufor_onnx.chunking as chunking

FOLDER = Path(chunking.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))
# Imported where a tensor's values are read.
LATE = ("initializers",)
MODULES = [path.stem for path in FILES if path.stem != "__main__"]


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path.name}"
            names.add(node.module or "")
    return names


def test_public_names_are_there_and_complete():
    assert len(set(chunking.__all__)) == len(chunking.__all__)
    for name in chunking.__all__:
        assert hasattr(chunking, name)
    public = {
        name
        for name, value in vars(chunking).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert public == set(chunking.__all__)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_the_standard_library_rich_and_numpy(path: Path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert roots <= set(sys.stdlib_module_names) | {"trufor_onnx", "rich", "numpy", "__future__"}


def test_nothing_imports_the_command_line():
    for path in FILES:
        if path.name != "__main__.py":
            assert "trufor_onnx.chunking.cli" not in imports(path)


def test_only_the_command_line_prints():
    for path in FILES:
        if path.name in ("cli.py", "console.py"):
            continue
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "print" not in names


def test_import_is_light():
    """No torch, onnx or numpy; rich only when a table or a bar is drawn."""
    names = ", ".join(f"trufor_onnx.chunking.{name}" for name in MODULES if name not in LATE)
    code = f"import sys, {names}; print(*{{name.split('.')[0] for name in sys.modules}})"
    code = code.replace(".__init__", "")
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "trufor_onnx" in output.split()
    heavy = {"torch", "onnx", "numpy", "onnxruntime", "PIL", "rich"}
    assert not heavy & set(output.split())


def test_import_leaves_the_process_alone():
    code = """if True:
        import os, signal, sys, threading, logging
        def state():
            return (threading.active_count(), signal.getsignal(signal.SIGINT), os.getcwd(),
                    sys.getrecursionlimit(), logging.getLogger().level, dict(os.environ),
                    logging.getLogger().handlers, sys.excepthook)
        before = state()
        import trufor_onnx.chunking.cli
        assert state() == before
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_and_class_is_documented(name: str):
    module = importlib.import_module(f"trufor_onnx.chunking.{name}".removesuffix(".__init__"))
    assert module.__doc__
    for key, value in vars(module).items():
        if getattr(value, "__module__", "") == module.__name__ and not key.startswith("_"):
            assert getattr(value, "__doc__", None) or not callable(value), key
