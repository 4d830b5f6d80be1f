"""Two hundred files that are no pictures to analyse: damaged, lying, or traps."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

CUTS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SIDES = ((65535, 65535), (2**31 - 1, 2**31 - 1), (100_000, 9_000), (1, 2**31 - 1), (0, 64), (64, 0))


def write_all(folder: Path) -> list[Path]:
    """Write them into a folder. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, data in _contents():
        path = folder / name
        assert not path.exists(), name
        path.write_bytes(data)
        paths.append(path)
    return paths + list(_special(folder))


def _contents() -> Iterator[tuple[str, bytes]]:
    yield from _cut()
    yield from _lying_about_size()
    yield from _damaged_png()
    yield from _damaged_others()
    yield from _no_pictures()
    yield from _too_small_and_too_deep()


def _noise(height: int, width: int) -> Image.Image:
    rng = np.random.default_rng(height * 1000 + width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _whole() -> dict[str, bytes]:
    image = _noise(64, 80)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "png": _encode(image, "PNG"),
        "jpg": _encode(image, "JPEG"),
        "progressive.jpg": _encode(image, "JPEG", progressive=True, exif=exif),
        "webp": _encode(image, "WEBP", quality=80),
        "lossless.webp": _encode(image, "WEBP", lossless=True),
        "tif": _encode(image, "TIFF"),
        "lzw.tif": _encode(image, "TIFF", compression="tiff_lzw"),
        "bmp": _encode(image, "BMP"),
        "gif": _encode(image, "GIF"),
    }


def _cut() -> Iterator[tuple[str, bytes]]:
    """Downloads that stopped: 90 of them."""
    for kind, data in _whole().items():
        for cut in CUTS:
            yield f"cut_{int(cut * 100):02}.{kind}", data[: int(len(data) * cut)]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, body: bytes, *, bits: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + body + _chunk(b"IEND", b"")


