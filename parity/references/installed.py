"""Installed distributions and the standard library, told from files without importing any."""

from __future__ import annotations

import re
import sys
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path

from trufor_onnx.files import sha256_bytes

MOST_SOURCE = 16 << 20  # bytes of a distribution's Python files; above it (torch) RECORD speaks
SITE = {"site-packages", "dist-packages"}
METADATA = (".dist-info", ".egg-info")


@dataclass(frozen=True)
class Installed:
    """A distribution's metadata, read as far as it is asked for.

    Attributes:
        folder: ``NAME-VERSION.dist-info``.
    """

    folder: Path

    @cached_property
    def headers(self) -> list[str]:
        """The lines of its metadata, without the description."""
        text = self._text("METADATA") or self._text("PKG-INFO")
        return text.partition("\n\n")[0].splitlines()

    @property
    def name(self) -> str:
        """As messages call it."""
        return self.folder.name.rpartition(".")[0].partition("-")[0]

    @property
    def plain_name(self) -> str:
        """In one spelling of the several that name it."""
        return _plain(self.name)

    @cached_property
    def version(self) -> str:
        """As its metadata says."""
        return "".join(line[9:] for line in self.headers if line.startswith("Version: "))

    @cached_property
    def needs(self) -> list[str]:
        """Plain names of the distributions that it needs; extras are left out."""
        lines = [line[15:] for line in self.headers if line.startswith("Requires-Dist: ")]
        found = [re.match(r"[\w.-]+", line) for line in lines if "extra ==" not in line]
        return [_plain(match.group()) for match in found if match]

    @cached_property
    def record(self) -> str:
        """Its list of files, a newline before each; "" where there is none."""
        text = self._text("RECORD")
        return text and f"\n{text}"

    @cached_property
    def tops(self) -> list[str]:
        """Its top-level modules, where it says so."""
        return self._text("top_level.txt").split()

    @property
    def in_site_packages(self) -> bool:
        """Whether an installer has put it there: else it goes by its files, too."""
        return self.folder.parent.name in SITE

    def _text(self, name: str) -> str:
        with suppress(OSError):
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        return ""


def is_standard(top: str, spec: ModuleSpec) -> bool:
    """The standard library's own, and not a file of a user that has taken such a name."""
    if spec.origin in ("built-in", "frozen"):
        return True
    if top not in sys.stdlib_module_names or spec.origin is None:
        return False
    path = Path(spec.origin)
    inside = any(path.is_relative_to(sysconfig.get_path(p)) for p in ("stdlib", "platstdlib"))
    return inside and not SITE & set(path.parts)


def owner_of(spec: ModuleSpec, top: str) -> Installed | None:
    """The distribution whose metadata lies beside a top-level module and says that it is its own.

    A folder on PYTHONPATH that takes an installed package's name has none; nor has an editable
    install, whose files lie elsewhere.
    """
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    beside = installed(str(Path(places[0]).parent)) if places[0] else ()
    names = (f"\n{top}/", f"\n{top}.")
    for found in beside:
        own = _plain(top) == found.plain_name and not found.record
        if own or top in found.tops or any(name in found.record for name in names):
            return found
    return None


@cache
def installed(folder: str) -> tuple[Installed, ...]:
    """The distributions whose metadata lies in a folder."""
    try:
        found = sorted(Path(folder).iterdir())
    except OSError:
        return ()
    return tuple(Installed(path) for path in found if path.suffix in METADATA)


@cache
def by_name() -> dict[str, Installed]:
    """All installed distributions, by plain name; the first on the path counts."""
    found: dict[str, Installed] = {}
    for folder in sys.path:
        for given in installed(folder or "."):
            found.setdefault(given.plain_name, given)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def record_digest(owner: Installed, content: bool) -> str:
    """SHA-256 over a distribution's Python and compiled files, as its RECORD lists them.

    Two builds under one version differ in it. With ``content``, the Python files themselves are
    read, as far as they are not too many.
    """
    suffixes = (".py", *EXTENSION_SUFFIXES)
    listed = []
    size = 0
    for line in owner.record.splitlines():
        name, _, rest = line.partition(",")
        if name.endswith(suffixes) and not name.startswith(".."):
            listed.append(f"{name} {rest}")
            count = rest.rpartition(",")[2]
            size += int(count) if name.endswith(".py") and count.isdigit() else 0
    digests = []
    if content and size <= MOST_SOURCE:
        for line in listed:
            path = owner.folder.parent / line.partition(" ")[0]
            if path.suffix == ".py":
                digests.append(sha256_bytes(path.read_bytes()) if path.is_file() else "absent")
    return sha256_bytes("\n".join(listed + digests).encode())[:16]
