"""The streamed answer: what is sent, when, and that its end is the page."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.rendering.blocks import BlockPatch, BlockRenderer, BlockUpdate, interval_ms
from chat.rendering.markdown import render
from chat.rendering.unfinished import settle

ANSWER = """# Reading *Parley*

The first paragraph has **bold**, `code` and a [link](https://a.b/c).
It goes on [1].

- one
- two with `x`

- three

1. first
   ```python
   def f():

       return "[1]"
   ```

2. second

Intro:
* a
* b

| a | b |
|---|--:|
| 1 | 2 |
| 3 | 4 |

> a quote
> goes on

```js
const a = 1;

const b = "```";
```
After the code $x^2$ and

$$
a
= b
$$

\\[
c
+ d
\\]

See [ref] and [^1] 🙂.

[ref]: https://d.e/f
[^1]: A note
---
The end 🏳️‍🌈 é.
"""


def test_growth_says_the_same_as_the_patch() -> None:
    """On UTF-16, as browsers count; every update that has it is one block that grew in one place."""
    renderer, block, seen = BlockRenderer(), b"", 0
    for delta in split("Some *words* 🙂 `code` and **bold 🙂 text**, [a link](https://a.b) too. " * 4, seed=1):
        renderer.feed(delta)
        update = renderer.render()
        shown = renderer.snapshot()[-1:]
        if update.growth is not None:
            seen += 1
            at = len(block) - 2 * update.growth.end
            assert block[:at].decode("utf-16-le") + update.growth.html + block[at:].decode("utf-16-le") == shown[0]
        block = "".join(shown).encode("utf-16-le")
    assert seen > 20


class Client:
    """What the browser does with updates, on UTF-16 as JavaScript strings are."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def apply(self, update: BlockUpdate) -> None:
        blocks = self.blocks[: update.first]
        assert len(blocks) == update.first
        for index, patch in enumerate(update.blocks, start=update.first):
            old = self.blocks[index] if index < len(self.blocks) else b""
            assert patch.keep * 2 <= len(old)
            blocks.append(old[: patch.keep * 2] + patch.html.encode("utf-16-le"))
        self.blocks = blocks

    def html(self) -> list[str]:
        # strict decoding: a split surrogate pair would raise
        return [block.decode("utf-16-le") for block in self.blocks]


def stream(deltas: list[str]) -> tuple[Client, BlockRenderer]:
    client, renderer = Client(), BlockRenderer()
    for delta in deltas:
        renderer.feed(delta)
        client.apply(renderer.render())
        assert client.html() == renderer.snapshot()
    client.apply(renderer.render(complete=True))
    return client, renderer


def split(text: str, seed: int, longest: int = 9) -> list[str]:
    chance = random.Random(seed)  # noqa: S311
    deltas = []
    while text:
        size = chance.randint(1, longest)
        deltas.append(text[:size])
        text = text[size:]
    return deltas


@pytest.mark.parametrize("seed", range(6))
def test_the_end_of_a_stream_is_the_page(seed: int) -> None:
    client, renderer = stream(split(ANSWER, seed))
    assert "".join(client.html()) == render(ANSWER)
    assert client.html() == renderer.snapshot()


LINES = st.sampled_from([
    "plain words", "- item", "* item", "1. item", "2) item", "  - nested", "    indented", "> quote", "# head",
    "---", "===",
    "```", "```python", "~~~", "   ```", "| a | b |", "|---|---|", "[1] and *b*", "$$", "\\[", "\\]", "$x$", "+ y",
    "**b", "`c",
    "[x](https://a.b)", "<b>raw</b>", "[^1]: note", "https://a.b.", "- [x] done", "🙂", "> ```", "- ```", "\tcode",
    "\\", "&amp;",
    "> [!NOTE]", "【1】", "   three", "a  ", "* * *", "-",
])  # fmt: skip
TEXTS = st.lists(st.one_of(LINES, st.just(""), st.just("")), max_size=24).map("\n".join)


