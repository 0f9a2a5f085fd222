"""Finding the passages of documents that say something about a question. One entry point: `retrieve`."""

from retrieval.search.query import Passage, Query
from retrieval.search.retriever import retrieve, retrieve_now

__all__ = ["Passage", "Query", "retrieve", "retrieve_now"]
