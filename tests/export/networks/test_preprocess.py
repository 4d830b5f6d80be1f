"""Pictures become the numbers that the networks were trained on, or an error that names them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from trufor_onnx.errors import PreprocessError
from trufor_onnx.export.networks import preprocess
from trufor_onnx.export.networks import preprocess as heif
from trufor_onnx.export.networks.preprocess import decode as decode_picture
from trufor_onnx.export.networks.preprocess import read_image, to_input
from trufor_onnx.export.networks.spec import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

Pixels = npt.NDArray[np.uint8]
ORIENTATION = 0x0112

# Height 4, width 6, no two pixels alike: every flip and turn shows.
PIXELS: Pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3) * 3


def encode(pixels: Pixels | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode(data: bytes) -> Pixels:
    found = decode_picture(data, "picture").rgb
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3
    assert found.flags.c_contiguous
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_are_exact(kind: str, options: dict[str, Any]) -> None:
    assert np.array_equal(decode(encode(PIXELS, kind, **options)), PIXELS)


def test_jpeg() -> None:
    smooth = np.zeros((16, 16, 3), np.uint8)
    smooth[:] = (200, 100, 50)
    found = decode(encode(smooth, "JPEG", quality=95))
    assert np.abs(found.astype(int) - smooth).max() <= 2


UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(PIXELS, kind, exif=exif, **options)
    assert np.array_equal(decode(data), UPRIGHT[orientation](PIXELS))


def test_broken_exif_does_not_lose_the_picture() -> None:
    data = encode(PIXELS, "PNG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert np.array_equal(decode(data), PIXELS)


def test_grey() -> None:
    grey = PIXELS[:, :, 0]
    assert np.array_equal(decode(encode(Image.fromarray(grey))), np.stack([grey] * 3, axis=2))


def test_black_and_white() -> None:
    bits = PIXELS[:, :, 0] % 2 == 1
    found = decode(encode(Image.fromarray(bits)))
    assert np.array_equal(found[:, :, 1], np.where(bits, 255, 0))


@pytest.mark.parametrize("transparency", [None, 3, b"\x00\x80\xff"])
def test_palette(transparency: Any) -> None:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3), "L").convert("P")
    image.putpalette(PIXELS[0].tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    assert np.array_equal(decode(encode(image, **options)).reshape(6, 3), PIXELS[0])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_not_blended(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    image.putalpha(7)
    expected = np.asarray(Image.fromarray(PIXELS).convert(mode[:-1]).convert("RGB"))
    assert np.array_equal(decode(encode(image)), expected)


def test_cmyk() -> None:
    image = Image.fromarray(PIXELS).convert("CMYK")
    assert np.array_equal(decode(encode(image, "TIFF")), np.asarray(image.convert("RGB")))


def test_animations_give_their_first_frame() -> None:
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (10, 200)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data) == 10).all()


def test_the_two_pictures_of_a_phone() -> None:
    """An MPO file begins as a JPEG file and has a second picture behind it."""
    first = Image.fromarray(np.full((8, 8, 3), 100, np.uint8))
    second = Image.fromarray(np.full((8, 8, 3), 200, np.uint8))
    found = decode(encode(first, "MPO", save_all=True, append_images=[second]))
    assert np.abs(found.astype(int) - 100).max() <= 1


def png(bits: int, colour_type: int, channels: int) -> bytes:
    """A PNG file of 3 x 2 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = b"\0" + bytes(range(3 * channels * bits // 8))
    header = struct.pack(">IIBBBBB", 3, 2, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["L", "RGB", "LA", "RGBA"]
)
def test_of_sixteen_bits_the_upper_eight_are_kept(colour_type: int, channels: int) -> None:
    """Also of grey, which pillow's own conversion would clip at 255."""
    assert decode(png(8, colour_type, channels)).shape == (2, 3, 3)
    found = decode_picture(png(16, colour_type, channels), "picture")
    values = np.arange(3 * channels * 2, dtype=np.uint8)[::2].reshape(3, channels)
    colours = values[:, :3] if channels > 2 else np.repeat(values[:, :1], 3, axis=1)
    assert np.array_equal(found.rgb, np.stack([colours, colours]))
    assert "more than 8 bits a channel: the upper 8 are kept" in found.notes


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey(kind: str) -> None:
    levels = np.array([[0, 255, 256, 0x80FF, 0xFFFF]], np.uint16)
    found = decode(encode(Image.fromarray(levels), kind))
    assert np.array_equal(found[0, :, 1], [0, 0, 1, 0x80, 0xFF])


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_without_a_scale_are_refused(mode: str) -> None:
    with pytest.raises(PreprocessError, match=f"mode {mode} has more than 16 bits") as refusal:
        decode(encode(Image.new(mode, (4, 4)), "TIFF"))
    assert "8-bit RGB" in refusal.value.hint


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PreprocessError, match="picture: 6 x 4 are too many pixels") as refusal:
        decode_picture(encode(PIXELS), "picture", largest_pixels=23)
    assert "the limit is 23 pixels" in refusal.value.hint
    assert decode_picture(encode(PIXELS), "picture", largest_pixels=24).rgb.shape == (4, 6, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(PreprocessError, match="too many pixels"):
        decode(encode(PIXELS))


def test_large_pictures_below_the_limit_do_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # pillow warns from here, fails from twice
    assert np.array_equal(decode(encode(PIXELS)), PIXELS)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(PIXELS, exif=exif)


FRAMES = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (10, 200)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (encode(PIXELS), []),
        (turned(1), []),
        (turned(9), []),
        (turned(6), ["turned upright"]),
        (encode(Image.fromarray(PIXELS[:, :, 0])), ["grey"]),
        (encode(Image.fromarray(PIXELS).convert("RGBA")), ["transparency dropped"]),
        (encode(Image.fromarray(PIXELS).convert("CMYK"), "TIFF"), ["CMYK"]),
        (encode(Image.fromarray(PIXELS).quantize(4)), ["palette"]),
        (encode(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), ["several frames"]),
    ],
    ids=["plain", "upright", "no-orientation", "turned", "grey", "alpha", "cmyk", "palette", "gif"],
)
def test_what_was_done_is_said(data: bytes, said: list[str]) -> None:
    notes = decode_picture(data, "picture").notes
    assert len(notes) >= len(said)
    assert all(any(note.startswith(text) for note in notes) for text in said)
    if not said:
        assert notes == ()


