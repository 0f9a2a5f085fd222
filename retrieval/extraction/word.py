"""Reads Word documents: paragraphs with their numbers, headings, tables, notes, comments, headers and footers.

Our own reader, because kreuzberg loses hyphens that do not break ("day-to-day"), tabs, the numbers of paragraphs,
comments and headers, repeats merged cells and shows hidden text. What the author deleted or hid is left out. The
format: ECMA-376 part 1 (WordprocessingML).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.charts import write_charts
from retrieval.extraction.numbering import BULLET, Numbering
from retrieval.extraction.package import Package, attribute, child, every, local, opened
from retrieval.extraction.result import Extraction
from retrieval.extraction.wordstyles import Styles

EXTRACTOR = "word 1"

HIDDEN = "Hidden text was left out."

# Deleted text, codes of fields, properties, and readings above characters
_LEFT_OUT = frozenset({"del", "moveFrom", "instrText", "delText", "pPr", "rPr", "tblPr", "trPr", "tcPr", "sdtPr", "rt"})
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": ""}
_OFF = frozenset({"0", "false", "off"})


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    builder = TextBuilder(bounds)
    with opened(data, "Word document") as package:
        name = next((each.target for each in package.relations("") if each.kind == "officeDocument"), "")
        _Document(builder, package, name or "word/document.xml").write()
        builder.title = package.core_title()
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="This Word document has no text of its own.")


@dataclass
class _Paragraph:
    """What a paragraph consists of: its text, and what is written after it."""

    text: list[str] = field(default_factory=list)
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    boxes: list[Element] = field(default_factory=list)
    drawings: list[Element] = field(default_factory=list)

    def joined(self) -> str:
        return "".join(self.text).strip()


class _Document:
    def __init__(self, builder: TextBuilder, package: Package, name: str) -> None:
        self._builder = builder
        self._package = package
        self._name = name
        parts = {each.kind: each.target for each in package.relations(name) if each.target in package}
        self._styles = Styles.of(package.part(parts["styles"]) if "styles" in parts else None)
        self._numbering = Numbering.of(package.part(parts["numbering"]) if "numbering" in parts else None)
        kinds = {"footnote": "footnotes", "endnote": "endnotes", "comment": "comments"}
        self._notes = {
            kind: {attribute(note, "id"): note for note in every(package.part(parts[part]), kind)}
            for kind, part in kinds.items()
            if part in parts
        }
        self._marks: dict[tuple[str, str], int] = {}
        self._in_list = False

    def write(self) -> None:
        body = child(self._package.part(self._name), "body")
        self._write_furniture("header")
        if body is not None:
            self._write_blocks(body)
        self._write_furniture("footer")

    def _write_furniture(self, kind: str) -> None:
        """Headers and footers, each different one once."""
        seen: set[str] = set()
        for relation in self._package.relations(self._name):
            if relation.kind == kind and relation.target in self._package:
                lines = [self._read(node).joined() for node in every(self._package.part(relation.target), "p")]
                text = "\n".join(line for line in lines if any(map(str.isalpha, line)))
                if text and text not in seen:
                    self._builder.block(text)
                seen.add(text)

    def _write_blocks(self, parent: Element) -> None:
        for node in parent:
            match local(node):
                case "p":
                    self._write_paragraph(node)
                case "tbl":
                    self._write_table(node)
                case "AlternateContent":
                    self._write_blocks(next(iter(node), node))
                case name if name not in _LEFT_OUT:
                    self._write_blocks(node)

    def _write_paragraph(self, node: Element) -> None:
        paragraph = self._read(node)
        text = paragraph.joined()
        level = self._styles.level(node)
        mark = self._mark(node) if text else ""
        if level and text:
            self._builder.gap()
            self._builder.heading(level, " ".join(f"{mark.removeprefix(BULLET)} {text}".split()))
        elif text:
            self._builder.gap(not (mark and self._in_list))
            self._builder.block(f"{mark} {text}" if mark else text, separator="\n" if mark else "\n\n")
        self._in_list = bool(mark) and not level
        self._write_after(paragraph)

    def _write_after(self, paragraph: _Paragraph) -> None:
        for box in paragraph.boxes:
            self._write_blocks(box)
        for drawing in paragraph.drawings:
            if not write_charts(self._builder, self._package, self._name, drawing):
                self._builder.block(_description(drawing))
        for kind, mark, identifier in paragraph.notes:
            note = self._notes.get(kind, {}).get(identifier)
            if note is not None:
                text = " ".join(filter(None, (self._read(each).joined() for each in every(note, "p"))))
                self._builder.gap()
                self._builder.block(f"{mark}: {text}" if text else "")

    def _mark(self, node: Element) -> str:
        number, level = self._styles.list_of(node)
        return self._numbering.mark(number, level) if number not in {"", "0"} else ""

    def _write_table(self, table: Element) -> None:
        rows = [list(_direct(row, "tc")) for row in _direct(table, "tr")]
        if all(len(row) == 1 for row in rows):
            # a frame around text, not a table
            for (cell,) in rows:
                self._write_blocks(cell)
            return
        after: list[_Paragraph] = []
        self._builder.block(attribute(child(table, "tblPr", "tblCaption"), "val"))
        self._builder.table([text for cell in row for text in self._cell(cell, after)] for row in rows)
        self._in_list = False
        for paragraph in after:
            self._write_after(paragraph)

    def _cell(self, cell: Element, after: list[_Paragraph]) -> list[str]:
        """The text of a cell, and an empty one for each further column that it takes."""
        merge, span = child(cell, "tcPr", "vMerge"), attribute(child(cell, "tcPr", "gridSpan"), "val")
        width = int(span) if span.isdigit() and len(span) < 4 else 1
        texts = []
        if merge is None or attribute(merge, "val") == "restart":
            paragraphs = [self._read(node) for node in every(cell, "p")]
            after += paragraphs
            texts = [paragraph.joined() for paragraph in paragraphs]
        return [" ".join(texts), *[""] * (width - 1)]

    def _read(self, node: Element) -> _Paragraph:
        paragraph = _Paragraph()
        self._collect(node, paragraph)
        return paragraph

    def _collect(self, node: Element, into: _Paragraph) -> None:
        for inner in node:
            name = local(inner)
            if name == "t":
                into.text.append(inner.text or "")
            elif name in _SIGNS:
                into.text.append(_SIGNS[name])
            elif name in {"footnoteReference", "endnoteReference", "commentReference"}:
                self._refer(name.removesuffix("Reference"), attribute(inner, "id"), into)
            elif name == "txbxContent":
                into.boxes.append(inner)
            elif name == "drawing":
                into.drawings.append(inner)
                self._collect_boxes(inner, into)
            elif name == "AlternateContent":
                self._collect(next(iter(inner), inner), into)
            elif name == "r" and _is_hidden(inner):
                self._builder.warn(HIDDEN)
            elif name not in _LEFT_OUT:
                self._collect(inner, into)

    def _collect_boxes(self, drawing: Element, into: _Paragraph) -> None:
        into.boxes += every(drawing, "txbxContent")

    def _refer(self, kind: str, identifier: str, into: _Paragraph) -> None:
        if kind == "comment":
            author = attribute(self._notes.get(kind, {}).get(identifier), "author")
            into.notes.append((kind, f"Comment by {author}" if author else "Comment", identifier))
            return
        mark = f"[^{self._marks.setdefault((kind, identifier), len(self._marks) + 1)}]"
        into.text.append(mark)
        into.notes.append((kind, mark, identifier))


def _is_hidden(run: Element) -> bool:
    vanish = child(run, "rPr", "vanish")
    return vanish is not None and attribute(vanish, "val") not in _OFF


def _direct(node: Element, name: str) -> Iterator[Element]:
    """The rows of a table or the cells of a row, also within content controls, but not those of tables inside."""
    for inner in node:
        if local(inner) == name:
            yield inner
        elif local(inner) in {"sdt", "sdtContent", "customXml", "ins"}:
            yield from _direct(inner, name)


def _description(drawing: Element) -> str:
    return next((node.get("descr", "") for node in every(drawing, "docPr")), "")
