"""Words, terms, their numbers, and BM25 as an inner product."""

import math
import random
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.words import MAX_LENGTH, stem, words
from retrieval.search.lexical import (
    MAX_CHUNK_TERMS,
    MAX_QUERY_TERMS,
    chunk_weights,
    idf,
    query_weights,
    total_idf,
)
from retrieval.search.terms import TERM_SPACE, term_id, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FY2018", ["fy", "2018"]),
        ("BR-129, 0.50 EUR", ["br", "129", "0", "50", "eur"]),
        ("don't_stop", ["don", "t", "stop"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("ﬁne ｗｉｄｅ ²", ["fine", "wide", "2"]),
        ("東京都庁", ["東京", "京都", "都庁"]),
        ("漢", ["漢"]),
        ("GPU用カード2枚", ["gpu", "用カ", "カー", "ード", "2", "枚"]),
        ("서울사무소", ["서울", "울사", "사무", "무소"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("cafe\u0301", ["café"]),
        ("…—!?", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text())
def test_words_are_short_and_already_folded(text: str) -> None:
    for word in words(text):
        assert 0 < len(word) <= MAX_LENGTH
        assert words(word) == [word] or len(word) > 1


@given(st.text(alphabet="aé\u0301\u0308ไทย่้क्षि漢ーㅏ\u0e49", max_size=20))
def test_no_term_is_empty(text: str) -> None:
    assert all(terms(text))


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "lighthouses", "lighthouse"),
        ("", "keeping", "keeps"),
        ("xx", "keeping", "keeps"),
        ("de", "Leuchttürme", "leuchtturm"),
        ("fr", "maisons", "maison"),
        ("es", "corriendo", "correr"),
        ("ru", "книгами", "книги"),
        ("en", "café", "cafe"),
    ],
)
def test_forms_of_a_word_are_one_term(language: str, one: str, other: str) -> None:
    assert terms(one, language) == terms(other, language) != []


def test_stems_depend_on_the_language() -> None:
    assert stem("national", "en") != stem("national", "de")


def test_stemming_in_many_threads() -> None:
    vocabulary = [f"{a}{b}ing" for a in "bcdfghjklm" for b in ("oat", "uild", "eep", "orm", "ank")]
    expected = [stem(word, "sv") for word in vocabulary]
    results: list[list[str]] = []

    def work() -> None:
        for language in ("nl", "da", "sv"):
            found = [stem(word, language) for word in vocabulary]
        results.append(found)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


@given(st.text(max_size=30))
def test_numbers_of_terms(term: str) -> None:
    term = term.encode(errors="replace").decode()
    assert 1 <= term_id(term) < TERM_SPACE
    assert term_id(term) == term_id(term)


def test_numbers_never_change() -> None:
    # They are stored: a change of the hash would silently lose every row written before it.
    assert (term_id("lighthous"), term_id("漢字")) == (156226682, 907188157)


def straightforward_bm25(
    query: list[str], chunk: list[str], chunks: list[list[str]], k1: float, b: float, average: float
) -> float:
    """BM25 written down as the formula stands, term by term of the query."""
    score = 0.0
    for term in query:
        frequency = sum(term in other for other in chunks)
        weight = math.log(1 + (len(chunks) - frequency + 0.5) / (frequency + 0.5))
        occurrences = chunk.count(term)
        score += weight * occurrences / (occurrences + k1 * (1 - b + b * len(chunk) / average))
    return score


@pytest.mark.parametrize("seed", range(10))
def test_the_inner_product_is_bm25(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    vocabulary = [f"term{n}" for n in range(60)]
    chunks = [dice.choices(vocabulary, weights=range(60, 0, -1), k=dice.randint(1, 120)) for _ in range(40)]
    k1, b, average = dice.uniform(0.5, 2), dice.uniform(0, 1), dice.uniform(20, 200)
    stored = [chunk_weights(chunk, k1=k1, b=b, average_length=average) for chunk in chunks]
    frequencies = Counter(term for weights in stored for term in weights)
    query = dice.choices([*vocabulary, "unheard"], k=8)
    asked = query_weights(query, frequencies, len(chunks))
    for chunk, weights in zip(chunks, stored, strict=True):
        product = sum(weight * weights.get(term, 0) for term, weight in asked.items())
        assert product == pytest.approx(straightforward_bm25(query, chunk, chunks, k1, b, average))
        assert 0 <= product < total_idf(asked)


@given(st.lists(st.sampled_from("abcdef"), max_size=60), st.integers(0, 50), st.integers(0, 50))
def test_weights_are_fit_to_be_stored(chunk: list[str], frequency: int, documents: int) -> None:
    assert all(0 < weight < 1 for weight in chunk_weights(chunk).values())
    asked = query_weights(chunk, {term_id("a"): frequency}, documents)
    assert set(asked) == {term_id(term) for term in chunk}
    assert all(weight > 0 for weight in asked.values())


def test_rarer_terms_weigh_more() -> None:
    values = [idf(frequency, 1000) for frequency in (0, 1, 10, 100, 1000)]
    assert values == sorted(values, reverse=True)
    assert idf(5, 3) == idf(3, 3) > 0


def test_only_the_heaviest_terms_of_a_monstrous_chunk_are_kept() -> None:
    often = [f"often{n}" for n in range(10)]
    rare = [f"rare{n}" for n in range(3000)]
    kept = chunk_weights(often * 3 + rare)
    assert len(kept) == MAX_CHUNK_TERMS
    assert {term_id(term) for term in often} <= set(kept)
    assert kept == chunk_weights(rare[::-1] + often * 3)
    assert len(query_weights(rare, {}, 10)) == MAX_QUERY_TERMS


def test_a_question_without_words() -> None:
    assert query_weights(terms("?!"), {}, 10) == {}
    assert total_idf({}) == 0
