"""BM25 as an inner product of two sparse vectors, so that the database can rank by it.

BM25 of a chunk for a query is the sum over the query's terms of `qtf · idf(term) · tf / (tf + k1 (1 - b + b
dl / avgdl))` (Robertson & Zaragoza 2009, without the constant factor k1 + 1). What depends on the chunk alone
is stored with it, with a fixed average length, so that rows stay valid while a store grows; idf is Lucene's
`ln(1 + (N - df + 0.5) / (df + 0.5))` and belongs to the query's vector. Divided by `total_idf` a score is the
share of the question that a chunk covers, 0 to 1.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping

from retrieval.search.terms import term_id

# Of the usual values these were best on our measurements (SciFact, span recall of chunks), by little.
K1 = 1.5
B = 0.75
# About the terms of a chunk of the usual size with its header. A constant: rows written years apart must be comparable.
AVERAGE_LENGTH = 150.0

# pgvector: an HNSW index takes vectors of at most 1,000 non-zero elements.
MAX_CHUNK_TERMS = 1000
MAX_QUERY_TERMS = 256


def chunk_weights(
    terms: Iterable[str], *, k1: float = K1, b: float = B, average_length: float = AVERAGE_LENGTH
) -> dict[int, float]:
    """Term numbers and weights, above 0 and below 1, of a chunk with these terms.

    Of more than MAX_CHUNK_TERMS different terms the heaviest are kept: only a chunk far above the usual size
    has them.
    """
    counts = Counter(map(term_id, terms))
    saturation = k1 * (1 - b + b * counts.total() / average_length)
    return _heaviest({term: count / (count + saturation) for term, count in counts.items()}, MAX_CHUNK_TERMS)


def query_weights(terms: Iterable[str], document_frequency: Mapping[int, int], documents: int) -> dict[int, float]:
    """Term numbers and weights, above 0, of a query with these terms.

    `document_frequency` says in how many of the `documents` chunks in scope a term stands; terms it lacks
    stand in none. Of more than MAX_QUERY_TERMS different terms the heaviest are kept.
    """
    counts = Counter(map(term_id, terms))
    weights = {term: count * idf(document_frequency.get(term, 0), documents) for term, count in counts.items()}
    return _heaviest(weights, MAX_QUERY_TERMS)


def idf(frequency: int, documents: int) -> float:
    """How telling a term is that stands in `frequency` of `documents` chunks (Lucene's BM25Similarity).

    Above 0, also where frequencies counted earlier exceed the number of chunks counted now.
    """
    frequency = min(frequency, documents)
    return math.log1p((documents - frequency + 0.5) / (frequency + 0.5))


def total_idf(weights: Mapping[int, float]) -> float:
    """The sum of a query's weights: what a chunk's score can never reach. 0 for a query without terms."""
    return math.fsum(weights.values())


def _heaviest(weights: dict[int, float], count: int) -> dict[int, float]:
    if len(weights) <= count:
        return weights
    # The term decides between equal weights, so that the same text gives the same row everywhere.
    return dict(heapq.nlargest(count, weights.items(), key=lambda item: (item[1], item[0])))
