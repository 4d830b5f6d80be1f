"""Code that is not ours: what it raises becomes an error with a hint.

A network's builder and forward, an exporter or a library may raise anything. `foreign` is the one
place that catches all of it; a test allows a broad ``except`` here and nowhere else.
"""

from __future__ import annotations

import logging
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError, UserError, first_line

if TYPE_CHECKING:
    import torch

OURS = ("trufor_onnx", "chunking", "export", "parity", "runtime")
LIBRARIES = (
    *("torch", "torchvision", "timm", "onnx", "onnx_ir", "onnxsim", "onnxruntime", "numpy"),
    *("onnxscript", "safetensors"),
)
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
MEMORY_SIGNS = ("not enough memory", "DefaultCPUAllocator", "out of memory", "bad_alloc")
INSTALL_HINT = "pip install 'trufor-onnx[export,timm]', or `make setup` in a checkout"
MEMORY_HINT = "end other programs, or use a machine with more memory"
PICTURE_HINT = "a picture too large for this machine's memory: crop it, or take it out"
LONGEST_REASON = 300  # characters of a library's text
# Operators that torchvision registers only with its compiled part, which does not load beside
# every build of torch. Networks that never call them import torchvision, and that wants them.
TORCHVISION_OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: list[torch.library.Library] = []  # a declaration lasts as long as its library object

logger = logging.getLogger(__name__)


@contextmanager
def foreign(
    what: str,
    *,
    hint: str,
    kind: type[UserError] = ExportError,
    memory_hint: str = MEMORY_HINT,
) -> Iterator[None]:
    """Run code of others inside the block; whatever it raises becomes one of our errors.

    Our own errors and Ctrl-C pass through, and a generator's end. So does nothing else: a builder
    that calls ``sys.exit(0)`` would end a command with the exit code of success, and one that
    raises what is no `Exception` with that of a failed comparison. What the code prints goes to
    standard error, because standard output may be somebody's JSON.

    Args:
        what: whose code does what, the start of the message: ``"tiny: building the network"``.
        hint: what mends it.
        kind: the error to raise.
        memory_hint: the hint where memory ran out, and only there.

    Raises:
        UserError: of ``kind``, with the reason in a line and the place in the user's file.
    """
    try:
        with redirect_stdout(sys.stderr), _torchvision_importable():
            yield
    except (UserError, KeyboardInterrupt, GeneratorExit):
        raise
    except SystemExit as error:
        raise kind(f"{what} ended the process (exit code {error.code})", hint=hint) from error
    except ModuleNotFoundError as error:
        own = (error.name or "").partition(".")[0] in LIBRARIES
        raise kind(
            f"{what} needs {error.name}, which is not installed{_place(error)}",
            hint=INSTALL_HINT if own else f"pip install what provides {error.name}; or {hint}",
        ) from error
    except BaseException as error:
        logger.debug("%s", what, exc_info=True)
        memory = out_of_memory(error)
        failed = "ran out of memory" if memory else "failed"
        raise kind(
            f"{what} {failed}: {reason_of(error)}{_place(error)}",
            hint=memory_hint if memory else hint,
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was what was missing: torch has no narrower error than RuntimeError for it."""
    text = _said(error)
    return isinstance(error, MemoryError) or any(sign in text for sign in MEMORY_SIGNS)


def _said(error: BaseException) -> str:
    """An error's text; "" also where making it is an error again, as ``traceback`` finds out."""
    shown = traceback.format_exception_only(error)[-1]
    return "" if shown.rstrip().endswith("<exception str() failed>") else str(error)


def reason_of(error: BaseException) -> str:
    """What an error of a library says, in a line that can be shown to a user.

    Without torch's advice to load files unsafely, without where to file bugs of torch, and with
    the error's kind where the text alone says little (``KeyError: 'int64'``).
    """
    line = first_line(error) if _said(error) else type(error).__name__
    if "weights_only" in line or "Weights only load failed" in line:
        line = "it reads a file that holds more than tensors, which is refused"
    line = re.split(r"\. Please|\s+\[Caused by", line)[0]
    if len(line) > LONGEST_REASON:
        line = line[:LONGEST_REASON] + "..."
    name = type(error).__name__
    return line if type(error) is RuntimeError or line.startswith(name) else f"{name}: {line}"


def _place(error: BaseException) -> str:
    """``" (networks.py, line 12)"``: the deepest line of the user's own code, or ""."""
    standard = Path(sysconfig.get_path("stdlib"))
    ours = Path(__file__).resolve().parents[1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        folder = next((n for n, part in enumerate(path.parts) if part in PACKAGE_FOLDERS), None)
        if folder is not None:
            theirs = path.parts[folder + 1].removesuffix(".py") not in (*LIBRARIES, *OURS)
        else:
            inside = any(path.is_relative_to(ours / package) for package in OURS)
            theirs = not inside and not path.is_relative_to(standard)
        if theirs and not frame.filename.startswith("<"):
            return f" ({path.name}, line {frame.lineno})"
    return ""


class _BeforeTorchvision:
    """Told of every import; before torchvision's, declares what its compiled part would."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Always None: the import goes on as ever."""
        if name == "torchvision" and path is None and target is None:
            _declare_operators()
        return None


@contextmanager
def _torchvision_importable() -> Iterator[None]:
    """Let torchvision be imported inside the block, also where its compiled part does not load."""
    finder = _BeforeTorchvision()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the code inside the block made its own list
            sys.meta_path.remove(finder)


def _declare_operators() -> None:
    if _library or find_spec("torch") is None:
        return
    import torch

    found: Any = PathFinder.find_spec("torchvision")
    for folder in found.submodule_search_locations or () if found else ():
        for compiled in Path(folder).glob("_C*.so"):
            with suppress(OSError):  # it was made for another build of torch
                torch.ops.load_library(str(compiled))  # type: ignore[no-untyped-call]  # as below
    # torch leaves these without types.
    declared = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in TORCHVISION_OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            declared.define(schema)  # type: ignore[no-untyped-call]  # as above
    _library.append(declared)
