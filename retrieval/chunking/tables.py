"""Where the tables of a text are, and what their columns are called.

A table that is longer than a chunk is cut between rows. Its later chunks are rows without a head, which neither a
search nor a model can make sense of: so the names of the columns join the headings that those chunks stand below.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from retrieval.extraction import Extraction
from retrieval.extraction.builder import CELLS_APART
from retrieval.extraction.languages import BY_MIME

MAX_CHARS = 120
_LONGEST_ROW = 2_000

MIN_ROWS = 3


class Table(NamedTuple):
    """A table: where its rows behind the first begin, where it ends, and its first row."""

    body: int
    end: int
    columns: str


class Tables:
    """The tables of an extraction, in order."""

    def __init__(self, extraction: Extraction) -> None:
        # program code has lines like rows for other reasons
        self._tables = [] if extraction.mime in BY_MIME else list(_tables(extraction.text))
        self._bodies = [table.body for table in self._tables]

    def columns_above(self, offset: int) -> str:
        """The names of the columns where `offset` is in a table behind its first row; otherwise ""."""
        index = bisect_right(self._bodies, offset) - 1
        return self._tables[index].columns if index >= 0 and offset < self._tables[index].end else ""


def _tables(text: str) -> Iterator[Table]:
    """Lines in a row that look like rows: as all readers write them, or as Markdown does."""
    start, rows, offset = 0, 0, 0
    first = ""
    for line in (*text.splitlines(keepends=True), ""):
        if CELLS_APART in line or line.startswith("|"):
            if not rows:
                start, first = offset, line
            rows += 1
        else:
            if rows >= MIN_ROWS:
                yield Table(start + len(first), offset, _named(first))
            rows = 0
        offset += len(line)


def _named(row: str) -> str:
    """The cells of a first row, as many as fit; none where it holds no word, so is no head."""
    cells = [" ".join(cell.split()) for cell in row[:_LONGEST_ROW].strip().strip("|").split("|")]
    if not any(any(map(str.isalpha, cell)) for cell in cells):
        return ""
    while cells and len(CELLS_APART.join(cells)) > MAX_CHARS:
        cells.pop()
    return CELLS_APART.join(cells).strip(" |")
