"""What an answer looks like: each construct, and where markers become chips."""

from uuid import UUID

import pytest

from chat.rendering.markdown import MAX_LENGTH, render, render_plain
from chat.rendering.shapes import CitationView


def citation(number: int, document: str = "report.pdf", page: int | None = 7) -> CitationView:
    return CitationView(UUID(int=number), number, document, page, "quote", f"/citations/{UUID(int=number)}/")


def chip(number: int) -> str:
    ident = UUID(int=number)
    return (
        f'<a class="citation" href="/citations/{ident}/" data-citation="{ident}"'
        f' aria-label="Source {number}: report.pdf, page 7">{number}</a>'
    )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*a* **b** ~~c~~ `d`", "<p><em>a</em> <strong>b</strong> <del>c</del> <code>d</code></p>\n"),
        ("# A\n\n#### B", "<h3>A</h3>\n<h6>B</h6>\n"),
        ("2. a\n3. b", '<ol start="2">\n<li>a</li>\n<li>b</li>\n</ol>\n'),
        ("a<b & c", "<p>a&lt;b &amp; c</p>\n"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>\n"),
        ("`<b>`", "<p><code>&lt;b&gt;</code></p>\n"),
        ("- [x] a\n- [ ] b", '<ul>\n<li><span class="task task--done">☑</span> a</li>\n'
                             '<li><span class="task">☐</span> b</li>\n</ul>\n'),
        ("See[^1]\n\n[^1]: there", '<p>See<sup class="footnote-reference">1</sup></p>\n'
                                   '<p><sup class="footnote-reference">1</sup> there</p>\n'),
        ("`[^1]`", "<p><code>[^1]</code></p>\n"),
        ("> [!NOTE]\n> a", '<blockquote class="callout callout--note"><p class="callout__title">Note</p>\n'
                           "<p>a</p>\n</blockquote>\n"),
    ],
)  # fmt: skip
def test_construct(text: str, html: str) -> None:
    assert render(text) == html


def test_tables_scroll_and_keep_their_alignment_without_a_style() -> None:
    html = render("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert html.startswith('<div class="table" role="region" aria-label="Table" tabindex="0"><table><thead>')
    assert '<td class="align-right">2</td>' in html
    assert html.rstrip().endswith("</table></div>")


def test_code_has_a_header_and_pygments_classes() -> None:
    html = render("```python\nif x: pass\n```")
    assert '<span class="code__language">Python</span><parley-copy></parley-copy>' in html
    assert '<span class="k">if</span>' in html


def test_code_in_a_language_nobody_knows_stays_plain() -> None:
    assert "<code>if &lt;x&gt;\n</code>" in render("```parlish\nif <x>\n```")


@pytest.mark.parametrize("source", ["$x^2$", r"\(x^2\)", r"\( x^2 \)"])
def test_inline_tex(source: str) -> None:
    html = render(f"so {source}.")
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in html
    assert 'class="math math--inline"' in html


@pytest.mark.parametrize("source", ["$$\na\n+ b\n=\nc\n$$", "\\[\na\n+ b\n=\nc\n\\]"])
def test_display_tex_over_lines_that_look_like_markdown(source: str) -> None:
    html = render(source)
    assert 'display="block"' in html
    assert "<ul>" not in html
    assert "<h" not in html


@pytest.mark.parametrize("text", ["from $5-$10", "$5 or $10", "\\$x$", "costs $5"])
def test_money_is_no_formula(text: str) -> None:
    assert "<math" not in render(text)


def test_broken_tex_shows_its_source() -> None:
    assert '<code class="math-source">\\left( x</code>' in render("$\\left( x$")


def test_tex_in_code_is_code() -> None:
    assert render("`\\(x\\)` \\(x\\)").startswith("<p><code>\\(x\\)</code> <span")
    assert "\\[x\\]\n</code>" in render("```tex-ish\n\\[x\\]\n```")


def test_links_open_elsewhere_and_pass_nothing_on() -> None:
    assert render("[a](https://b.c/?d=1&e)") == (
        '<p><a href="https://b.c/?d=1&amp;e" target="_blank" rel="noopener noreferrer nofollow">a</a></p>\n'
    )


@pytest.mark.parametrize(
    ("text", "address", "rest"),
    [
        ("see https://a.b/c.", "https://a.b/c", "."),
        ("(https://a.b/c_(d))", "https://a.b/c_(d)", ")"),
        ("https://a.b?x=1&y=2, then", "https://a.b?x=1&amp;y=2", ", then"),
        ('"https://a.b"', "https://a.b", '"'),
    ],
)
def test_bare_addresses_become_links_without_the_punctuation_behind(text: str, address: str, rest: str) -> None:
    attributes = 'target="_blank" rel="noopener noreferrer nofollow"'
    assert f'<a href="{address}" {attributes}>{address}</a>{rest}' in render(text)


def test_an_image_becomes_a_link_that_loads_nothing() -> None:
    html = render("![secret](https://evil.example/?q=1)")
    assert "<img" not in html
    assert '<a href="https://evil.example/?q=1"' in html
    assert render("[![a](https://x.y/z.png)](https://b.c)").count("<a ") == 1


class TestCitations:
    def test_markers_become_chips(self) -> None:
        html = render("One [1] two [1, 2] three 【2】 four 【1†report.pdf】.", [citation(1), citation(2)])
        assert html == (f"<p>One {chip(1)} two {chip(1)}{chip(2)} three {chip(2)} four {chip(1)}.</p>\n")

    def test_numbers_that_cite_nothing_stay_text(self) -> None:
        assert render("a[9] [1, 9] 【8】", [citation(1)]) == f"<p>a[9] {chip(1)} [9] 【8】</p>\n"

    def test_without_citations_brackets_are_brackets(self) -> None:
        assert render("[1]") == "<p>[1]</p>\n"

    @pytest.mark.parametrize("text", ["`[1]`", "```\n[1]\n```", "[[1]](https://a.b)", "$[1]$", "    [1]"])
    def test_not_in_code_links_and_formulas(self, text: str) -> None:
        assert "data-citation" not in render(text, [citation(1)])

    def test_adjacent_markers_are_no_reference_link(self) -> None:
        assert render("x[1][2]", [citation(1), citation(2)]) == f"<p>x{chip(1)}{chip(2)}</p>\n"

    def test_the_document_name_is_escaped(self) -> None:
        html = render("[1]", [citation(1, '"><script>alert(1)</script>', None)])
        assert "<script" not in html
        assert 'aria-label="Source 1: &quot;&gt;&lt;script&gt;' in html


def test_plain_text_keeps_lines_and_shows_everything() -> None:
    assert render_plain("a <b>\nc\n\n\n*d*") == "<p>a &lt;b&gt;<br>c</p><p>*d*</p>"


def test_a_text_too_long_to_parse_is_shown_as_it_is() -> None:
    assert render("*a* " * (MAX_LENGTH // 4 + 1)).startswith("<p>*a* ")
