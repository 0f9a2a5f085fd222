"""Reads web pages: the content in reading order, without navigation, scripts and styles.

Our own reader on the standard library's tokenizer, because kreuzberg leaves out text that stands outside of
paragraphs (measured: loose text in `div`, definition lists, summaries).
"""

import re
from html.parser import HTMLParser

from retrieval.extraction.builder import CELLS_APART, Bounds, TextBuilder, one_line
from retrieval.extraction.encoding import decode
from retrieval.extraction.result import Extraction

EXTRACTOR = "html 2"

_SKIPPED = frozenset(
    {"script", "style", "noscript", "template", "nav", "footer", "svg", "iframe", "object", "select", "button"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(_HEADINGS) | {
    *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "dialog", "div", "dl", "dt"),
    *("fieldset", "figcaption", "figure", "form", "header", "hgroup", "hr", "html", "legend", "li", "main", "ol"),
    *("p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
}
# Within a cell these do not end the row.
_INLINE_IN_CELLS = frozenset({"p", "div", "ul", "ol", "li", "dl", "dt", "dd"})
_SPACES = re.compile(r"[ \t\n\r\f\u00a0]+")


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    text, encoding = decode(data, declared=True)
    builder = TextBuilder(bounds)
    write(builder, text)
    if "\N{REPLACEMENT CHARACTER}" in text:
        builder.warn(f"Some characters could not be read as {encoding}.")
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="This page has no text of its own.")


def write(builder: TextBuilder, text: str) -> None:
    """Write the content of a page behind what is there already."""
    skipped = _SKIPPED
    # One that is never closed would hide the rest of the page.
    while left_open := _left_open(text, skipped):
        skipped -= {left_open}
    reader = _Reader(builder, skipped)
    reader.feed(text)
    reader.close()
    reader.end_row()
    reader.flush()


def _left_open(text: str, skipped: frozenset[str]) -> str:
    """The skipped element that the page never closes, if there is one."""
    skips = _Skips(skipped)
    skips.feed(text)
    skips.close()
    return skips.open[-1] if skips.open else ""


class _Skips(HTMLParser):
    """Follows the elements whose content is not read."""

    def __init__(self, skipped: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self._skipped = skipped
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == self.open[-1] if self.open else tag in self._skipped:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag == self.open[-1]:
            self.open.pop()


class _Reader(_Skips):
    def __init__(self, builder: TextBuilder, skipped: frozenset[str]) -> None:
        super().__init__(skipped)
        self._builder = builder
        self._inline: list[str] = []
        self._heading = 0
        self._bullet = ""
        self._preformatted = 0
        self._title: list[str] | None = None
        self._cells: list[str] | None = None
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._end_title()
        if self.open or tag in self._skipped:
            super().handle_starttag(tag, attrs)
        elif tag == "title":
            self._title = []
        elif tag == "br":
            self._inline.append(" " if self._in_cell else "\n")
        elif tag == "img":
            self._inline.append(f" {dict(attrs).get('alt') or ''} ")
        elif tag == "tr":
            self.end_row()
            self.flush()
            self._cells = []
        elif tag in {"td", "th"}:
            self._start_cell()
        elif tag in _BLOCKS:
            self._start_block(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open:
            super().handle_endtag(tag)
        elif tag == "title":
            self._end_title()
        elif tag in {"td", "th"}:
            self._end_cell()
        elif tag in {"tr", "table"}:
            self.end_row()
            self._builder.gap(tag == "table")
        elif tag in _BLOCKS and self._in_cell:
            self._inline.append(" ")
        elif tag in _BLOCKS:
            self._end_block(tag)

    def handle_data(self, data: str) -> None:
        if self._title is not None:
            self._title.append(data)
        elif not self.open:
            self._inline.append(data if self._preformatted else _SPACES.sub(" ", data))

    def flush(self) -> None:
        """Write what was collected as one block."""
        raw, self._inline = "".join(self._inline), []
        if self._preformatted:
            self._builder.block(raw.strip("\n"))
            return
        text = "\n".join(line for line in (_SPACES.sub(" ", line).strip() for line in raw.split("\n")) if line)
        if not text:
            return
        if self._heading:
            self._builder.heading(self._heading, text)
        else:
            self._builder.block(self._bullet + text, separator="\n" if self._bullet else "\n\n")
        self._heading, self._bullet = 0, ""

    def end_row(self) -> None:
        self._end_cell()
        cells, self._cells = self._cells, None
        if cells and any(cells):
            self._builder.block(CELLS_APART.join(cells), separator="\n")

    def _start_block(self, tag: str) -> None:
        if self._in_cell and tag in _INLINE_IN_CELLS:
            self._inline.append(" ")
            return
        self.end_row()
        self.flush()
        self._heading = _HEADINGS.get(tag, self._heading)
        self._bullet = "- " if tag == "li" else self._bullet
        self._preformatted += tag == "pre"

    def _end_block(self, tag: str) -> None:
        self.end_row()
        self.flush()
        self._heading = 0 if tag in _HEADINGS else self._heading
        self._bullet = "" if tag == "li" else self._bullet
        self._preformatted -= tag == "pre" and self._preformatted > 0
        self._builder.gap(tag in {"ul", "ol"})

    def _start_cell(self) -> None:
        if self._cells is None:
            self.flush()
            self._cells = []
        self._end_cell()
        # text between the cells of a row is shown by browsers too
        loose, self._inline = _SPACES.sub(" ", "".join(self._inline)).strip(), []
        if loose:
            self._cells.append(loose)
        self._in_cell = True

    def _end_cell(self) -> None:
        if self._in_cell and self._cells is not None:
            self._cells.append(_SPACES.sub(" ", "".join(self._inline)).strip())
            self._inline = []
        self._in_cell = False

    def _end_title(self) -> None:
        if self._title is not None:
            self._builder.title = self._builder.title or one_line("".join(self._title))
        self._title = None
