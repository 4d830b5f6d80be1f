"""Single files out of a zip that somebody else made: whole, checked, and where we say.

Names inside an archive never become paths: the caller says where a member goes. An archive that
has a name pointing outside its own folder, a link or a device in it is refused as a whole, because
nobody makes one by accident.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from trufor_onnx.errors import ExportError
from trufor_onnx.files import BLOCK_BYTES, atomic_writer, check_space, explained

_ENCRYPTED = 0x1  # bit 0 of a member's flags (PKWARE APPNOTE 4.4.4)


class ArchiveError(ExportError):
    """An archive is not usable: damaged, unsafe, or without the file that is needed."""


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for `members`, `read_member` and `extract_member`.

    Raises:
        ArchiveError: the file is missing, unreadable or no zip.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        hint = "it may be cut short or be a web page; delete it and fetch it again"
        raise ArchiveError(f"{path}: not a zip archive ({error})", hint=hint) from error
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}", hint="give the path of a zip") from error
    with archive:
        yield archive


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's regular files by name, after every entry was found to be safe.

    Raises:
        ArchiveError: an entry points outside its folder, is a link or a device, is encrypted, or
            two entries share a name. All of them are listed.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    faults = []
    for info in archive.infolist():
        fault = _fault(info)
        if fault is None and info.filename in found:
            fault = "is there twice"
        if fault is not None:
            faults.append(f"{info.orig_filename!r} {fault}")
        elif not info.is_dir():
            found[info.filename] = info
    if faults:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise ArchiveError(
            f"{archive.filename}: unsafe archive, nothing was unpacked: {shown}",
            hint="it is not as its publisher made it; delete it and fetch it from the source",
        )
    return found


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, max_bytes: int) -> bytes:
    """The content of one small member, its size and CRC-32 checked.

    Raises:
        ArchiveError: it is damaged, or larger than ``max_bytes``.
    """
    return b"".join(_blocks(archive, info, max_bytes))


def extract_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, destination: Path, *, max_bytes: int
) -> str:
    """Unpack one member to ``destination``, whole or not at all.

    Returns:
        The SHA-256 of what was written.

    Raises:
        ArchiveError: it is damaged or larger than ``max_bytes``.
        StorageError: it cannot be written. The old ``destination`` is then as it was.
    """
    digest = hashlib.sha256()
    with explained("write", destination, needed=info.file_size):
        check_space(destination.parent, info.file_size)
        with atomic_writer(destination) as stream:
            for block in _blocks(archive, info, max_bytes):
                digest.update(block)
                stream.write(block)
    return digest.hexdigest()


def _fault(info: zipfile.ZipInfo) -> str | None:
    """What makes an entry unsafe, or None."""
    name = info.orig_filename
    path = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or path.is_absolute() or ":" in path.parts[0]:
        return "has an unsafe name"
    if ".." in path.parts:
        return "points outside its folder"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> Iterator[bytes]:
    """A member's content in blocks; never more than it declares, and that at most ``max_bytes``."""
    where = f"{archive.filename}: {info.filename}"
    if info.file_size > max_bytes:
        raise ArchiveError(
            f"{where}: would unpack to {info.file_size:,} bytes, more than {max_bytes:,}",
            hint="it is not the file that is expected here; fetch the archive from the source",
        )
    hint = "the archive is damaged; delete it and fetch it again"
    seen = 0
    try:
        with archive.open(info) as stream:
            while block := stream.read(BLOCK_BYTES):
                seen += len(block)
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ArchiveError(f"{where}: cannot be unpacked: {error}", hint=hint) from error
    if seen != info.file_size:
        raise ArchiveError(f"{where}: {seen:,} bytes, not {info.file_size:,}", hint=hint)
