"""What is asked and what is found."""

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """A question, made from a conversation by the caller.

    `dense` holds texts with weights, the newest first (each turn back weighs half): their vectors are added.
    `lexical` is the text whose words are looked for. Either may be empty; then only the other side is searched.
    """

    dense: tuple[tuple[str, float], ...]
    lexical: str

    @classmethod
    def of(cls, text: str) -> "Query":
        """A question that stands alone."""
        return cls(dense=((text, 1.0),), lexical=text)


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a revision: `revision.text[start:end] == text`.

    `score` is what it is ranked by; `dense_score` is the cosine with the question, `lexical_score` the share of the
    question's words covered (0 to 1, weighted by how rare they are). Where neighbours were joined, scores, `chunk_id`
    and `heading` are those of the best of them. Pages count from 1 and are None for documents without pages;
    `page_starts` are the offsets (in the revision) and numbers of those that begin behind `start`. `tokens` counts
    `text`.
    """

    chunk_id: int
    document_id: uuid.UUID
    revision_id: uuid.UUID
    document_name: str
    text: str
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading: str
    score: float
    dense_score: float
    lexical_score: float
    tokens: int
    page_starts: tuple[tuple[int, int], ...] = ()
