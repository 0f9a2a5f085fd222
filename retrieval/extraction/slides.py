"""Reads PowerPoint presentations slide by slide, each one a page with its title as heading.

Our own reader, because kreuzberg keeps neither the slides apart nor the alternative texts of pictures nor charts.
The format: ECMA-376 part 1 (PresentationML and DrawingML).
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from core.jail.progress import report
from retrieval.errors import TooManyPagesError
from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.charts import write_charts
from retrieval.extraction.package import Package, every, local, opened
from retrieval.extraction.result import Extraction

EXTRACTOR = "slides 2"

PRESENTATION = "ppt/presentation.xml"
_TITLES = frozenset({"title", "ctrTitle"})
# Placeholders that repeat on every slide
_FURNITURE = frozenset({"dt", "ftr", "sldNum", "hdr", "sldImg"})


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    with opened(data, "presentation") as package:
        builder = _read(package, bounds)
    return builder.finish(
        mime=mime, extractor=EXTRACTOR, no_text="No text was found in this presentation: its slides are pictures."
    )


def _read(package: Package, bounds: Bounds) -> TextBuilder:
    builder = TextBuilder(bounds)
    targets = {relation.identifier: relation.target for relation in package.relations(PRESENTATION)}
    slides = [targets[_relation(node)] for node in every(package.part(PRESENTATION), "sldId")]
    if len(slides) > bounds.max_pages:
        raise TooManyPagesError(f"This presentation has {len(slides):,} slides; at most {bounds.max_pages:,} are read.")
    for number, slide in enumerate(slides, 1):
        builder.begin_page()
        for shape in _titles_first(every(package.part(slide), "spTree")):
            _Slide(builder, package, slide).write(shape)
        for _, kind, target in package.relations(slide):
            if kind == "notesSlide":
                _write_notes(builder, package.part(target))
        builder.end_page()
        report(number, len(slides))
    builder.title = package.core_title()
    return builder


def _titles_first(trees: Iterator[Element]) -> list[Element]:
    shapes = [shape for tree in trees for shape in _chosen(tree)]
    return sorted(shapes, key=lambda shape: _placeholder(shape) not in _TITLES)


def _chosen(tree: Element) -> Iterator[Element]:
    """The shapes of a tree; of those that are there in two ways (ECMA-376 part 3, 7.6) the first."""
    for shape in tree:
        if local(shape) == "AlternateContent":
            yield from next((list(choice) for choice in shape), [])
        else:
            yield shape


class _Slide:
    """Writes the shapes of one slide."""

    def __init__(self, builder: TextBuilder, package: Package, name: str) -> None:
        self._builder = builder
        self._package = package
        self._name = name

    def write(self, shape: Element) -> None:
        match local(shape):
            case "sp":
                kind = _placeholder(shape)
                if kind in _TITLES:
                    self._builder.heading(1, " ".join(_paragraphs(shape)))
                elif kind not in _FURNITURE:
                    self._builder.block("\n".join(_paragraphs(shape)))
            case "pic":
                self._builder.block(_description(shape))
            case "graphicFrame":
                self._write_frame(shape)
            case "grpSp":
                for inner in _chosen(shape):
                    self.write(inner)

    def _write_frame(self, frame: Element) -> None:
        rows = [[" ".join(_paragraphs(cell)) for cell in every(row, "tc")] for row in every(frame, "tr")]
        if rows:
            self._builder.table(rows)
        elif not write_charts(self._builder, self._package, self._name, frame):
            self._builder.block(_description(frame))


def _write_notes(builder: TextBuilder, notes: Element) -> None:
    for shape in every(notes, "sp"):
        if _placeholder(shape) not in _FURNITURE and (text := "\n".join(_paragraphs(shape))):
            builder.block(f"Notes: {text}")


def _paragraphs(shape: Element) -> list[str]:
    texts = ("".join(_runs(paragraph)).strip() for paragraph in every(shape, "p"))
    return [text for text in texts if text]


def _runs(paragraph: Element) -> Iterator[str]:
    for node in paragraph.iter():
        if local(node) == "t":
            yield node.text or ""
        elif local(node) == "br":
            yield "\n"


def _placeholder(shape: Element) -> str:
    """The kind of placeholder it is; a placeholder without a kind is an object ("obj"), other shapes are
    none.
    """
    return next((node.get("type", "obj") for node in every(shape, "ph")), "")


def _description(shape: Element) -> str:
    return next((node.get("descr", "") for node in every(shape, "cNvPr")), "")


def _relation(node: Element) -> str:
    # its own id has no namespace
    return next(value for key, value in node.attrib.items() if key.endswith("}id"))
