"""A report in sentences: what is known of its files, what did not pass, where nodes ran."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trufor_onnx.documents import mapping
from trufor_onnx.errors import first_few
from trufor_onnx.parity.results.rows import Group, Report, Row, Status, named, said

# A variant that needs no name beside the backend: the usual file, the user's, PyTorch itself.
UNSAID = ("portable", "candidate", "source", "")
# Where references came from, and pictures that are not counted, in a document's keys and in words.
SUPPLIED = {
    "from_bundle": "from the bundle",
    "from_cache": "from cache",
    "computed": "computed",
    "corrupt": "corrupt",
}
UNCOUNTED = {
    "copies": "copies",
    "nearly_the_same": "nearly the same as another",
    "flat": "of one colour",
}
FIGURE = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?")  # reasons that differ in figures only are one
MOST_OPERATORS = 8


def backend_name(of: Row | Group) -> str:
    """``onnxruntime cpu``; of other variants than the usual one ``onnxruntime cpu (ort)``."""
    variant = "" if of.variant in UNSAID else f" ({of.variant})"
    return f"{of.backend} {of.provider}{variant}".strip()


def or_dash(value: float | None, form: str) -> str:
    """A figure in a format such as ``.3e``; a dash where there is none."""
    return "-" if value is None else format(value, form)


def about_lines(report: Report) -> list[str]:
    """All that is to be said of a run's files, references and pictures, in this order."""
    return [
        *tolerance_lines(report),
        *untrained_lines(report),
        *file_lines(report),
        *note_lines(report),
        *reference_lines(report),
        *case_lines(report),
    ]


def tolerance_lines(report: Report) -> list[str]:
    """Whose limits beside those of ``tolerances.toml``, and which of these they replace."""
    own = report.environment.get("own_tolerances")
    if own is None:
        return []
    given = mapping(own)
    listed = [given.get(key) for key in ("entries", "of_shipped")]
    names, shipped = ([str(n) for n in one] if isinstance(one, list) else [] for one in listed)
    said = f"; of networks that are shipped with limits: {named(shipped)}" if shipped else ""
    file = f"{given.get('file')} ({str(given.get('sha256'))[:16]})"
    return [f"limits of its own, from {file}: {named(names)}{said}"]


def file_lines(report: Report) -> list[str]:
    """Every file with its digest and proof, but for each network's first one."""
    lines = []
    for name, given in report.models.items():
        for variant, found in mapping(given.get("variants")).items():
            if variant == given.get("variant"):
                continue
            file = mapping(mapping(found).get("file"))
            lines.append(
                f"{name}: {file.get('name')} ({str(file.get('sha256'))[:16]}): "
                f"{said(mapping(found))}"
            )
    return lines


def note_lines(report: Report) -> list[str]:
    """``net: FILE: outputs are judged by name; ...``: what is to be known of how files are read."""
    return [
        f"{name}: {note}"
        for name, given in report.models.items()
        for note in given.get("notes", ())
        if isinstance(note, str)
    ]


def untrained_lines(report: Report) -> list[str]:
    """Tensors that still look as a network is made, a line a network that has some."""
    lines = []
    for name, given in report.models.items():
        fresh = mapping(mapping(given.get("weights")).get("look_untrained"))
        if fresh:
            names = named([f"{tensor} ({what})" for tensor, what in fresh.items()])
            lines.append(f"{name}: {len(fresh)} tensors look untrained: {names}")
    return lines


def reference_lines(report: Report) -> list[str]:
    """``net: references: 48 from cache, 2 computed, 1 corrupt``, and of a bundle by what."""
    lines = []
    for name, given in report.models.items():
        shown = _counted(mapping(given.get("references")), SUPPLIED)
        if shown:
            lines.append(f"{name}: references: {shown}")
        narrower = given.get("narrower")
        if isinstance(narrower, list) and narrower:
            which = named([str(place) for place in narrower])
            lines.append(f"{name}: the reference is not float64 throughout: {which}")
        lines += _witnesses(name, given.get("witnesses"))
        bundle = mapping(given.get("bundle"))
        if bundle:
            lines.append(f"{name}: {_bundle(bundle, mapping(given.get('torch32')))}")
    return lines


def case_lines(report: Report) -> list[str]:
    """``net: 12 images: 1 different picture (11 copies)``, and the seed of the drawn sizes."""
    lines = []
    for name, given in report.models.items():
        found = mapping(given.get("data_set"))
        less = _counted(found, UNCOUNTED)
        if found:
            count = found.get("different")
            noun = "picture" if count == 1 else "pictures"
            aside = f" ({less})" if less else ""
            lines.append(f"{name}: {found.get('images')} images: {count} different {noun}{aside}")
        seed = mapping(given.get("seed"))
        if seed:
            lines.append(
                f"{name}: sizes drawn with seed {seed.get('value')}, from {seed.get('origin')}"
            )
    return lines


