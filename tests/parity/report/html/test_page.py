"""One file, whole, that loads nothing, lets nothing in, and can be read, light and dark."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trufor_onnx.parity.gate.judge import document, read_decision
from trufor_onnx.parity.report.html.page import (
    BACKGROUNDS,
    DARK,
    LEAST_CONTRAST,
    LIGHT,
    contrast,
    css,
    page,
)
from trufor_onnx.parity.results.findings import Decision, Finding, Outcome
from trufor_onnx.parity.results.rows import SOURCE, Report, Status

VOID = {"meta", "img", "br", "link", "col"}
DECORATION = {"line"}  # borders that no meaning hangs on


class Page(HTMLParser):
    """Elements with their attributes, checked to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def allowed(element: tuple[str, dict[str, str | None]]) -> bool:
    name, attributes = element
    if name not in KNOWN or any(key.startswith("on") or key == "style" for key in attributes):
        return False
    link = attributes.get("href")
    return (link is None or link.startswith("#")) and set(attributes) <= ATTRIBUTES


KNOWN = {
    *("html", "head", "meta", "style", "title", "body", "header", "nav", "main", "section"),
    *("footer", "a", "h1", "h2", "h3", "p", "span", "b", "br", "code", "script", "ul", "li"),
    *("dl", "div", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("figure", "figcaption", "img", "details", "summary"),
    *("svg", "g", "line", "circle", "rect", "path", "text"),
}


ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "href", "class", "id", "role"),
    *("aria-live", "aria-label", "aria-labelledby", "aria-hidden", "tabindex", "scope"),
    *("data-v", "data-sortable", "data-filtered", "data-status", "src", "alt"),
    *("height", "width", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "d"),
    *("transform", "text-anchor", "fill"),
}


@pytest.mark.parametrize("which", ["passing", "mixed", "hostile"])
def test_only_the_pages_own_elements(request: pytest.FixtureRequest, which: str) -> None:
    found = Page(page(request.getfixturevalue(which)))
    assert [element for element in found.elements if not allowed(element)] == []


@given(text=st.text(min_size=1))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_name_from_json_becomes_a_tag(make: Any, build: Any, text: str) -> None:
    def shape(name: str) -> list[tuple[str, tuple[str, ...]]]:
        row = make.row(model=name, image=name, output=name, status=Status.FAIL, reason=name)
        report = build([row], (name,), environment={name: [name], "processor": name})
        rule = Finding(name, Outcome.FAIL, name, name, name, (name, name), name)
        found = Page(page(report, gate=Decision((rule,), name, name, name)))
        return [(tag, tuple(attributes)) for tag, attributes in found.elements]

    # Short and long names differ in whether they may wrap, not in elements.
    assert [tag for tag, _ in shape(text)] == [tag for tag, _ in shape("x")]


def test_what_is_shown_can_be_read(mixed: Report) -> None:
    text = Page(page(mixed)).text
    for word in ("failed", "could not compare", "not run", "mae 1 is over 0.1", "no CUDA", "gone"):
        assert word in text
    assert mixed.document()["digest"] in text


def test_nothing_is_loaded_and_only_the_pages_own_script_runs(passing: Report) -> None:
    text = page(passing)
    found = Page(text)
    (policy,) = [m["content"] for m in found.all("meta") if "http-equiv" in m]
    assert policy and policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|//\w+\.|@import|url\(", text)


def test_not_run_never_looks_passed(make: Any, build: Any) -> None:
    row = make.row(provider="cuda", status=Status.NOT_RUN, reason="no CUDA", mae=None)
    text = page(build([row]))
    assert " passed</span>" not in text
    assert text.count('class="state notrun"') >= 5  # verdict, gate, row, latency, memory


def test_a_report_of_nothing_is_a_page(build: Any) -> None:
    found = Page(page(build([], ())))
    assert "No figures" in found.text and "This report keeps no pictures" in found.text


