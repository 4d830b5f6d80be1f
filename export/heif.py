"""HEIC pictures of phones, where the plugin ``pillow-heif`` is installed."""

from __future__ import annotations

from functools import cache

from export.errors import PreprocessError

FORMAT = "HEIF"
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")


def registered(data: bytes, name: str) -> tuple[str, ...]:
    """The further formats that pillow is to try for this file: ``("HEIF",)`` or none.

    Args:
        data: the file's bytes; its ISO base media brand decides, so that others cost nothing.
        name: what errors call it.

    Raises:
        PreprocessError: it is a HEIC picture and the plugin is not installed.
    """
    if data[4:8] != b"ftyp" or data[8:12] not in _BRANDS:
        return ()
    if not _register():
        raise PreprocessError(
            f"{name}: a HEIC picture, and the plugin that reads them is not installed",
            hint="pip install pillow-heif",
        )
    return (FORMAT,)


@cache
def _register() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
