"""Figures of a run: by output, their distribution over the images, and every row."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

from trufor_onnx.parity.report.html.charts import Lane, chart, key, lanes
from trufor_onnx.parity.report.html.elements import (
    STATES,
    Cell,
    Child,
    Markup,
    count,
    el,
    error,
    ratio,
    state,
    table,
    tick,
)
from trufor_onnx.parity.report.text import ORDER, most_telling
from trufor_onnx.parity.results.rows import SOURCE, Group, Report, Row, Status

MOST_ROWS = 2000
GROUPS = (
    "output",
    "on",
    "backend",
    "status",
    "n",
    "mean MAE",
    "torch32's own",
    "accuracy ratio",
    "std",
    "max MAE",
    "max error",
    "mean to torch32",
    "why not passed",
)
ROWS = (
    "image",
    "output",
    "backend",
    "status",
    "MAE",
    "99 % under",
    "max error",
    "relative",
    "to torch32",
    "accuracy ratio",
    "shape",
    "why not passed",
)


def groups_table(groups: Sequence[Group]) -> Markup:
    """One line a model x candidate x output, images and shapes apart."""
    own = {_subject(group): group.mean for group in groups if group.backend == SOURCE}
    return table(
        "Error against float64, in each output's own units; torch32 is PyTorch float32, the "
        "yardstick",
        GROUPS,
        [
            (
                f"{group.model} {group.output}",
                group.cases,
                _backend(group),
                _status(group.status),
                Cell(str(group.rows), group.rows),
                _error(group.mean),
                _error(own.get(_subject(group))),
                _ratio(group.accuracy_ratio),
                *(_error(value) for value in (group.std, group.worst, group.max_abs)),
                _error(group.mean_torch32),
                group.reason,
            )
            for group in groups
            if _is_candidate(group) or group.status is not Status.PASS
        ],
    )


def ratio_chart(groups: Sequence[Group]) -> Markup:
    """How far each candidate is from float64, PyTorch float32 being 1."""
    candidates = [group for group in groups if group.cases == "images" and _is_candidate(group)]
    measured = [group for group in candidates if group.accuracy_ratio is not None]
    usual = _common(map(_backend, measured))
    shown = [
        Lane(
            _lane_name(group.model, group.output, _backend(group), usual),
            dots=(group.accuracy_ratio or 0.0,),
            text=f"{ratio(group.accuracy_ratio)} {STATES[group.status.value][0]}",
        )
        for group in measured
    ]
    absent = len(candidates) - len(measured)
    note = count(absent, "output") + " without a ratio, in the table: not run, or not compared."
    return chart(
        "Accuracy ratio by output: the candidate's mean error over PyTorch float32's own. "
        "Left of the dashed line is nearer to float64 than PyTorch is.",
        lanes(
            "Accuracy ratio by output; the figures are in the table",
            shown,
            tick,
            one=1.0,
            room=(0.5, 1.0, 2.0),
        ),
        *([el("p", note, class_="muted")] if absent else []),
    )


def error_chart(rows: Sequence[Row]) -> Markup:
    """Every image's error, candidate and PyTorch float32, a lane an output."""
    candidates: dict[tuple[str, str, str], list[float]] = {}
    source: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.mae is None:
            continue
        if row.backend == SOURCE:
            source.setdefault((row.model, row.output), []).append(row.mae)
        else:
            key_ = (row.model, row.output, _backend(row))
            candidates.setdefault(key_, []).append(row.mae)
    usual = _common(backend for _, _, backend in candidates)
    shown = [
        Lane(
            _lane_name(model, output, backend, usual),
            dots=tuple(maes),
            diamonds=tuple(source.get((model, output), ())),
            bars=(statistics.median(maes),),
        )
        for (model, output, backend), maes in candidates.items()
    ]
    return chart(
        "Mean absolute error against float64, a mark an image",
        lanes("Error of every image by output; the figures are in the tables", shown, tick),
        key(("dot", "candidate"), ("diamond", "PyTorch float32"), ("median", "candidate's median")),
    )


def rows_tables(report: Report) -> Iterator[Markup]:
    """Every row, images and shapes apart; of very many, the most telling."""
    for rows, what in ((report.rows, "Images"), (report.shape_rows, "Shapes")):
        if rows:
            shown, title = most_telling(rows, what, MOST_ROWS)
            yield el("h3", what)
            yield table(
                f"{title}: one line an image, output and candidate",
                ROWS,
                map(_row, shown),
                filtered=True,
                statuses=[row.status.value for row in shown],
            )


def decisions_table(groups: Sequence[Group]) -> Markup | None:
    """What changed for people who act on the result."""
    rows: list[tuple[Child, ...]] = [
        (
            f"{group.model} {group.output}",
            group.cases,
            _backend(group),
            ", ".join(
                f"{name.replace('_', ' ')} {value:.4g}" for name, value in group.outcome.items()
            ),
        )
        for group in groups
        if group.outcome and _is_candidate(group)
    ]
    return (
        table("Decisions: the worst case of each", ("output", "on", "backend", "worst"), rows)
        if rows
        else None
    )


def _row(row: Row) -> tuple[Child | Cell, ...]:
    return (
        row.image,
        f"{row.model} {row.output}".strip(),
        _backend(row),
        _status(row.status),
        *(_error(v) for v in (row.mae, row.p99_abs, row.max_abs, row.rel_l2, row.mae_torch32)),
        _ratio(row.accuracy_ratio),
        "×".join(map(str, row.shape)),
        row.reason,
    )


def _subject(group: Group) -> tuple[str, str, str]:
    return group.cases, group.model, group.output


def _status(status: Status) -> Cell:
    """Sorted by how bad it is."""
    return Cell(state(status.value), float(ORDER.index(status)), number=False)


def _backend(of: Row | Group) -> str:
    variant = "" if of.variant in ("", "source", "portable") else of.variant
    return " ".join(part for part in (variant, of.backend, of.provider) if part)


def _common(backends: Iterable[str]) -> set[str]:
    """The words that are in all of them: they tell nothing apart."""
    words = [set(backend.split()) for backend in backends]
    return set.intersection(*words) if words else set()


def _lane_name(model: str, output: str, backend: str, usual: set[str]) -> str:
    differing = " ".join(word for word in backend.split() if word not in usual)
    return f"{model} {output}" + (f" · {differing}" if differing else "")


def _is_candidate(group: Group) -> bool:
    return group.backend != SOURCE


def _error(value: float | None) -> Cell:
    return Cell(error(value), value)


def _ratio(value: float | None) -> Cell:
    return Cell(ratio(value), value)
