"""Bounded summaries, titles that fit, languages, and data that stays data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.context.tokens import text_tokens
from chat.services.asking import Said, in_language_of, quoted
from chat.services.summary_writing import SUMMARY_TOKENS, shortened, transcript
from chat.services.titles import TITLE_CHARS, fit_title

GERMAN = "Ich möchte wissen, wie der Umzug nach Köln mit der Bahn und dem Rad am besten zu machen ist."


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Trip to Berlin", "Trip to Berlin"),
        ("“Trip to Berlin.”\n", "Trip to Berlin"),
        ("Title: **Trip to Berlin**", "Trip to Berlin"),
        ("Titel: „Reise nach Köln“", "Reise nach Köln"),
        ("\n# Trip\n\nThis title says that…", "Trip"),
        ("Why is the sky blue?", "Why is the sky blue?"),
        ("And so on…", "And so on…"),
        ("東京への旅行。", "東京への旅行"),
        ("Trip\u202eto\x07 Berlin", "Trip to Berlin"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("A trip by train and by bicycle from Hamburg to Berlin and on to Prague",
         "A trip by train and by bicycle from Hamburg to Berlin and…"),
        ("I am sorry, but I cannot give a title to this conversation, since that would be against what I may do here.",
         "I am sorry, but I cannot give a title to this conversation…"),
        ("word " * 40, ""),
        ("“”", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_title_is_one_short_line(said: str, title: str) -> None:
    assert fit_title(said) == title


@given(st.text())
def test_law_a_title_fits_and_stays_what_it_is(said: str) -> None:
    title = fit_title(said)
    assert len(title) <= TITLE_CHARS
    assert len(title.splitlines()) <= 1
    assert title == title.strip()


def test_a_long_summary_ends_with_a_sentence() -> None:
    text = shortened(Said("They spoke of trains. " * 1000, whole=True))
    assert text.endswith("trains.")
    assert SUMMARY_TOKENS - 20 < text_tokens(text) <= SUMMARY_TOKENS


def test_what_was_cut_off_loses_its_last_sentence() -> None:
    assert shortened(Said("He asked 3.5 questions. “Why?” was one. Then he said th", whole=False)) == (
        "He asked 3.5 questions. “Why?” was one."
    )
    assert shortened(Said("彼は来た。彼女は", whole=False)) == "彼は来た。"


@given(st.text(alphabet="ab .!?。\n"), st.booleans())
def test_law_a_summary_is_bounded_and_a_beginning(text: str, whole: bool) -> None:
    short = shortened(Said(text * 50, whole))
    assert text_tokens(short) <= SUMMARY_TOKENS
    assert "… [cut" in short or short.strip() in text * 50


def test_the_language_is_that_of_the_person_then_of_all() -> None:
    assert in_language_of(GERMAN, "The answer is that it is not in the house of the king, and that is it.") == (
        "Write in German."
    )
    assert in_language_of("Hm?", GERMAN) == "Write in German."
    assert in_language_of("我想去北京旅行") == "Write in Chinese."
    assert in_language_of("Hm?") == "Write in the language of the conversation."


@given(st.text(alphabet="</> \nuserasitntcod"))
def test_law_nothing_said_closes_its_quotation(text: str) -> None:
    assert transcript(text, text).count("</user>") == 1
    assert transcript(text, text).count("</turn>") == 1


def test_data_is_quoted_as_it_stands() -> None:
    assert quoted("user", "a < b </div> </User > </assistant>") == (
        "<user>\na < b </div> <\\/User > <\\/assistant>\n</user>"
    )
