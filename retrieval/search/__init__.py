"""Finding the passages of documents that say something about a question: `retrieve`. Or all of them: `whole`."""

from retrieval.search.neighbours import in_reading_order
from retrieval.search.query import Passage, Query
from retrieval.search.retriever import retrieve, retrieve_now
from retrieval.search.vectors import QueryVectors
from retrieval.search.whole import Whole, whole

__all__ = ["Passage", "Query", "QueryVectors", "Whole", "in_reading_order", "retrieve", "retrieve_now", "whole"]
