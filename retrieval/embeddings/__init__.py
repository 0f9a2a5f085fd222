"""Texts to vectors, by a server or by hashing."""

from retrieval.embeddings.base import Embedder, EmbeddingTarget, Kind, Vectors
from retrieval.embeddings.registry import embedder_for

__all__ = ["Embedder", "EmbeddingTarget", "Kind", "Vectors", "embedder_for"]