def test_landmarks_headings_and_heads(mixed: Report) -> None:
    found = Page(page(mixed))
    assert found.all("html") == [{"lang": "en"}]
    for tag in ("header", "nav", "main", "footer", "h1"):
        assert len(found.all(tag)) == 1
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    links = [str(a["href"]).removeprefix("#") for a in found.all("a")]
    assert links[0] == "main" and set(links) <= set(ids)
    sections = [a["aria-labelledby"] for a in found.all("section")]
    assert sections and set(sections) <= set(ids)
    assert all("scope" in a for a in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(a.get("alt") for a in found.all("img"))


def test_every_candidate_row_is_in_the_table(make: Any, build: Any) -> None:
    rows = [make.row(image=f"{n}.png", mae=(n + 1) * 1e-7) for n in range(30)]
    source = [make.row(image=f"{n}.png", backend=SOURCE, variant="source") for n in range(30)]
    text = page(build(source + rows))
    for n in range(30):
        assert f">{n}.png</th>" in text
        assert repr((n + 1) * 1e-7) in text


def decision(digest: str) -> str:
    findings = (
        Finding("report", Outcome.PASS, "whole", "whole", "look"),
        Finding("size", Outcome.FAIL, "too big", "2 MB", "look", ("a", "b")),
        Finding("latency", Outcome.NOT_JUDGED, "no bench", "", ""),
    )
    return json.dumps(document(Decision(findings, "p" * 64, digest)))


def test_the_gates_decision_is_shown_the_worst_first(passing: Report, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    digest = passing.document()["digest"]
    path.write_text(decision(digest))
    text = page(passing, gate=read_decision(path, digest))
    section = text[text.index('id="gate"') :]
    places = [section.index(f"<b>{name}</b>") for name in ("size", "latency", "report")]
    assert places == sorted(places)
    assert "1 pass, 1 fail, 1 not judged" in section and "<summary>all 2</summary>" in section
    assert 'release gate <span class="state fail">' in text


def test_a_release_s_decision_is_read_too(passing: Report, tmp_path: Path) -> None:
    digest = passing.document()["digest"]
    document = json.loads(decision(digest)) | {"although": "<b>the only machine"}
    for rule in document["rules"]:
        del rule["look"]
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(document))
    text = page(passing, gate=read_decision(path, digest))
    assert "Released all the same: <b>&lt;b&gt;the only machine</b>" in text
    assert "look closer" not in text


@pytest.mark.parametrize("content", ["", "{}", "[]", "3", '{"schema_version": 1}', "[" * 99_999])
def test_what_is_no_decision_is_refused(tmp_path: Path, content: str) -> None:
    from trufor_onnx.errors import ParityError

    path = tmp_path / "gate.json"
    path.write_text(content)
    with pytest.raises(ParityError, match=r"gate\.json"):
        read_decision(path, "x")
    with pytest.raises(ParityError, match="cannot be read"):
        read_decision(tmp_path / "none.json", "x")


@pytest.mark.parametrize(
    "change", [{"verdict": "pass"}, {"exit_code": 0}, {"stopped_by": []}, {"stopped_by": None}]
)
def test_a_decision_that_contradicts_its_rules_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    from trufor_onnx.errors import ParityError

    path = tmp_path / "gate.json"
    path.write_text(json.dumps(json.loads(decision("a" * 64)) | change))
    with pytest.raises(ParityError, match="not the one that its rules give"):
        read_decision(path, "a" * 64)


def test_a_decision_on_another_report_is_refused(tmp_path: Path) -> None:
    from trufor_onnx.errors import ParityError

    path = tmp_path / "gate.json"
    path.write_text(decision("a" * 64))
    with pytest.raises(ParityError, match="another report"):
        read_decision(path, "b" * 64)
    assert json.loads(path.read_text())["report_sha256"] == "a" * 64


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WebAIM's example
    assert contrast("#123456", "#123456") == 1.0


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_text_colour_on_every_background(colours: dict[str, str], background: str) -> None:
    for name in colours.keys() - DECORATION - set(BACKGROUNDS):
        found = contrast(colours[name], colours[background])
        assert found >= LEAST_CONTRAST, f"{name} on {background}: {found:.2f}"


def test_light_and_dark_have_the_same_names() -> None:
    assert LIGHT.keys() == DARK.keys()


def test_the_style_uses_these_colours_only() -> None:
    style = (resources.files("trufor_onnx.parity.report.html") / "page.css").read_text(
        encoding="utf-8"
    )
    assert set(re.findall(r"var\(--(\w+)\)", style)) <= LIGHT.keys()
    assert not re.findall(r"#[0-9a-f]{3,8}\b|rgba?\(", style)
    assert css().count("prefers-color-scheme:dark") == 1
