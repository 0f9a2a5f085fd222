"""Finding the passages of documents that say something about a question. One entry point: `retrieve`."""

from retrieval.search.neighbours import in_reading_order
from retrieval.search.query import Passage, Query
from retrieval.search.retriever import retrieve, retrieve_now
from retrieval.search.vectors import QueryVectors

__all__ = ["Passage", "Query", "QueryVectors", "in_reading_order", "retrieve", "retrieve_now"]
