"""Templates and styles: what every page promises, whatever it shows."""

import gzip
import json
import re
import uuid
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils.safestring import mark_safe

from chat.rendering.markdown import render_plain
from chat.rendering.shapes import CitationView, ConversationEntry, Switch, TurnView
from core.templatetags.importmap import reachable
from retrieval.selectors import DocumentView

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
STYLES = sorted((ROOT / "static/css").glob("*.css"))
SCRIPTS = sorted((ROOT / "static/js").rglob("*.js"))

HOSTILE = '"><script>alert(1)</script><b onclick=alert(1)>'


def turn_view(**changes: Any) -> TurnView:
    base: dict[str, Any] = {
        "id": uuid.uuid4(),
        "status": "completed",
        "user_html": render_plain("Hello"),
        "user_text": "Hello",
        "documents": (),
        "answer_html": mark_safe("<p>Answer</p>"),
        "answer_text": "Answer",
        "citations": (),
        "failure_message": "",
        "error_message": "",
        "can_continue": False,
        "can_retry": False,
        "model_label": "m",
        "is_live": False,
        "messages": Switch(),
        "answers": Switch(),
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "seconds": 1.25,
        "input_tokens": 5,
        "output_tokens": 7,
    }
    return TurnView(**base | changes)


def document(**changes: Any) -> DocumentView:
    base: dict[str, Any] = {
        "id": uuid.uuid4(), "name": "a.pdf", "state": "ready", "label": "Ready", "message": "", "progress": None,
        "retryable": False, "url": "/documents/1/", "size": 2048,
    }  # fmt: skip
    return DocumentView(**base | changes)


