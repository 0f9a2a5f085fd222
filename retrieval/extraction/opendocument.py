"""Reads OpenDocument texts: headings, lists, tables, notes and comments.

Our own reader, because kreuzberg joins the paragraphs of a cell, loses spaces and alternative texts, and puts notes
before the paragraph they belong to. The format: OpenDocument 1.3 part 3; what was deleted under change tracking is
left out.
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from retrieval.errors import EncryptedFileError
from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.package import Package, attribute, child, every, local, opened
from retrieval.extraction.result import Extraction

EXTRACTOR = "opendocument 1"

# One cell that says it is repeated thousands of times is empty filling.
MAX_REPEATED = 100

_MANIFEST = "META-INF/manifest.xml"
_LEFT_OUT = frozenset({"tracked-changes", "note-citation", "ruby-text", "sequence-decls", "creator", "date"})


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    builder = TextBuilder(bounds)
    with opened(data, "OpenDocument text") as package:
        _refuse_locked(package)
        body = child(package.part("content.xml"), "body", "text")
        reader = _Reader(builder)
        _write_furniture(builder, reader, package, "header")
        if body is not None:
            reader.write(body)
        _write_furniture(builder, reader, package, "footer")
        if "meta.xml" in package:
            builder.title = next((node.text or "" for node in every(package.part("meta.xml"), "title")), "")
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="This document has no text of its own.")


def _refuse_locked(package: Package) -> None:
    # some writers declare the document type of their manifest
    entries = every(package.part(_MANIFEST, doctype=True), "encryption-data") if _MANIFEST in package else ()
    if next(iter(entries), None) is not None:
        raise EncryptedFileError("This OpenDocument text needs a password to be opened.")


def _write_furniture(builder: TextBuilder, reader: "_Reader", package: Package, kind: str) -> None:
    """The headers or footers of the pages, each different one once."""
    if "styles.xml" not in package:
        return
    seen: set[str] = set()
    for node in every(package.part("styles.xml"), kind):
        lines = [reader.text(paragraph) for paragraph in every(node, "p")]
        text = "\n".join(line for line in lines if any(map(str.isalpha, line)))
        if text not in seen:
            builder.block(text)
        seen.add(text)


class _Reader:
    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._after: list[str | Element] = []
        self._notes = 0

    def write(self, parent: Element, depth: int = 0) -> None:
        """Write the blocks below `parent`; `depth` counts the lists around them."""
        for node in parent:
            match local(node):
                case "h":
                    level = attribute(node, "outline-level")
                    self._builder.gap()
                    self._builder.heading(int(level) if level.isdigit() else 1, self.text(node))
                    self._write_after()
                case "p":
                    self._builder.gap()
                    self._builder.block(self.text(node))
                    self._write_after()
                case "list":
                    self._write_list(node, depth)
                    self._builder.gap(depth == 0)
                case "table":
                    self._write_table(node)
                case name if name not in _LEFT_OUT:
                    self.write(node, depth)

    def text(self, node: Element) -> str:
        """The text of a paragraph; what hangs on it (notes, frames) is kept for after it."""
        return "".join(self._runs(node)).strip()

    def _runs(self, node: Element) -> Iterator[str]:
        yield node.text or ""
        for inner in node:
            match local(inner):
                case "tab":
                    yield "\t"
                case "line-break":
                    yield "\n"
                case "s":
                    count = attribute(inner, "c")
                    yield " " * (min(int(count), MAX_REPEATED) if count.isdigit() else 1)
                case "note":
                    self._notes += 1
                    yield f"[^{self._notes}]"
                    self._after.append(f"[^{self._notes}]: {self._joined(inner)}")
                case "annotation":
                    author = "".join(each.text or "" for each in inner if local(each) == "creator")
                    self._after.append(f"Comment{f' by {author}' if author else ''}: {self._joined(inner)}")
                case "frame" | "custom-shape":
                    self._after.append(inner)
                case name if name not in _LEFT_OUT:
                    yield from self._runs(inner)
            yield inner.tail or ""

    def _joined(self, node: Element) -> str:
        return " ".join(filter(None, ("".join(self._runs(each)).strip() for each in every(node, "p"))))

    def _write_after(self) -> None:
        while self._after:
            first = self._after.pop(0)
            if isinstance(first, str):
                self._builder.block(first)
            elif any(local(inner) in {"text-box", "p", "table"} for inner in first):
                self.write(first)
            else:
                described = child(first, "desc") if child(first, "desc") is not None else child(first, "title")
                self._builder.block("" if described is None else " ".join("".join(described.itertext()).split()))

    def _write_list(self, node: Element, depth: int) -> None:
        for item in node:
            first = True
            for inner in item:
                if local(inner) == "list":
                    self._write_list(inner, depth + 1)
                elif text := self.text(inner):
                    mark = f"{'  ' * depth}- " if first else "  " * (depth + 1)
                    self._builder.block(mark + text, separator="\n")
                    self._write_after()
                    first = False

    def _write_table(self, table: Element) -> None:
        self._builder.table(self._row(row) for row in _rows(table))
        self._write_after()

    def _row(self, row: Element) -> list[str]:
        cells = []
        for cell in row:
            if local(cell) in {"table-cell", "covered-table-cell"}:
                repeated = attribute(cell, "number-columns-repeated")
                texts = [self.text(paragraph) for paragraph in every(cell, "p")]
                cells += [" ".join(texts)] * (min(int(repeated), MAX_REPEATED) if repeated.isdigit() else 1)
        return cells


def _rows(node: Element) -> Iterator[Element]:
    for inner in node:
        if local(inner) == "table-row":
            yield inner
        elif local(inner).startswith("table-"):
            yield from _rows(inner)
