"""``python -m chunking``: split, merge, verify, inspect and prune from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from trufor_onnx.chunking import views as text_view
from trufor_onnx.chunking.folders import expand_files, expand_folders, open_folder
from trufor_onnx.chunking.inspecting import DEFAULT_MAX, DEFAULT_TARGET, Inspection, inspect
from trufor_onnx.chunking.merging import Merged, merge
from trufor_onnx.chunking.pruning import Pruned, prune
from trufor_onnx.chunking.splitting import Split, split
from trufor_onnx.chunking.verifying import Verification, verify
from trufor_onnx.chunking.views import Result, byte_progress, document
from trufor_onnx.console import EXIT_FAILED, EXIT_OK, run_cli
from trufor_onnx.errors import ChunkingError, UserError
from trufor_onnx.files import format_size, parse_size
from trufor_onnx.options import add_option

PROGRAM = "python -m chunking"
PIPED_WIDTH = 160  # columns of a table where the output is no terminal


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print. Returns the exit code: 0 done, 1 something is wrong, 2 could not."""
    return run_cli(_main, argv)


def _main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    paths: Sequence[Path] = args.expand(args.path)
    if len(paths) > 1 and getattr(args, "out", None) is not None:
        raise ChunkingError(
            f"--out names one place, and {args.path} means {len(paths)}",
            hint=f"run {PROGRAM} {args.command} on each of them",
        )
    results: list[Result] = []
    errors: list[tuple[Path, UserError]] = []
    for path in paths:
        try:
            result = args.run(args, path)
        except UserError as error:
            errors.append((path, error))
            print(f"error: {error}", file=sys.stderr)
        else:
            results.append(result)
            if not args.json:
                _print(result)
    if args.json:
        _say(document(args.command, results, errors))
    wrong = any(isinstance(result, Verification) and result.faults for result in results)
    codes = [error.exit_code for _, error in errors] + [EXIT_FAILED if wrong else EXIT_OK]
    return max(codes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=PROGRAM,
        description="Cut files into pieces that git hosts take, and merge them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    cut = _command(commands, "split", _split, expand_files, "cut a file into pieces")
    cut.add_argument("path", type=Path, metavar="FILE", help="a file, or a folder: all its *.onnx")
    add_option(cut, "--out", " (default: NAME.chunks beside it)")
    target, largest = (format_size(n).replace(".0 ", "") for n in (DEFAULT_TARGET, DEFAULT_MAX))
    text = f"size at which a piece is full (default: {target})"
    cut.add_argument("--target", type=parse_size, default=DEFAULT_TARGET, metavar="SIZE", help=text)
    also = f"; here, no piece (default: {largest})"
    add_option(cut, "--max-size", also, old=("--max",), default=DEFAULT_MAX)
    add_option(
        cut,
        "--force",
        ": replace also what is not whole, or not what the lock or the manifest there is of",
    )

    join = _command(commands, "merge", _merge, expand_folders, "put a file back together")
    _add_folder(join)
    add_option(join, "--out", " (default: its name, beside DIR)", metavar="FILE")
    add_option(join, "--force", ": replace what no merge wrote, whatever the lock beside it says")

    check = _command(commands, "verify", _verify, expand_folders, "check without merging")
    _add_folder(check)
    check.add_argument(
        "--full", action="store_true", help="also the whole file's digest, and where it is cut"
    )

    look = _command(commands, "inspect", _inspect, expand_folders, "which tensors lie where")
    _add_folder(look)
    look.add_argument("--against", type=Path, metavar="OLD", help="compare with this release")

    clean = _command(commands, "prune", _prune, _itself, "remove pieces of no release")
    clean.add_argument("path", type=Path, metavar="DIR", help="a folder of pieces")
    clean.add_argument(
        "--keep",
        action="extend",
        type=Path,
        nargs="+",
        required=True,
        metavar="MANIFEST",
        help="releases to keep",
    )
    clean.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    add_option(clean, "--force", ": remove pieces that the lock beside DIR may be of")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace, Path], Result],
    expand: Callable[[Path], list[Path]],
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, allow_abbrev=False, help=text, description=text.capitalize() + "."
    )
    add_option(parser, "--json")
    parser.set_defaults(run=run, expand=expand)
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        type=Path,
        metavar="DIR",
        help="a folder of pieces, a manifest in one, or a folder: all its *.chunks",
    )


def _itself(path: Path) -> list[Path]:
    return [path]


def _split(args: argparse.Namespace, path: Path) -> Split:
    size = path.stat().st_size if path.is_file() else 0
    with byte_progress(f"split {path.name}", size) as on_bytes:
        return split(
            path,
            args.out,
            target=args.target,
            maximum=args.max_size,
            force=args.force,
            on_bytes=on_bytes,
        )


def _merge(args: argparse.Namespace, path: Path) -> Merged:
    size = open_folder(path).manifest.file.size
    with byte_progress(f"merge {path.name}", size) as on_bytes:
        return merge(path, args.out, force=args.force, on_bytes=on_bytes)


def _verify(args: argparse.Namespace, path: Path) -> Verification:
    size = open_folder(path).manifest.file.size
    with byte_progress(f"verify {path.name}", 2 * size if args.full else size) as on_bytes:
        return verify(path, full=args.full, on_bytes=on_bytes)


def _inspect(args: argparse.Namespace, path: Path) -> Inspection:
    return inspect(path, against=args.against)


def _prune(args: argparse.Namespace, path: Path) -> Pruned:
    return prune(path, args.keep, dry_run=args.dry_run, force=args.force)


def _print(result: Result) -> None:
    lines: Iterable[str]
    match result:
        case Split():
            lines = text_view.split_lines(result)
        case Merged():
            lines = text_view.merge_lines(result)
        case Verification():
            lines = text_view.verify_lines(result)
        case Pruned():
            lines = text_view.prune_lines(result)
        case Inspection():
            lines = text_view.inspect_lines(result)
    _say(*lines)
    if isinstance(result, Inspection):
        _print_table(result)


def _say(*lines: str) -> None:
    """Print, with escapes for what the terminal's encoding lacks: a path may hold any bytes."""
    encoding = sys.stdout.encoding
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def _print_table(result: Inspection) -> None:
    from rich.console import Console  # here: the other commands start faster without it

    from trufor_onnx.chunking.views import pieces_table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(pieces_table(result))
