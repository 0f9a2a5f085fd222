"""What counts as a person's own words, what a fact is founded on, and what nobody should note."""

import pytest

from chat.services.facts.words import is_founded, is_secret, own_words


def test_own_words_are_without_code_and_what_was_quoted() -> None:
    text = "I live in Oslo.\n> I live in Rome.\n```\nname = 'I live in Paris'\n```\nAnd I row.\n~~~\nopen to the end"
    assert own_words(text) == "I live in Oslo.\n\nAnd I row."
    assert own_words("> only quoted") == ""
    assert own_words("Is 3 > 2? I think so.") == "Is 3 > 2? I think so."


@pytest.mark.parametrize(
    ("text", "quote", "said"),
    [
        ("Lives in Oslo.", "I live in Oslo", "Hello! I live in Oslo, since 2019."),
        ("Has two daughters, Mia and Lea.", "My daughters Mia and Lea", "My daughters Mia and Lea both ski."),
        ("Is called Bo.", "Bo", "Bo."),
        ("Wohnt in Hamburg.", "wohne in Hamburg", "Ich wohne in Hamburg und fahre gern Rad."),
        ("Aime le thé vert.", "j'aime le thé vert", "Oui, j’aime le thé vert."),
        ("住在东京。", "我住在东京", "我住在东京。"),
        ("Wants answers in metric units.", "use metric units", "Please always use metric units."),
        ("Says “never again” about flying.", "never again", "Flying: never again!"),
    ],
)
def test_what_the_message_says_is_founded(text: str, quote: str, said: str) -> None:
    assert is_founded(text, quote, said)


@pytest.mark.parametrize(
    ("text", "quote", "said"),
    [
        pytest.param("Lives in Rome.", "I live in Oslo", "I live in Oslo.", id="another name"),
        pytest.param("Has lived in Oslo since 2018.", "I live in Oslo", "I live in Oslo since 2019.", id="number"),
        pytest.param("Lives in Oslo.", "I love Oslo", "I live in Oslo.", id="a quotation that is none"),
        pytest.param("Lives in Oslo.", "", "I live in Oslo.", id="no quotation"),
        pytest.param("Lives in Oslo.", "...", "I live in Oslo...", id="a quotation without a word"),
        pytest.param("Owns a sailing boat and horses.", "I live", "I live in Oslo.", id="other words"),
        pytest.param("Says “gladly”.", "I go", "I go to Oslo.", id="words that were not said"),
    ],
)
def test_what_it_does_not_say_is_not(text: str, quote: str, said: str) -> None:
    assert not is_founded(text, quote, said)


@pytest.mark.parametrize(
    "text",
    [
        "Has the password hunter2.",
        "Sein Passwort ist geheim.",
        "Uses the API key of the team.",
        "Has the PIN 1234.",
        "Has pin code 4711.",
        "Pays with 4111 1111 1111 1111.",
        "Pays from DE89 3704 0044 0532 0130 00.",
        "Uses sk-proj-9fK2mQ7xT4bL8wZ1.",
        "Uses 6f4f2c0e-5f0b-4c55-9a0b-8d0b2a3c9d11.",
    ],
)
def test_secrets_are_seen(text: str) -> None:
    assert is_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "Can be called at 040 1234567.",
        "Got the covid-19-vaccination-of-2021.",
        "Likes tan leather and collects pins.",
        "Was born on 1984-05-17.",
        "Has a Donaudampfschifffahrtskapitänspatent.",
        "Works on https://example.org/projects/tide-tables.",
    ],
)
def test_other_facts_are_none(text: str) -> None:
    assert not is_secret(text)