def _witnesses(name: str, given: object) -> list[str]:
    """A candidate that rounds more than PyTorch, and what it gives computed in float64."""
    lines = []
    for found in given if isinstance(given, list) else ():
        place = mapping(found)
        exact = place.get("mae_float64")
        if isinstance(exact, float) and isinstance(place.get("mae"), float):
            lines.append(
                f"{name} {place.get('output')} on {place.get('cases')}, {place.get('provider')}: "
                f"on {place.get('image')} mae {place['mae']:.3g}, the same file computed in "
                f"float64 {exact:.3g}"
            )
    return lines


def _bundle(bundle: Mapping[str, Any], torch32: Mapping[str, Any]) -> str:
    """PyTorch float32 rounds by machine: one of another machine is never mixed in unsaid."""
    where = "on this machine" if bundle.get("same_machine") else "ON ANOTHER MACHINE"
    made_by = mapping(bundle.get("made_by"))
    return (
        f"bundle {str(bundle.get('sha256'))[:16]}: PyTorch float32 was run {where}: "
        f"{torch32.get('processor')}, {torch32.get('instructions')}, "
        f"{torch32.get('threads')} threads, torch {made_by.get('torch')}"
    )


def _counted(found: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """``48 from cache, 2 computed``: the counts that are not 0, in words."""
    return ", ".join(f"{found[key]} {text}" for key, text in words.items() if found.get(key))


def problems(report: Report, most: int) -> list[str]:
    """What did not pass, a sentence each: groups first, then images and shapes by their reason.

    Args:
        report: the run.
        most: how many sentences before the rest is only counted.
    """
    found = [
        f"{group.status}: {group.model} {group.output} on {group.cases}, "
        f"{backend_name(group)}: {group.reason}"
        for group in report.groups
        if group.status is not Status.PASS
    ]
    found += _of_rows(report)
    if not found and report.status is not Status.PASS:
        found = [f"{report.status}: nothing was compared with PyTorch for at least one model"]
    unique = list(dict.fromkeys(found))
    more = [f"and {len(unique) - most} more, all in parity.json"] if len(unique) > most else []
    return unique[:most] + more


def _of_rows(report: Report) -> list[str]:
    """A sentence for each reason, with the first that it holds for and how many there are."""
    by_reason: dict[tuple[Status, str], list[Row]] = {}
    for row in report.all_rows:
        if row.status is not Status.PASS:
            by_reason.setdefault((row.status, FIGURE.sub("#", row.reason)), []).append(row)
    found = []
    for (status, _), rows in by_reason.items():
        first = rows[0]
        name = f"{first.image} {first.model} {first.output}".rstrip()
        if len(rows) == 1:
            found.append(f"{status}: {name}: {first.reason}")
        else:
            found.append(f"{status}: {len(rows)} comparisons: {first.reason} (first: {name})")
    return found


def placement_lines(report: Report) -> list[str]:
    """``net on cuda: 120 nodes on CUDAExecutionProvider (98 % of the time), 4 on ...``."""
    return [
        f"{model} on {provider}: {_nodes(found)}{_lost(found)}{_settings(found)}"
        for model, given in report.models.items()
        for provider, found in mapping(given.get("placement")).items()
        if isinstance(found, Mapping)
    ]


def _nodes(found: Mapping[str, Any]) -> str:
    nodes, shares = mapping(found.get("nodes")), mapping(found.get("time_share"))
    return ", ".join(
        f"{count} nodes on {name} ({_percent(shares.get(name))} of the time)"
        for name, count in nodes.items()
    )


def _lost(found: Mapping[str, Any]) -> str:
    lost = mapping(found.get("fell_back_ops"))
    if not lost:
        return ""
    shown = [f"{name} {count}" for name, count in lost.items()]
    return f"; not computed there: {first_few(shown, MOST_OPERATORS)}"


def _settings(found: Mapping[str, Any]) -> str:
    """Those that move rounding, as the session has them."""
    options = mapping(found.get("options"))
    shown = [
        f"{title} {options[key]}"
        for key, title in (("use_tf32", "TF32"), ("cudnn_conv_algo_search", "cuDNN search"))
        if key in options
    ]
    unconfirmed = found.get("unconfirmed")
    if isinstance(unconfirmed, list) and unconfirmed:
        shown.append(f"asked for and not confirmed: {', '.join(map(str, unconfirmed))}")
    return f"; {', '.join(shown)}" if shown else ""


def _percent(share: object) -> str:
    return f"{100 * share:.0f} %" if isinstance(share, int | float) else "an unknown share"
