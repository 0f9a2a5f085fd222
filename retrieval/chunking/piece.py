"""A chunk before it is a row."""

from dataclasses import dataclass

from core.tokens import count_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A span of an extraction's text: `extraction.text[start:end] == text`.

    `page_start` and `page_end` count from 1, None for kinds without pages. `heading_path` holds the titles above the
    piece, the outermost first, and the columns of a table that began before it. `tokens` counts `text` (o200k).
    `header` is for indexing only, never shown or quoted.
    """

    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading_path: tuple[str, ...]
    tokens: int
    text: str
    header: str

    @property
    def embedding_text(self) -> str:
        """What is embedded and what the lexical weights are made from."""
        return embedding_text(self.header, self.text)


def embedding_text(header: str, text: str) -> str:
    """The same for a chunk that is a row."""
    return f"{header}\n{text}" if header else text


def header_tokens(header: str) -> int:
    """How many tokens of the embedding text stand before the chunk's own."""
    return count_tokens(f"{header}\n") if header else 0