def test_heic() -> None:
    plugin = pytest.importorskip("pillow_heif", reason="the HEIC plugin is not installed")
    smooth = np.zeros((64, 48, 3), np.uint8)
    smooth[:32] = (200, 100, 50)
    file = plugin.from_bytes("RGB", (48, 64), smooth.tobytes())
    stream = io.BytesIO()
    file.save(stream, quality=-1)
    found = decode_picture(stream.getvalue(), "picture")
    assert found.format == "HEIF"
    assert np.abs(found.rgb.astype(int) - smooth).mean() < 3


def test_heic_without_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "_register", lambda: False)
    with pytest.raises(PreprocessError, match="a HEIC picture, and the plugin") as refusal:
        decode(b"\0\0\0\x1cftypheic" + b"\0" * 40)
    assert "pip install pillow-heif" in refusal.value.hint


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n"


@pytest.mark.parametrize("data", [b"", b"hello", b"<html></html>", b"\0" * 100, EPS])
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(PreprocessError, match="picture: not a picture of a format that is read"):
        decode(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_cut_anywhere(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    whole = encode(noise, kind)
    for length in range(0, len(whole) * 9 // 10, max(1, len(whole) // 40)):
        with pytest.raises(PreprocessError, match="picture"):
            decode(whole[:length])


SAMPLES = [encode(PIXELS, kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")]


@settings(deadline=None)
@given(
    whole=st.sampled_from(SAMPLES),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1),
)
def test_damage_is_an_error_and_no_traceback(whole: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    try:
        decode(bytes(data))
    except PreprocessError as refusal:
        assert "picture" in str(refusal)


def test_reading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encode(PIXELS))
    found = read_image(path)
    assert np.array_equal(found.rgb, PIXELS)
    assert found.sha256 == sha256(path.read_bytes()).hexdigest()


def test_the_name_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(PIXELS, "PNG"))
    assert np.array_equal(read_image(path).rgb, PIXELS)


@pytest.mark.timeout(20)
def test_what_has_no_end_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(PreprocessError, match="not a regular file"):
            read_image(path)


def test_missing_folder_and_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PreprocessError, match=r"absent\.png: cannot be read \(No such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(PreprocessError, match=r"cannot be read \(Is a directory"):
        read_image(tmp_path)
    path = tmp_path / "picture.png"
    path.write_bytes(encode(PIXELS))
    monkeypatch.setattr(preprocess, "LARGEST_FILE", 10)
    with pytest.raises(PreprocessError, match=r"picture\.png: \d+ bytes are too many"):
        read_image(path)


ALL_LEVELS = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)


def test_the_scale_is_exactly_one_over_256() -> None:
    found = to_input(ALL_LEVELS, Preprocessing())
    assert found.shape == (1, 3, 16, 16)
    assert found.dtype == np.float32
    assert np.array_equal(found[0, 0].ravel() * 256, np.arange(256))  # no rounding at all
    assert found.max() == 255 / 256
    assert found.flags.c_contiguous


def test_normalisation_is_rounded_once() -> None:
    contract = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    found = to_input(ALL_LEVELS, contract)
    for channel in range(3):
        mean, std = np.float64(IMAGENET_MEAN[channel]), np.float64(IMAGENET_STD[channel])
        exact = (np.arange(256, dtype=np.float64) / 256 - mean) / std
        assert np.array_equal(found[0, channel].ravel(), exact.astype(np.float32))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    scale=st.sampled_from([255.0, 256.0, 1.0]),
    seed=st.integers(0, 99),
)
def test_layout(height: int, width: int, scale: float, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = to_input(rgb, Preprocessing(scale=scale))
    expected = (rgb.astype(np.float64) / scale).astype(np.float32).transpose(2, 0, 1)[np.newaxis]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_what_is_no_decoded_picture(rgb: Any) -> None:
    with pytest.raises(PreprocessError, match=r"must be \(H, W, 3\) uint8"):
        to_input(rgb, Preprocessing())
