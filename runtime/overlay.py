"""One picture that shows an analysis to a person: image, map, reliability, score, colour bars.

Panels are scaled down to fit a screen; the analysis itself never is.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from trufor_onnx.runtime.detector import Analysis

LEVELS = 256

# Colours as six hexadecimal digits, evenly spaced over 0..1.
INFERNO = "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4"
VIRIDIS = "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725"

Table = npt.NDArray[np.uint8]
PANEL = 512  # pixels of a panel's longer side
LEAST_PANEL = 300  # pixels; below it, captions have no room
MARGIN = 24
TITLE, CAPTION, SMALL = 26, 17, 14  # heights of text, in pixels
BAR = 16  # a colour bar's height
PAPER, INK, FAINT, ALARM = (250, 250, 248), (24, 24, 27), (95, 95, 102), (160, 30, 20)
STRENGTH = 0.85  # of the map over the image where it is 1; where it is 0 the image stays
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
Pixels = npt.NDArray[np.uint8]
_ENLARGE = Image.Resampling.NEAREST  # pixels as they are


def table(anchors: str) -> Table:
    """(256, 3) uint8: the colours of 0..1 in equal steps, such as `INFERNO` names."""
    known = np.frombuffer(bytes.fromhex(anchors), np.uint8).reshape(-1, 3)
    places = np.linspace(0.0, 1.0, len(known))
    wanted = np.linspace(0.0, 1.0, LEVELS)
    channels = [np.interp(wanted, places, known[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def levels(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """0..1 as 0..255, rounded to the nearest."""
    return (values * np.float32(LEVELS - 1) + np.float32(0.5)).astype(np.uint8)


def coloured(values: npt.NDArray[np.float32], colours: Table) -> npt.NDArray[np.uint8]:
    """(H, W) of 0..1 as (H, W, 3) uint8."""
    return colours[levels(values)]


def draw_overlay(rgb: Pixels, analysis: Analysis) -> Image.Image:
    """An RGB picture: four panels, a colour bar under each map, the score above.

    Args:
        rgb: (H, W, 3) uint8, the analysed image.
        analysis: of this image.
    """
    map_panel = Image.fromarray(coloured(analysis.map, table(INFERNO)))
    conf_panel = Image.fromarray(coloured(analysis.conf, table(VIRIDIS)))
    image = Image.fromarray(rgb)
    size = _panel_size(image.size)
    # Scaled first, blended after: the image may have 50 megapixels.
    mask = Image.fromarray(levels(analysis.map * np.float32(STRENGTH)))
    image, map_panel, conf_panel, mask = (
        picture.resize(size, Image.Resampling.BOX if size[0] < picture.width else _ENLARGE)
        for picture in (image, map_panel, conf_panel, mask)
    )
    mixed = Image.composite(map_panel, image.convert("L").convert("RGB"), mask)
    captions = (
        ("Image", "", image),
        ("Where it looks forged", "0 pristine, 1 forged", map_panel),
        ("The same over the image", "", mixed),
        ("How far to trust it", "0 not at all, 1 fully", conf_panel),
    )
    bars = ("", INFERNO, "", VIRIDIS)
    cell = (max(size[0], LEAST_PANEL), size[1])
    beside = 4 if size[1] > size[0] * 1.25 else 2
    top = _title_height(analysis)
    row_height = CAPTION + 12 + cell[1] + BAR + SMALL + 30
    width = MARGIN + beside * (cell[0] + MARGIN)
    canvas = Image.new("RGB", (width, top + (4 // beside) * row_height + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(canvas)
    _title(draw, analysis, width)
    for index, ((caption, meaning, panel), colours) in enumerate(zip(captions, bars, strict=True)):
        left = MARGIN + (index % beside) * (cell[0] + MARGIN)
        upper = top + (index // beside) * row_height
        draw.text((left, upper), caption, INK, _font(CAPTION))
        upper += CAPTION + 12
        canvas.paste(panel, (left, upper))
        if colours:
            _bar(canvas, draw, (left, upper + size[1] + 10), size[0], colours)
        if meaning:
            width_of = draw.textlength(caption, _font(CAPTION))
            draw.text((left + width_of + 10, upper - CAPTION - 9), meaning, FAINT, _font(SMALL))
    return canvas


def _panel_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height in a panel; the aspect ratio is kept, a thin side has a pixel at least."""
    scale = PANEL / max(size)
    if scale > 1:
        scale = int(scale)  # a small image's pixels stay squares of one size
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _title_height(analysis: Analysis) -> int:
    lines = 1 + bool(analysis.provenance.warning)
    return MARGIN + TITLE + lines * (SMALL + 10) + 16


def _title(draw: ImageDraw.ImageDraw, analysis: Analysis, width: int) -> None:
    """The score, what it is of, and what must be said beside it."""
    score = f"Integrity score {analysis.score:.3f}"
    draw.text((MARGIN, MARGIN), score, INK, _font(TITLE))
    place = MARGIN + draw.textlength(score, _font(TITLE)) + 14
    draw.text((place, MARGIN + TITLE - SMALL - 2), "0 pristine, 1 forged", FAINT, _font(SMALL))
    info = analysis.image
    lines = [(f"{info.name}  {info.width} x {info.height}  {analysis.provenance.weights}", FAINT)]
    if analysis.provenance.warning:
        lines.append((analysis.provenance.warning, ALARM))
    for index, (text, colour) in enumerate(lines):
        upper = MARGIN + TITLE + 10 + index * (SMALL + 10)
        draw.text((MARGIN, upper), _fitted(draw, text, width - 2 * MARGIN), colour, _font(SMALL))


def _bar(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    width: int,
    anchors: str,
) -> None:
    """A colour bar with its values under it."""
    width = max(width, LEAST_PANEL)
    ramp = np.linspace(0.0, 1.0, width, dtype=np.float32)
    canvas.paste(Image.fromarray(coloured(np.tile(ramp, (BAR, 1)), table(anchors))), place)
    left, upper = place
    for value in TICKS:
        text = f"{value:g}"
        long = draw.textlength(text, _font(SMALL))
        middle = left + value * (width - 1)
        draw.line((middle, upper + BAR, middle, upper + BAR + 4), INK)
        start = min(max(middle - long / 2, left), left + width - long)
        draw.text((start, upper + BAR + 5), text, INK, _font(SMALL))


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: float) -> str:
    """The text in one line of the built-in font: its end where it is too long."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if draw.textlength(text, _font(SMALL)) <= width:
        return text
    while text and draw.textlength("..." + text, _font(SMALL)) > width:
        text = text[max(1, len(text) // 50) :]
    return "..." + text


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """pillow's own font: nothing to install, the same everywhere."""
    return ImageFont.load_default(size)
