"""Words that follow words are shown without the parser; what is shown is what the parser would have made of it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.rendering.blocks import BlockRenderer
from chat.rendering.words import open_words

TEXTS = [
    "Some words, and more of them: a list of e.g. three things; it's done? Well-known é and ñandú 漢字 too.",
    "- 12 apples and 13. pears\n- 14) plums 15\n  16. more\n\n17 and 18. then\n19) so",
    "See https://example.org/a and more, or <https://b.org/c d> or www.x.org, a@b.org and <a@b.org> there: http",
    "**bold word** and *so* on, `code of x` and snake_case_name and __init__ and 2*3*4 and ~~no~~ more",
    "# A heading of words\nAnd a line, then\n===\nMore\n---\nEnd 1\n2 3",
    "| a | b c |\n|---|--:|\n| one two | three four |\n| five six seven\nand out",
    "> [!NOTE]\n> a callout that goes on and on\n> - with a list\n\n> 1. and quote",
    "- [ ] a task to do\n- [x] one that is done\n\n    indented code of words\n    and more",
    "```python\ndef f of words\n    return x\n```\nAfter the code come words\n\n~~~\nplain words in it\n~~~",
    "AT&T and &amp; x &copy y &#65; z, a < b and <b>c d</b> <i e, $5 and $6 of x, $x + y$ and \\(a b\\) end",
    "A [link to it](https://a.b) there, [ref] and [^1] note [1] and 【2】 so\n\n[ref]: https://d.e\n\n[^1]: A note",
    "  two  spaces   between\nand at the end   \nof lines  ,  so\n\n   three before 1 2",
    "a \\* b \\\\ c and \\[x y\\] d\n\n$$\na b\n$$\nend of it",
    "Term\n: no definition of it\n\n+ one two\n+ three\n\n* * *\n\n1986. A year of it",
]


def shown_with_and_without(pieces: list[str]) -> int:
    """Render after each piece both ways; they must agree. Returns how often the short way was taken."""
    short, long = BlockRenderer(), BlockRenderer()
    taken = 0
    for piece in pieces:
        short.feed(piece)
        long.feed(piece)
        long._words = None
        update = short.render()
        taken += short._words is not None and bool(update) and update.growth is not None
        expected = long.render()
        assert short.snapshot() == long.snapshot()
        if update.growth is not None:
            assert expected.growth == update.growth
    assert short.render(complete=True) == long.render(complete=True)
    assert short.snapshot() == long.snapshot()
    return taken


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_what_is_shown_is_what_the_parser_makes(text: str, size: int) -> None:
    shown_with_and_without([text[at : at + size] for at in range(0, len(text), size)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*"ab1 .,:-'?\n*_`#>|[]()<&$\\~é漢", "word", " two", ". ", "12", "\n\n", "- ", "://"])))
def test_any_mixture_of_signs_and_words_is_shown_as_the_parser_makes_it(pieces: list[str]) -> None:
    shown_with_and_without(pieces)


def test_prose_takes_the_short_way() -> None:
    words = random.Random(1).choices(["lorem", "ipsum,", "dolor", "sit.", "Amet"], k=300)  # noqa: S311
    assert shown_with_and_without([f"{word} " for word in words]) > 280


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("https://a.org", '<p><a href="https://a.org">https://a.org</a></p>\n'),
        ("a `b", "<p>a <code>b</code></p>\n"),
        ("| a |", "<table><tbody><tr><td>a</td></tr></tbody></table>"),
        ("a.", "<p>a.</p>\n"),
        ("a\n", "<p>a</p>\n"),
    ],
)
def test_what_is_no_plain_end_is_left_to_the_parser(source: str, html: str) -> None:
    assert open_words(source, source, html) is None