@settings(max_examples=500, deadline=None)
@given(TEXTS, st.integers(0, 10_000))
def test_law_any_split_of_any_text_ends_as_the_page(text: str, seed: int) -> None:
    client, _ = stream(split(text, seed, longest=30))
    assert "".join(client.html()) == render(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab*_`[]()$\\|#->\n \r🙂\ud83d\ude42é1.<&!~", max_size=60), st.integers(0, 10_000))
def test_law_any_signs_however_cut(text: str, seed: int) -> None:
    client, _ = stream(split(text, seed, longest=3))
    assert "".join(client.html()) == render(text)


def test_a_finished_block_is_sent_once() -> None:
    renderer = BlockRenderer()
    renderer.feed("First paragraph.\n\nSecond")
    renderer.render()
    renderer.feed(" paragraph.\n\nThird\n")
    renderer.render()
    renderer.feed("goes on")
    update = renderer.render()
    assert update == BlockUpdate(first=2, blocks=(BlockPatch(keep=len("<p>Third"), html="\ngoes on</p>\n"),))


def test_nothing_new_is_no_update() -> None:
    renderer = BlockRenderer()
    renderer.feed("a")
    assert renderer.render()
    assert not renderer.render()


def test_a_long_open_block_costs_its_new_text_only() -> None:
    renderer, sent = BlockRenderer(), 0
    words = ["word "] * 2000
    for word in words:
        renderer.feed(word)
        sent += sum(len(patch.html) for patch in renderer.render().blocks)
    assert sent < 4 * len("".join(words))


def test_a_paragraph_is_sent_once() -> None:
    renderer, sent = BlockRenderer(), 0
    text = "\n\n".join(["some words of a paragraph " * 20] * 10)
    for word in text.split(" "):
        renderer.feed(word + " ")
        sent += sum(len(patch.html) for patch in renderer.render().blocks)
    assert sent < 2 * len(text)


def test_keep_counts_utf16_units() -> None:
    renderer = BlockRenderer()
    renderer.feed("🙂🙂 a")
    renderer.render()
    renderer.feed("b")
    (patch,) = renderer.render().blocks
    assert patch == BlockPatch(keep=len("<p>") + 4 + len(" a"), html="b</p>\n")


def test_a_definition_mends_the_blocks_before_it() -> None:
    client, renderer = Client(), BlockRenderer()
    renderer.feed("See [the source][s].\n\nOther.\n\n")
    client.apply(renderer.render())
    assert "<a " not in client.html()[0]
    renderer.feed("[s]: https://a.b\n\nEnd\n")
    update = renderer.render(complete=True)
    client.apply(update)
    assert update.first == 0
    assert 'href="https://a.b"' in client.html()[0]


def test_set_text_continues_or_begins_again() -> None:
    client, renderer = Client(), BlockRenderer()
    for text in ("One.\n\nTwo", "One.\n\nTwo and more\n\nThree", "Something *else*"):
        renderer.set_text(text)
        client.apply(renderer.render())
        assert client.html() == renderer.snapshot()
    client.apply(renderer.render(complete=True))
    assert "".join(client.html()) == render("Something *else*")


@pytest.mark.parametrize(
    ("open_text", "shown"),
    [
        ("a **bol", "a **bol**"),
        ("a **bold*", "a **bold**"),
        ("a **bold** and *it", "a **bold** and *it*"),
        ("a ***b", "a ***b***"),
        ("a ~~b", "a ~~b~~"),
        ("a **", "a "),
        ("snake_case_name", "snake_case_name"),
        ("2 * 3 ", "2 * 3 "),
        ("a `cod", "a `cod`"),
        ("a ``co`", "a ``co``"),
        ("a `", "a "),
        ("a [lin", "a "),
        ("a [link]", "a "),
        ("a [link](https://a", "a "),
        ("a [link](https://a.b) c", "a [link](https://a.b) c"),
        ("a ![x", "a "),
        ("a [1", "a "),
        ("a [1]", "a [1]"),
        ("a 【1†x", "a "),
        ("a $x^", "a "),
        ("a $5 and", "a $5 and"),
        ("a \\(x", "a "),
        ("a\n\n$$\nx", "a\n\n"),
        ("a &am", "a "),
        ("a \\", "a "),
        ("a <https://a", "a "),
        ("text\n-", "text\n"),
        ("text\n---", "text\n"),
        ("text\n## ", "text\n"),
        ("text\n1.", "text\n"),
        ("text\n1", "text\n"),
        ("text\n1 ", "text\n1 "),
        ("1984 ", "1984 "),
        ("- a\n- [", "- a\n"),
        ("- a **b", "- a **b**"),
        ("text\n\n| a | b |\n|--", "text\n\n"),
        ("| a | b |\n|---|---|\n| c", "| a | b |\n|---|---|\n| c"),
        ("a *b\n\nc *d", "a *b\n\nc *d*"),
        ("```py", ""),
        ("x\n``", "x\n"),
    ],
)  # fmt: skip
def test_unfinished_signs_are_closed_or_held_back(open_text: str, shown: str) -> None:
    assert settle(open_text).text == shown


def test_an_open_fence_is_code_without_colours() -> None:
    assert settle("```python\nif x:\n``").open_code
    renderer = BlockRenderer()
    renderer.feed("```python\nif x")
    renderer.render()
    assert "<code>if x</code>" in renderer.snapshot()[0].replace("\n</code>", "</code>")
    renderer.feed(": pass\n```\n")
    renderer.render()
    assert '<span class="k">if</span>' in renderer.snapshot()[0]


def test_no_text_is_held_back_for_long() -> None:
    long = "word " * 500
    for opener in ("[", "$x ", "\\(", "【", "![", "[a](", "$$"):
        assert len(settle(f"a {opener}{long}").text) > 2000


def test_what_was_shown_is_not_taken_back() -> None:
    """Flicker would be a construct that appears and vanishes again while the text only grows."""
    kinds = ("<strong>", "<em>", "<li>", "<h3>", "<td", "<a ", "<math", 'class="code"', "<blockquote")
    before = [0] * len(kinds)
    for end in range(1, len(ANSWER) + 1):
        renderer = BlockRenderer()
        renderer.set_text(ANSWER[:end])
        renderer.render()
        html = "".join(renderer.snapshot())
        now = [html.count(kind) for kind in kinds]
        assert all(n >= b for n, b in zip(now, before, strict=True)), ANSWER[max(0, end - 40) : end]
        before = now


@pytest.mark.parametrize(("length", "expected"), [(0, 45), (600, 45), (8000, 230), (10**6, 400)])
def test_longer_open_blocks_are_rendered_less_often(length: int, expected: int) -> None:
    assert interval_ms(length) == expected
