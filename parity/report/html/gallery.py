"""The worst images: what went in, what should have come out, what did, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trufor_onnx.parity.report.html.elements import Child, Markup, el, error, ratio, state
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.pictures import (
    HEAT,
    JPEG,
    WORST,
    Drawing,
    Panel,
    Pictures,
    badness,
    media_type,
)
from trufor_onnx.parity.results.rows import SOURCE, Report, Row

Key = tuple[Contestant, str]
NOTHING = "not kept"


def worst_images(report: Report) -> Iterator[Markup]:
    """A heading a model x backend x output, and below it its worst images."""
    panels = {(*_group_of(panel), panel.image): panel for panel in report.pictures.panels}
    for key, rows in _worst_rows(report.rows).items():
        who, output = key
        if not any((*key, row.image) in panels for row in rows):
            continue
        yield el(
            "h3",
            f"{who.model} {output}",
            el("span", f" · {who.name}", class_="muted"),
        )
        for row in rows:
            yield _panel(row, panels.get((*key, row.image)), report.pictures)
    if report.pictures.left_out:
        yield el(
            "p",
            f"{report.pictures.left_out} more were left out to keep the report small.",
            class_="muted",
        )


def without_pictures(report: Report) -> list[str]:
    """Outputs that no picture is shown of, each once: scores, and what could not be run."""
    shown = {_group_of(panel) for panel in report.pictures.panels}
    return [
        f"{who.model} {output} ({who.name})"
        for who, output in _worst_rows(report.rows)
        if (who, output) not in shown
    ]


def _worst_rows(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for row in rows:
        if row.backend not in (SOURCE, "") and row.output:
            found.setdefault(_group_of(row), []).append(row)
    return {
        key: sorted(members, key=lambda row: -badness(row.mae))[:WORST]
        for key, members in found.items()
    }


def _group_of(of: Row | Panel) -> Key:
    return Contestant.of(of), of.output


def _panel(row: Row, panel: Panel | None, pictures: Pictures) -> Markup:
    figures = [f"MAE {error(row.mae)}", f"largest {error(row.max_abs)}"]
    if row.accuracy_ratio is not None:
        figures.append(f"accuracy ratio {ratio(row.accuracy_ratio)}")
    about: list[Child] = [
        state(row.status.value),
        " ",
        el("b", row.image),
        f": {', '.join(figures)}",
    ]
    if panel is None:
        about.append(
            "; its pictures were not kept (an interrupted run measured it, or they were too many)"
        )
        return el("figure", el("figcaption", about), class_="panel")
    if panel.channels > 1:
        about.append(f"; mean over {panel.channels} channels")
    about.append(f"; output {' × '.join(map(str, panel.size))}")
    if panel.note:
        about.append(f"; {panel.note}")
    name = f"{row.model} {row.output}"
    views = [
        _view(pictures, panel.input, "Image", "", f"the image {row.image}"),
        _view(pictures, panel.reference, "Reference", "float64", f"{name}, float64 reference"),
        _view(pictures, panel.candidate, "Candidate", row.backend, f"{name}, {row.backend}"),
        _view(pictures, panel.error, "Error", "absolute", _where(name, row)),
    ]
    return el("figure", el("div", views, class_="views"), el("figcaption", about), class_="panel")


def _where(name: str, row: Row) -> str:
    """What the heat map says, for who does not see it."""
    return (
        f"{name}, absolute error of {row.backend} by place: mean {error(row.mae)}, 99th "
        f"percentile {error(row.p99_abs)}, largest {error(row.max_abs)}"
    )


def _view(
    pictures: Pictures, drawing: Drawing | None, title: str, what: str, alternative: str
) -> Markup:
    encoded = pictures.files.get(drawing.file, "") if drawing else ""
    kind = media_type(encoded)
    heading = [el("b", title), f" {what}".rstrip()]
    if drawing is None or not kind:
        return el("figure", el("div", NOTHING, class_="none"), el("figcaption", heading))
    image = el(
        "img",
        src=f"data:{kind};base64,{encoded}",
        alt=alternative,
        class_="photo" if kind == JPEG else None,
    )
    scale: list[Child] = []
    if drawing.low is not None and drawing.high is not None:
        scale = [el("br"), f"{_end(drawing.low)} … {_end(drawing.high)}"]
    bar = _heat_bar() if title == "Error" else None
    return el("figure", image, bar, el("figcaption", heading, scale))


def _end(value: float) -> str:
    return "0" if value == 0 else f"{value:.3g}"


def _heat_bar() -> Markup:
    """The error scale's colours, from no error to the largest."""
    width = 100 / len(HEAT)
    steps = [
        el(
            "rect",
            x=f"{number * width:.3f}%",
            width=f"{width + 0.1:.3f}%",
            height=8,
            fill=f"#{red:02x}{green:02x}{blue:02x}",
        )
        for number, (red, green, blue) in enumerate(HEAT)
    ]
    return el("svg", steps, class_="heat", aria_hidden="true")
