"""Finding the passages of documents that say something about a question: `retrieve`. Or all of them: `whole`."""

from retrieval.search.filters import Filter, FilterError, besides_conversations, both, parse_filter
from retrieval.search.neighbours import in_reading_order
from retrieval.search.query import Passage, Query
from retrieval.search.retriever import retrieve, retrieve_now
from retrieval.search.vectors import QueryVectors
from retrieval.search.whole import Whole, whole

__all__ = [
    "Filter",
    "FilterError",
    "Passage",
    "Query",
    "QueryVectors",
    "Whole",
    "besides_conversations",
    "both",
    "in_reading_order",
    "parse_filter",
    "retrieve",
    "retrieve_now",
    "whole",
]
