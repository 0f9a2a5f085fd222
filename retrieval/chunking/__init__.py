"""Text to chunks: spans of a bounded number of tokens that keep to pages, headings and sentences."""

from retrieval.chunking.chunker import MAX_TOKENS, chunk
from retrieval.chunking.piece import Piece

__all__ = ["MAX_TOKENS", "Piece", "chunk"]
