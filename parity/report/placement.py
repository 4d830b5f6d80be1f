"""Where nodes were computed, in sentences: one for each provider of each model."""

from __future__ import annotations

from chunking.errors import first_few
from parity.results import Report

MOST_OPERATORS = 8


def placement_lines(report: Report) -> list[str]:
    """``net on cuda: 120 nodes on CUDAExecutionProvider (98 % of the time), 4 on ...``."""
    return [
        f"{model} on {provider}: {_nodes(found)}{_lost(found)}{_settings(found)}"
        for model, given in report.models.items()
        for provider, found in _providers(given).items()
    ]


def _providers(given: object) -> dict[str, dict[str, object]]:
    found = given.get("placement") if isinstance(given, dict) else None
    if not isinstance(found, dict):
        return {}
    return {name: placed for name, placed in found.items() if isinstance(placed, dict)}


def _nodes(found: dict[str, object]) -> str:
    nodes, shares = _mapping(found, "nodes"), _mapping(found, "time_share")
    return ", ".join(
        f"{count} nodes on {name} ({_percent(shares.get(name))} of the time)"
        for name, count in nodes.items()
    )


def _lost(found: dict[str, object]) -> str:
    lost = _mapping(found, "fell_back_ops")
    if not lost:
        return ""
    shown = [f"{name} {count}" for name, count in lost.items()]
    return f"; not computed there: {first_few(shown, MOST_OPERATORS)}"


def _settings(found: dict[str, object]) -> str:
    """Those that move rounding, as the session has them."""
    options = _mapping(found, "options")
    shown = [
        f"{title} {options[key]}"
        for key, title in (("use_tf32", "TF32"), ("cudnn_conv_algo_search", "cuDNN search"))
        if key in options
    ]
    unconfirmed = found.get("unconfirmed")
    if isinstance(unconfirmed, list) and unconfirmed:
        shown.append(f"asked for and not confirmed: {', '.join(map(str, unconfirmed))}")
    return f"; {', '.join(shown)}" if shown else ""


def _mapping(found: dict[str, object], key: str) -> dict[str, object]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _percent(share: object) -> str:
    return f"{100 * share:.0f} %" if isinstance(share, int | float) else "an unknown share"
