"""``trufor-onnx``, or ``python -m trufor_onnx``: one command over those of all packages."""

from __future__ import annotations

import importlib
import sys

from trufor_onnx.console import EXIT_COULD_NOT, EXIT_OK

# The command, the module whose ``main(argv)`` it calls, and what is put before its arguments.
COMMANDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "export": (
        "trufor_onnx.export.cli",
        (),
        "export networks to ONNX; `export list`, `check`, `weights`",
    ),
    "parity": ("trufor_onnx.parity.cli", (), "compare ONNX files with PyTorch: `parity run`"),
    "chunking": ("trufor_onnx.chunking.cli", (), "split, merge, verify, inspect, prune"),
    "split": ("trufor_onnx.chunking.cli", ("split",), "short for `chunking split`"),
    "merge": ("trufor_onnx.chunking.cli", ("merge",), "short for `chunking merge`"),
    "verify": ("trufor_onnx.chunking.cli", ("verify",), "short for `chunking verify`"),
    "runtime": ("trufor_onnx.runtime.cli", (), "analyse images without torch"),
    "analyze": ("trufor_onnx.runtime.cli", (), "the same: `analyze IMAGE... --out DIR`"),
    "serve": (
        "trufor_onnx.runtime.serve.cli",
        (),
        "a local page: drop an image, see map and score",
    ),
}


def main() -> int:
    """Run one command. Returns its exit code."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return EXIT_OK
    if name not in COMMANDS:
        print(f"error: no command {name!r}\n\n{usage()}", file=sys.stderr)
        return EXIT_COULD_NOT
    module, before, _ = COMMANDS[name]
    result: int = importlib.import_module(module).main([*before, *rest])
    return result


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:10} {text}" for name, (_, _, text) in COMMANDS.items()]
    return "usage: trufor-onnx COMMAND ...\n\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
