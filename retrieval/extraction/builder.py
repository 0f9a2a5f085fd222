"""Puts a document's text together and keeps count of where things are."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from retrieval.errors import NoTextFoundError, TooLargeError
from retrieval.extraction.language import detect_language
from retrieval.extraction.ocr import Ocr
from retrieval.extraction.result import Extraction, Heading

TITLE_LENGTH = 200
MAX_HEADINGS = 20_000
MAX_WARNINGS = 20
# Between the cells of a table's row, in every kind of file
CELLS_APART = " | "

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much text, in characters, and how many pages a document may have; and what reads pictures, if anything."""

    max_chars: int
    max_pages: int
    ocr: Ocr | None = None


def clean(text: str) -> str:
    """`text` with one kind of line end, and without what PostgreSQL or UTF-8 cannot hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str, length: int = TITLE_LENGTH) -> str:
    """A title: white space joined, of bounded length."""
    return " ".join(clean(text).split())[:length].rstrip()


def _cells(row: Sequence[str]) -> list[str]:
    cells = [" ".join(cell.split()) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


@dataclass
class TextBuilder:
    """Collects blocks of text, pages and headings. Raises TooLargeError as soon as the text is too long.

    `pictures` counts the pages that were left out because they are pictures.
    """

    bounds: Bounds
    title: str = ""
    pictures: int = 0
    warnings: list[str] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _pages: list[tuple[int, int]] = field(default_factory=list)
    _page_start: int | None = None
    _headings: list[Heading] = field(default_factory=list)
    _separator: str = ""

    @property
    def offset(self) -> int:
        """Where the next block will begin."""
        return self._length + len(self._separator)

    def block(self, text: str, *, separator: str = "\n\n") -> int:
        """Append a block and return the offset of its first character; `separator` comes before the next
        one.
        """
        text = clean(text)
        if not text:
            return self.offset
        start = self._append(self._separator + text) - len(text)
        self._separator = separator
        return start

    def gap(self, wanted: bool = True) -> None:
        """Leave an empty line before the next block, whatever the last one asked for."""
        if wanted and self._separator:
            self._separator = "\n\n"

    def lines(self, texts: Iterable[str]) -> None:
        """Append texts as lines that belong together, with an empty line before and after them."""
        self.gap()
        for text in texts:
            self.block(text, separator="\n")
        self.gap()

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Append rows as lines with their cells apart. Empty rows, and empty cells at a row's end, are left out."""
        self.lines(line for row in rows if (line := CELLS_APART.join(_cells(row))))

    def heading(self, level: int, title: str) -> None:
        """Append a heading as a block of its own."""
        if title.strip():
            self.mark_heading(self.block(title.strip()), level, title)

    def mark_heading(self, offset: int, level: int, title: str) -> None:
        """Note a heading whose text is there already."""
        if one_line(title) and len(self._headings) < MAX_HEADINGS:
            self._headings.append(Heading(offset, max(1, level), one_line(title)))

    def begin_page(self) -> None:
        self._append(self._separator)
        self._separator = ""
        self._page_start = self._length

    def end_page(self) -> None:
        if self._page_start is not None:
            self._pages.append((self._page_start, self._length))
        self._page_start = None
        self._separator = "\n\n"

    def warn(self, sentence: str) -> None:
        if len(self.warnings) < MAX_WARNINGS and sentence not in self.warnings:
            self.warnings.append(one_line(sentence))

    def finish(
        self, *, mime: str, extractor: str, no_text: str = "No text was found in this file.", retryable: bool = False
    ) -> Extraction:
        """The document. Raises NoTextFoundError with the sentence `no_text` where there is nothing but white space;
        `retryable` says whether a reader that comes later may find more.
        """
        text = "".join(self._parts)
        if not text.strip():
            raise NoTextFoundError(no_text, retryable=retryable)
        return Extraction(
            mime=mime,
            text=text,
            pages=tuple(self._pages),
            headings=tuple(sorted(self._headings, key=lambda heading: heading.offset)),
            title=one_line(self.title),
            language=detect_language(text),
            pictures=self.pictures,
            extractor=extractor,
            warnings=tuple(self.warnings),
        )

    def _append(self, text: str) -> int:
        self._parts.append(text)
        self._length += len(text)
        if self._length > self.bounds.max_chars:
            raise TooLargeError(f"This file has more than {self.bounds.max_chars:,} characters of text.")
        return self._length