def _lying_about_size() -> Iterator[tuple[str, bytes]]:
    """Headers that claim sizes which nobody has memory for, or none at all: 45."""
    whole = _whole()
    small = _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    for width, height in SIDES:
        name = f"{width}x{height}"
        yield f"size_{name}.png", _png(width, height, small)
        yield f"grey_{name}.png", _png(width, height, small, bits=1, colour=0)
        sides = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
        start = whole["jpg"].index(b"\xff\xc0") + 5
        if (height & 0xFFFF) * (width & 0xFFFF) not in range(1, 64_000_000):
            yield f"size_{name}.jpg", whole["jpg"][:start] + sides + whole["jpg"][start + 4 :]
            screen = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
            gif = bytearray(whole["gif"])
            gif[6:10] = screen
            place = gif.index(b"\x2c\0\0\0\0") + 5
            gif[place : place + 4] = screen
            yield f"size_{name}.gif", bytes(gif)
        bmp = bytearray(whole["bmp"])
        bmp[18:26] = struct.pack("<II", width, height)
        yield f"size_{name}.bmp", bytes(bmp)
        yield f"size_{name}.tif", _tiff(width, height)
    # Small files that unpack to gigabytes, with right headers.
    for side in (20_000, 40_000):
        rows = zlib.compressobj(9)
        packed = b"".join(rows.compress(b"\0" * (side // 8 + 1)) for _ in range(side))
        yield (
            f"bomb_{side}.png",
            _png(side, side, _chunk(b"IDAT", packed + rows.flush()), bits=1, colour=0),
        )
    yield (
        "bomb.webp",
        _encode(Image.new("L", (16_383, 8_000)).convert("RGB"), "WEBP", lossless=True),
    )


def _tiff(width: int, height: int, **tags: int) -> bytes:
    """One strip of nothing."""
    entries = {
        256: width,
        257: height,
        258: 8,
        259: tags.get("compression", 1),
        262: 1,
        273: 8,
        277: 1,
        278: height,
        279: 100,
    }
    body = struct.pack("<H", len(entries))
    for tag, value in entries.items():
        body += struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", tags.get("following", 0))


def _damaged_png() -> Iterator[tuple[str, bytes]]:
    good = zlib.compress(b"\0" * (64 * (64 * 3 + 1)))
    bad_sum = bytearray(_png(64, 64, _chunk(b"IDAT", good)))
    bad_sum[30] ^= 1
    yield "sum.png", bytes(bad_sum)
    yield "no_data.png", _png(64, 64, b"")
    yield "no_zlib.png", _png(64, 64, _chunk(b"IDAT", b"\xff" * 500))
    yield "short_data.png", _png(64, 64, _chunk(b"IDAT", zlib.compress(b"\0" * 300)))
    yield "long_chunk.png", _png(64, 64, struct.pack(">I", 2**31 - 1) + b"IDAT" + good[:9])
    yield "colour.png", _png(64, 64, _chunk(b"IDAT", good), colour=5)
    yield "bits.png", _png(64, 64, _chunk(b"IDAT", good), bits=7)
    yield "no_palette.png", b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", b"\0" * 5)
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (1 << 27), 9))
    yield "text_bomb.png", _png(64, 64, text + _chunk(b"IDAT", b"\xff" * 50))
    profile = _chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x" * (1 << 27), 9))
    yield "profile_bomb.png", _png(64, 64, profile + _chunk(b"IDAT", b"\xff" * 50))
    many = _chunk(b"tEXt", b"k\0v") * 20_000
    yield "many_chunks.png", _png(64, 64, many)


def _damaged_others() -> Iterator[tuple[str, bytes]]:
    whole = _whole()
    for kind in ("jpg", "progressive.jpg", "webp", "lossless.webp", "lzw.tif"):
        for place in (12, 20):
            data = bytearray(whole[kind])
            data[place : place + 400] = b"\xff" * 400
            yield f"overwritten_{place}.{kind}", bytes(data)
    yield "only_start.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 100
    yield "no_scan.jpg", b"\xff\xd8\xff\xd9"
    yield "markers.jpg", b"\xff\xd8" + b"\xff\xe1\x00\x02" * 5000
    yield "loop.tif", _tiff(64, 64, following=8)[:100] + struct.pack("<I", 8)
    yield "far.tif", b"II*\0" + struct.pack("<I", 2**32 - 2)
    yield "own_directory.tif", b"II*\0" + struct.pack("<I", 4)
    yield "compression.tif", _tiff(64, 64, compression=34_712)
    yield "big.tif", b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63)
    yield "many_entries.tif", b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 2000
    yield "heic.heic", b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + b"\0" * 200
    yield "heic_cut.heic", b"\0\0\0\x18ftypmif1"
    yield "riff.webp", b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WEBPVP8X" + b"\xff" * 60
    yield "empty.webp", b"RIFF\x04\0\0\0WEBP"


def _no_pictures() -> Iterator[tuple[str, bytes]]:
    texts = {
        "empty.png": b"",
        "text.jpg": b"hello " * 1000,
        "page.png": b"<!doctype html><html><body>404</body></html>",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        "program.jpg": b"\x7fELF" + b"\0" * 500,
        "archive.jpg": b"PK\x03\x04" + b"\0" * 500,
        "packed.jpg": b"\x1f\x8b\x08" + b"\0" * 500,
        "print.eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n",
        "paper.png": b"%PDF-1.7\n" + b"\0" * 500,
        "zeros.jpg": b"\0" * 100_000,
        "pointer.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "one.gif": b"G",
        "mark.bmp": b"BM",
        "playlist.png": b"#EXTM3U\n/etc/passwd\n",
    }
    yield from texts.items()
    for index in range(15):
        rng = np.random.default_rng(index)
        yield f"random_{index}.jpg", rng.bytes(5000)


def _too_small_and_too_deep() -> Iterator[tuple[str, bytes]]:
    for height, width in ((1, 1), (31, 64), (64, 31), (8, 8)):
        yield f"small_{height}x{width}.png", _encode(_noise(height, width), "PNG")
    for mode in ("F", "I"):
        yield f"deep_{mode}.tif", _encode(Image.new(mode, (64, 64)), "TIFF")


def _special(folder: Path) -> Iterator[Path]:
    """What is no file: a pipe, a device, a folder, links to nothing and to themselves."""
    made = [folder / f"special_{name}.png" for name in ("pipe", "folder", "self", "none", "device")]
    os.mkfifo(made[0])
    made[1].mkdir()
    made[2].symlink_to(made[2])
    made[3].symlink_to(folder / "nothing")
    made[4].symlink_to("/dev/zero")
    yield from made
    yield folder / "absent.png"
