"""What the styles of a Word document say of its paragraphs: headings and lists (ECMA-376 part 1, 17.7)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from retrieval.extraction.package import attribute, child, every

_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
# Levels count from 0; 9 is body text.
_BODY = 9
_MAX_CHAIN = 20


@dataclass
class Styles:
    """The styles by their id."""

    _styles: dict[str, Element] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Element | None) -> "Styles":
        styles = [] if part is None else every(part, "style")
        return cls({attribute(style, "styleId"): style for style in styles})

    def level(self, paragraph: Element) -> int:
        """1 for titles and the outermost headings and so on, 0 for other paragraphs."""
        own = attribute(child(paragraph, "pPr", "outlineLvl"), "val")
        if own.isdigit():
            return int(own) + 1 if int(own) < _BODY else 0
        for style in self._chain(paragraph):
            outline, name = attribute(child(style, "pPr", "outlineLvl"), "val"), attribute(child(style, "name"), "val")
            if outline.isdigit():
                return int(outline) + 1 if int(outline) < _BODY else 0
            if found := _HEADING.fullmatch(name):
                return int(found[1])
            if name.lower() == "title":
                return 1
        return 0

    def list_of(self, paragraph: Element) -> tuple[str, int]:
        """The list ("" for none) and the level in it, from 0."""
        for node in (paragraph, *self._chain(paragraph)):
            properties = child(node, "pPr", "numPr")
            if properties is not None:
                level = attribute(child(properties, "ilvl"), "val")
                return attribute(child(properties, "numId"), "val"), int(level) if level.isdigit() else 0
        return "", 0

    def _chain(self, paragraph: Element) -> Iterator[Element]:
        """The paragraph's style, the one that is based on, and so on."""
        name = attribute(child(paragraph, "pPr", "pStyle"), "val")
        for _ in range(_MAX_CHAIN):
            if name not in self._styles:
                return
            yield self._styles[name]
            name = attribute(child(self._styles[name], "basedOn"), "val")
