"""Reads PowerPoint presentations slide by slide, each one a page with its title as heading.

Our own reader, because kreuzberg keeps neither the slides apart nor the alternative texts of pictures.
The format: ECMA-376 part 1 (PresentationML and DrawingML); names are compared without their namespace, which
differs between its transitional and strict forms.
"""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from posixpath import basename, dirname, join, normpath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from core.jail.progress import report
from retrieval.errors import CorruptFileError, TooLargeError, TooManyPagesError
from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.result import Extraction

EXTRACTOR = "slides 1"

PRESENTATION = "ppt/presentation.xml"
PART_BYTES = 64 * 1024 * 1024
_TITLES = frozenset({"title", "ctrTitle"})
# Placeholders that repeat on every slide
_FURNITURE = frozenset({"dt", "ftr", "sldNum", "hdr", "sldImg"})


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            builder = _read(_Package(archive), bounds)
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, NotImplementedError, EOFError) as error:
        raise CorruptFileError("This presentation is damaged or incomplete and cannot be opened.") from error
    return builder.finish(
        mime=mime, extractor=EXTRACTOR, no_text="No text was found in this presentation: its slides are pictures."
    )


def _read(package: "_Package", bounds: Bounds) -> TextBuilder:
    builder = TextBuilder(bounds)
    targets = {identifier: target for identifier, _, target in package.relations(PRESENTATION)}
    slides = [targets[_relation(node)] for node in _all(package.part(PRESENTATION), "sldId")]
    if len(slides) > bounds.max_pages:
        raise TooManyPagesError(f"This presentation has {len(slides):,} slides; at most {bounds.max_pages:,} are read.")
    for number, slide in enumerate(slides, 1):
        builder.begin_page()
        for shape in _titles_first(_all(package.part(slide), "spTree")):
            _write(builder, shape)
        for _, kind, target in package.relations(slide):
            if kind == "notesSlide":
                _write_notes(builder, package.part(target))
        builder.end_page()
        report(number, len(slides))
    builder.title = _document_title(package)
    return builder


class _Package:
    """The parts of an OOXML file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def part(self, name: str) -> Element:
        with self._archive.open(name) as stream:
            content = stream.read(PART_BYTES + 1)
        if len(content) > PART_BYTES:
            raise TooLargeError("This presentation unpacks to far more than its size, and was not read.")
        # Safe from entities: expat fetches nothing, and the jail bounds what it may use.
        return ElementTree.fromstring(content)  # noqa: S314

    def relations(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Identifier, kind and target part of each relationship of a part."""
        path = join(dirname(name), "_rels", f"{basename(name)}.rels")
        if path not in self._archive.namelist():
            return
        for node in self.part(path):
            if node.get("TargetMode") != "External":
                target = node.get("Target", "")
                resolved = target.lstrip("/") if target.startswith("/") else normpath(join(dirname(name), target))
                yield node.get("Id", ""), node.get("Type", "").rpartition("/")[2], resolved


def _titles_first(trees: Iterator[Element]) -> list[Element]:
    shapes = [shape for tree in trees for shape in tree]
    return sorted(shapes, key=lambda shape: _placeholder(shape) not in _TITLES)


def _write(builder: TextBuilder, shape: Element) -> None:
    match _local(shape):
        case "sp":
            kind = _placeholder(shape)
            if kind in _TITLES:
                builder.heading(1, " ".join(_paragraphs(shape)))
            elif kind not in _FURNITURE:
                builder.block("\n".join(_paragraphs(shape)))
        case "pic":
            builder.block(_description(shape))
        case "graphicFrame":
            rows = [" | ".join(" ".join(_paragraphs(cell)) for cell in _all(row, "tc")) for row in _all(shape, "tr")]
            builder.block("\n".join(rows) or _description(shape))
        case "grpSp":
            for inner in shape:
                _write(builder, inner)


def _write_notes(builder: TextBuilder, notes: Element) -> None:
    for shape in _all(notes, "sp"):
        if _placeholder(shape) not in _FURNITURE and (text := "\n".join(_paragraphs(shape))):
            builder.block(f"Notes: {text}")


def _paragraphs(shape: Element) -> list[str]:
    texts = ("".join(_runs(paragraph)).strip() for paragraph in _all(shape, "p"))
    return [text for text in texts if text]


def _runs(paragraph: Element) -> Iterator[str]:
    for node in paragraph.iter():
        if _local(node) == "t":
            yield node.text or ""
        elif _local(node) == "br":
            yield "\n"


def _placeholder(shape: Element) -> str:
    """The kind of placeholder it is; a placeholder without a kind is an object ("obj"), other shapes are
    none.
    """
    return next((node.get("type", "obj") for node in _all(shape, "ph")), "")


def _description(shape: Element) -> str:
    return next((node.get("descr", "") for node in _all(shape, "cNvPr")), "")


def _document_title(package: _Package) -> str:
    core = [target for _, kind, target in package.relations("") if kind == "core-properties"]
    return next((node.text or "" for name in core for node in _all(package.part(name), "title")), "")


def _relation(node: Element) -> str:
    return next(value for key, value in node.attrib.items() if key.endswith("}id"))


def _all(node: Element, name: str) -> Iterator[Element]:
    return (inner for inner in node.iter() if _local(inner) == name)


def _local(node: Element) -> str:
    return node.tag.rpartition("}")[2]
