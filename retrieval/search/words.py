"""The question's words, weighed by how rare they are in what is searched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import QuerySet

from retrieval.models import VectorStore
from retrieval.search.lexical import query_weights, total_idf
from retrieval.search.scope import document_frequencies
from retrieval.search.terms import term_id, terms


@dataclass(frozen=True, slots=True)
class Words:
    """`weights` are qtf·idf by term, with the stems of every language in scope. `totals` are their sums by language:
    the BM25 score of a chunk that covers the whole question.
    """

    weights: Mapping[int, float]
    totals: Mapping[str, float]


def question_words(text: str, languages: Iterable[str], scope: QuerySet[VectorStore], chunks: int) -> Words:
    """Analyse `text` in each of `languages`; `chunks` is how many there are in `scope`."""
    stems = {language: terms(text, language) for language in languages}
    known = document_frequencies(scope, {term_id(stem) for found in stems.values() for stem in found})
    weights: dict[int, float] = {}
    totals: dict[str, float] = {}
    for language, found in stems.items():
        of_language = query_weights(found, known, chunks)
        weights |= {term: max(weight, weights.get(term, 0)) for term, weight in of_language.items()}
        if total := total_idf(of_language):
            totals[language] = total
    return Words(weights, totals)
