"""The page's style and script, inline, and the policy that lets them run and nothing else."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from parity.report.html.palette import css
from parity.report.html.tags import Markup, el, join


def head_assets() -> Markup:
    """The content policy and the style."""
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src {_digest(_style())}; script-src {_digest(_script())}; "
        "base-uri 'none'; form-action 'none'"
    )
    return join(
        [
            # `html.escape` would write &#x27; for the quotes, which browsers read as quotes.
            el("meta", http_equiv="Content-Security-Policy", content=policy),
            el("style", Markup(_style())),
        ]
    )


def script() -> Markup:
    """The script: tables that sort and can be filtered. The page is whole without it."""
    return el("script", Markup(_script()))


@cache
def _style() -> str:
    return css() + _file("page.css")


@cache
def _script() -> str:
    return _file("page.js")


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