def turn_html(**changes: Any) -> str:
    return render_to_string("chat/_partials/turn.html", {"turn": turn_view(**changes)})


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_has_inline_style_script_or_handler(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|<style|<script(?![^>]*\bsrc=)", source)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_word_in_a_template_can_be_translated(path: Path) -> None:
    source = path.read_text()
    for name in ("comment", "blocktranslate", "block card_kind", "block bodyclass"):
        end = name.split()[0]
        source = re.sub(rf"{{% {name}\b.*?{{% end{end}\b.*?%}}", "", source, flags=re.S)
    source = re.sub(r"{%.*?%}|{#.*?#}|{{.*?}}", "", source, flags=re.S)
    text = re.sub(r"<title>.*?</title>|<[^>]*>", "", source, flags=re.S)
    words = set(re.findall(r"[^\W\d_]{2,}", unescape(text))) - {"Parley"}
    assert not words


@pytest.mark.parametrize("path", TEMPLATES + STYLES + SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_comes_from_another_site(path: Path) -> None:
    assert not re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", path.read_text().replace("http://www.w3.org/", ""))


def loaded(template: Path) -> set[Path]:
    """The styles and modules that a page of this template loads."""
    source = template.read_text()
    found = {ROOT / "static" / name for name in re.findall(r'{% static "(css/[^"]+)" %}', source)}
    for parent in re.findall(r'{% extends "([^"]+)" %}', source):
        if (ours := ROOT / "templates" / parent) in TEMPLATES:  # the admin's are the framework's
            found |= {path for path in loaded(ours) if path.suffix == ".css"}
    for entries in re.findall(r"{% importmap ([^%]*) %}", source):
        found |= {ROOT / "static/js" / name for name in reachable(*re.findall(r'"([^"]+)"', entries))}
    return found


PAGES = [path for path in TEMPLATES if "{% importmap" in path.read_text() and path.name != "shell.html"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_loads_stays_light(page: Path) -> None:
    files = loaded(page)
    assert {path.suffix for path in files} == {".css", ".js"}
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 60_000


def test_every_style_and_script_is_some_pages() -> None:
    used = set().union(*(loaded(path) for path in TEMPLATES))
    assert set(SCRIPTS) | set(STYLES) == used


@pytest.mark.parametrize(
    "path", [path for path in STYLES if path.name not in {"tokens.css", "admin.css"}], ids=lambda p: p.name
)
def test_colours_are_named_in_one_place(path: Path) -> None:
    values = re.findall(r"#[0-9a-f]{3,8}\b|rgb\(|hsl\(", path.read_text())
    # the colours of code belong to nothing else, and have a dark value of their own
    assert not values or path.name == "code.css"


class TestContrast:
    """WCAG 2.2 AA: 4.5 for text, 3 for the edges of controls, in both schemes."""

    TEXT = [
        (text, ground)
        for text in ("text", "text-soft", "text-faint", "accent", "accent-strong")
        for ground in ("canvas", "surface", "surface-sunken")
    ] + [
        ("on-accent", "accent"), ("on-accent", "accent-strong"), ("accent-strong", "accent-soft"),
        ("text", "accent-soft"),
        ("text-faint", "surface-hover"), ("notice-text", "notice"), ("danger", "danger-soft"), ("danger", "canvas"),
        ("danger", "surface"), ("text", "mark"), ("text-soft", "accent-faint"), ("notice-text", "surface-sunken"),
    ]  # fmt: skip
    EDGES = [(edge, ground) for edge in ("line-control", "focus") for ground in ("canvas", "surface")]

    @staticmethod
    def colours(dark: bool) -> dict[str, str]:
        source = (ROOT / "static/css/tokens.css").read_text()
        found = dict(re.findall(r"--([\w-]+):\s*(light-dark\([^;]*\)|var\([^;]*\));", source))

        def resolve(value: str) -> str:
            if match := re.fullmatch(r"var\(--([\w-]+)\)", value):
                return resolve(found[match[1]])
            light, night = re.findall(r"#[0-9a-f]{6}|rgb\([^)]*\)", value)
            return str(night if dark else light)

        return {name: resolve(value) for name, value in found.items()}

    @staticmethod
    def luminance(colour: str) -> float:
        channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def ratio(self, one: str, other: str) -> float:
        high, low = sorted((self.luminance(one), self.luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize(("text", "ground"), TEXT)
    def test_text(self, text: str, ground: str, dark: bool) -> None:
        colours = self.colours(dark)
        assert self.ratio(colours[text], colours[ground]) >= 4.5

    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize(("edge", "ground"), EDGES)
    def test_edges_of_controls(self, edge: str, ground: str, dark: bool) -> None:
        colours = self.colours(dark)
        assert self.ratio(colours[edge], colours[ground]) >= 3


class TestTurn:
    def test_a_finished_turn_has_no_status_and_can_be_copied(self) -> None:
        html = turn_html(answer_text="a <b> & c")
        assert "data-live" not in html
        assert "aria-busy" not in html
        assert "<template data-markdown>a &lt;b&gt; &amp; c</template>" in html

    def test_a_live_turn_says_so(self) -> None:
        html = turn_html(status="queued", is_live=True, answer_text="")
        assert "data-live" in html
        assert 'aria-busy="true"' in html
        assert "Waiting for its turn" in html

    def test_a_failure_says_what_happened_and_offers_what_helps(self) -> None:
        html = turn_html(status="failed", error_message="The model server is away.", can_retry=True)
        assert "The model server is away." in html
        assert "Try again" in html
        assert "Try again" not in turn_html(status="failed", error_message="The key is refused.")

    def test_sources_are_listed(self) -> None:
        citation = CitationView(uuid.uuid4(), 3, HOSTILE, 7, "q", "/citations/x/")
        html = turn_html(citations=(citation,))
        assert 'href="/citations/x/"' in html
        assert f'data-citation="{citation.id}"' in html
        assert "p. 7" in html
        assert "<script>alert" not in html

    def test_what_people_wrote_is_text(self) -> None:
        view = document(name=HOSTILE, message=HOSTILE, label=HOSTILE, state="failed", retryable=True)
        html = turn_html(
            user_html=render_plain(HOSTILE), answer_text=HOSTILE, error_message=HOSTILE, model_label=HOSTILE,
            documents=(view,),
        )  # fmt: skip
        assert "<script" not in html
        assert "<b " not in html


class TestDocument:
    def html(self, **changes: Any) -> str:
        return render_to_string("retrieval/_partials/document.html", {"document": document(**changes)})

    def test_state_and_progress_show(self) -> None:
        html = self.html(state="embedding", label="Embedding (3 of 9)", progress=33)
        assert 'data-state="embedding"' in html
        assert 'value="33"' in html

    def test_retry_is_offered_where_it_may_help(self) -> None:
        assert "/documents/1/retry/" in self.html(state="failed", retryable=True)
        assert "retry/" not in self.html(state="failed")

    def test_a_removed_document_offers_nothing(self) -> None:
        html = self.html(state="gone", url="")
        assert "<button" not in html
        assert "<a" not in html


def test_an_entry_shows_title_and_activity() -> None:
    entry = ConversationEntry(uuid.uuid4(), HOSTILE, "/c/1/", True, datetime(2026, 1, 1, tzinfo=UTC), True)
    html = render_to_string("chat/_partials/conversation_entry.html", {"entry": entry})
    assert 'aria-current="page"' in html
    assert "pulse" in html
    assert "<script" not in html


def test_a_removed_documents_citation_still_shows_its_quote() -> None:
    citation = CitationView(uuid.uuid4(), 1, "a.pdf", 2, "the quote", "/citations/x/", gone=True)
    html = render_to_string("chat/_partials/citation.html", {"citation": citation})
    assert "<mark>the quote</mark>" in html
    assert "deleted since" in html


class TestImportMap:
    def html(self) -> str:
        request = RequestFactory().get("/")
        context = Context({"request": request, "CSP_NONCE": 'n"once'})
        return Template('{% load importmap %}{% importmap "start.js" %}').render(context)

    def test_every_module_is_mapped_from_its_plain_address(self) -> None:
        found = re.search(r'<script type="importmap" nonce="n&quot;once">(.*?)</script>', self.html())
        assert found
        modules = json.loads(found[1])["imports"]
        plain = {f"/static/{path.relative_to(ROOT / 'static').as_posix()}" for path in SCRIPTS}
        assert set(modules) == plain

    def test_every_import_of_a_module_is_on_the_map(self) -> None:
        for path in SCRIPTS:
            for name in re.findall(r'^(?:import|export) .*?"(\.[^"]+)";$', path.read_text(), flags=re.M):
                assert (path.parent / name).resolve() in SCRIPTS

    def test_the_entry_is_the_only_script_with_code(self) -> None:
        assert re.findall(r'<script type="module" src="[^"]*js/start[^"]*"></script>', self.html())
        assert self.html().count("<script") == 2

    def test_what_the_entry_needs_is_fetched_at_once_and_nothing_else(self) -> None:
        fetched = set(re.findall(r'rel="modulepreload" href="/static/js/([^"]+?)(?:\.[0-9a-f]{12})?\.js"', self.html()))
        assert {"start", "elements/parley-connection", "lib/socket"} <= fetched
        assert not {"elements/parley-chat", "elements/parley-library"} & fetched
