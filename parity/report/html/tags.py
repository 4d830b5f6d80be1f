"""HTML as nested calls. Whatever is not `Markup` is text, and is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

from parity.report.text import printable


class Markup(str):
    """Text that is HTML already. Only `el` and `join` make it, and the page's own files."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
Attribute = str | int | float | bool | None
VOID = frozenset({"br", "col", "img", "link", "meta"})


def el(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element: ``el("a", "text", href="#x", class_="y")``.

    Args:
        name: of the element; from the program, never from data.
        *children: elements, text, or lists of them; None is left out.
        **attributes: an underscore at the end is dropped, others become hyphens; True is an
            attribute without a value, None and False are none.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """All children as one."""
    return Markup("".join(map(_child, children)))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return html.escape(printable(str(child)))
    return join(child)


def _attribute(key: str, value: Attribute) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(printable(str(value)))}"'
