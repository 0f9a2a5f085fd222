"""The provider that quotes: whole sentences, right markers, the same answer every time."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.providers.base import (
    Finished,
    ItemDone,
    ItemStarted,
    Passage,
    Request,
    ResponseStarted,
    Target,
    TextDelta,
    output_text,
)
from chat.providers.extractive import LEAD_IN, NO_QUESTION, NOTHING_FOUND, ExtractiveProvider, answer
from chat.providers.marks import unmarked
from chat.providers.quoting import best_quotes, content_words, split_sentences

TARGET = Target(base_url="", api_key="", model="extractive", provider="extractive")
MOONS = Passage(
    1, "Mars is a planet. It has two moons, Phobos and Deimos. Its days are 24.6 hours long.", "mars.pdf", 3, "", 0.9
)
RINGS = Passage(2, "Saturn has rings of ice.\nIts moons number 146, e.g. Titan and Rhea.", "saturn.md", None, "", 0.5)
BREAD = Passage(7, "Knead the dough for ten minutes and let it rest.", "bread.txt", None, "", 0.2)


def request(question: str, *passages: Passage) -> Request:
    return Request(input=({"type": "message", "role": "user", "content": question},), passages=passages)


async def run(req: Request) -> list[object]:
    return [event async for event in ExtractiveProvider(pause=0).stream(req, TARGET)]


async def test_the_best_sentences_are_quoted_with_their_markers() -> None:
    events = await run(request("What are the moons of Mars called?", BREAD, RINGS, MOONS))
    finished = events[-1]
    assert isinstance(finished, Finished)
    text = output_text(finished.output)
    assert text.startswith(LEAD_IN + "\n\n> ")
    assert "> Mars is a planet. It has two moons, Phobos and Deimos. [1]" in text
    assert "> Its moons number 146, e.g. Titan and Rhea. [2]" in text
    assert "[7]" not in text
    assert text.index("[1]") < text.index("[2]")


async def test_it_keeps_the_contract_of_streams() -> None:
    events = await run(request("moons?", MOONS))
    assert isinstance(events[0], ResponseStarted)
    assert isinstance(events[1], ItemStarted)
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(deltas) > 5
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert "".join(deltas) == output_text(finished.output)
    assert events[-2] == ItemDone(0, finished.output[0])
    assert finished.usage is None
    assert await run(request("moons?", MOONS)) == events


@pytest.mark.parametrize("passages", [(), (BREAD,)])
async def test_it_says_plainly_that_nothing_was_found(passages: tuple[Passage, ...]) -> None:
    finished = (await run(request("Who designed the harbour?", *passages)))[-1]
    assert isinstance(finished, Finished)
    assert output_text(finished.output) == NOTHING_FOUND


async def test_the_question_is_the_last_thing_a_user_wrote_outside_the_passages() -> None:
    block = '<passages>\n<passage number="1" document="bread.txt">\nKnead the dough.\n</passage>\n</passages>'
    req = Request(
        input=(
            {"role": "user", "content": "Tell me about bread."},
            {"role": "assistant", "content": [{"type": "output_text", "text": "No."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Which moons has Mars?"}]},
            {"role": "user", "content": [{"type": "input_text", "text": block}]},
        ),
        passages=(MOONS, BREAD),
    )
    finished = (await run(req))[-1]
    assert isinstance(finished, Finished)
    assert "Phobos" in output_text(finished.output)
    assert "Knead" not in output_text(finished.output)


def test_without_a_question_it_says_so() -> None:
    assert answer("", (MOONS,), limit=3) == NO_QUESTION


def test_marks_in_a_passage_are_quoted_as_text() -> None:
    text = answer("rent?", (Passage(4, "The rent* is [9] <b>due</b> on_time; see `a[1]`.", "a.md"),), limit=3)
    quoted = text.split("\n\n")[1]
    assert quoted == r"> The rent\* is \[9\] \<b\>due\</b\> on\_time; see `a[1]`. [4]"
    assert re.findall(r"(?<![\\a])\[\d+\]", text) == ["[4]"]


def test_marks_of_markdown_are_not_quoted() -> None:
    text = "## Rent\n\n- The **rent** is due on [Friday](https://example.org).\n\n| rent | 900 € |\n|---|---|\n```sh\n"
    assert unmarked(text).split() == ["The", "rent", "is", "due", "on", "Friday.", "rent", "–", "900", "€"]
    assert answer("rent?", (Passage(1, "# Rent\n\nIt is due.", "a.md"),), limit=3).count(">") == 0


def test_at_most_three_passages_are_quoted() -> None:
    passages = tuple(Passage(number, f"Fact {number} about moons.", "x") for number in range(1, 8))
    assert [quote.passage.number for quote in best_quotes("moons", passages, limit=3)] == [1, 2, 3]


def test_sentences_do_not_end_at_abbreviations_or_numbers() -> None:
    text = "Dr. Ada Lovelace wrote 3.5 notes, e.g. Note G. They were read! Were they? 東京は大きい。大阪もだ。"
    assert split_sentences(text) == [
        "Dr. Ada Lovelace wrote 3.5 notes, e.g. Note G. They were read!",
        "Were they?",
        "東京は大きい。",
        "大阪もだ。",
    ]


def test_words_are_compared_in_a_common_form() -> None:
    assert content_words("Kündigungsfristen") == content_words("kündigungsfrist")
    assert content_words("copies") != content_words("What is it?") == frozenset()


async def test_deltas_come_at_the_pace_that_is_set() -> None:
    start = time.monotonic()
    events = [event async for event in ExtractiveProvider(pause=0.01).stream(request("moons?", MOONS), TARGET)]
    pauses = sum(isinstance(event, TextDelta) for event in events)
    assert time.monotonic() - start >= pauses * 0.01


@settings(deadline=None)
@given(st.text(max_size=60), st.lists(st.text(max_size=120), max_size=5))
def test_every_quote_is_made_of_whole_sentences_of_its_passage(question: str, texts: list[str]) -> None:
    passages = tuple(Passage(number, text, "x") for number, text in enumerate(texts, 1))
    for quote in best_quotes(question, passages, limit=3):
        sentences = split_sentences(unmarked(quote.passage.text))
        assert quote.passage in passages
        assert quote.text in {
            " ".join(pair) for first in sentences for pair in [(first,), *((first, other) for other in sentences)]
        }
