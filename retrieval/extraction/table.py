"""Reads tables as text (CSV, TSV): a line for each row, its cells apart, whatever separates them in the file."""

import csv
import io
from collections.abc import Iterator
from itertools import islice

from retrieval.extraction.builder import Bounds, TextBuilder, clean
from retrieval.extraction.encoding import decode
from retrieval.extraction.kinds import TSV
from retrieval.extraction.result import Extraction

EXTRACTOR = "table 1"

# In the order of preference where several fit
SEPARATORS = ",;\t|"
_SAMPLE_LINES = 50
# A cell of more lines is one whose quotation mark was never closed.
_MOST_LINES = 200


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    text, encoding = decode(data)
    builder = TextBuilder(bounds)
    csv.field_size_limit(bounds.max_chars)
    lines = list(io.StringIO(clean(text)))  # at line feeds only, unlike str.splitlines
    separator = "\t" if mime == TSV and any("\t" in line for line in lines[:_SAMPLE_LINES]) else _separator(lines)
    quoting = csv.QUOTE_MINIMAL if _is_quoted_well(lines, separator) else csv.QUOTE_NONE
    builder.table(_rows(lines, separator, quoting))
    if "\N{REPLACEMENT CHARACTER}" in text:
        builder.warn(f"Some characters could not be read as {encoding}.")
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="There is nothing but white space in this file.")


def _rows(lines: list[str], separator: str, quoting: int) -> Iterator[list[str]]:
    yield from csv.reader(lines, delimiter=separator, quoting=quoting, skipinitialspace=True)  # type: ignore[arg-type]


def _separator(lines: list[str]) -> str:
    """The separator under which most rows at the start have the same number of cells, more than one."""

    def agreement(separator: str) -> int:
        widths = [len(row) for row in islice(_rows(lines[:_SAMPLE_LINES], separator, csv.QUOTE_MINIMAL), _SAMPLE_LINES)]
        return max((widths.count(width) for width in set(widths) if width > 1), default=0)

    return max(SEPARATORS, key=agreement)


def _is_quoted_well(lines: list[str], separator: str) -> bool:
    rows = _rows(lines, separator, csv.QUOTE_MINIMAL)
    return all(cell.count("\n") <= _MOST_LINES for row in rows for cell in row)
