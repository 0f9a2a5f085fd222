"""The numbers that Word puts before paragraphs (ECMA-376 part 1, 17.9): "4.2" is how contracts are cited."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.etree.ElementTree import Element

from retrieval.extraction.package import attribute, child, every

BULLET = "-"
MAX_LEVELS = 9
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"))
_ROMAN_SMALL = ((9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
# Above it letters and Roman figures are written as plain numbers.
_MOST = 3_999


class _Level(NamedTuple):
    kind: str
    pattern: str
    start: int


@dataclass
class Numbering:
    """The lists of a document, and how far each has counted."""

    _levels: dict[str, dict[int, _Level]] = field(default_factory=dict)
    _lists: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Element | None) -> "Numbering":
        made = cls()
        if part is None:
            return made
        for abstract in every(part, "abstractNum"):
            made._levels[attribute(abstract, "abstractNumId")] = dict(_levels(abstract))
        for number in every(part, "num"):
            made._lists[attribute(number, "numId")] = attribute(child(number, "abstractNumId"), "val")
        return made

    def mark(self, number: str, level: int) -> str:
        """Count the next paragraph of list `number` at `level` (from 0); return what stands before it."""
        abstract = self._lists.get(number, "")
        levels = self._levels.get(abstract, {})
        if level not in levels:
            return BULLET if number in self._lists else ""
        counts = self._counts.setdefault(abstract, {})
        counts[level] = counts.get(level, levels[level].start - 1) + 1
        for deeper in [each for each in counts if each > level]:
            del counts[deeper]
        if levels[level].kind == "bullet":
            return BULLET
        text = levels[level].pattern
        for each in range(level + 1):
            if each in levels:
                text = text.replace(f"%{each + 1}", _written(counts.get(each, levels[each].start), levels[each].kind))
        return text.strip()


def _levels(abstract: Element) -> Iterator[tuple[int, _Level]]:
    for level in every(abstract, "lvl"):
        index, start = attribute(level, "ilvl"), attribute(child(level, "start"), "val")
        if index.isdigit() and int(index) < MAX_LEVELS:
            kind = attribute(child(level, "numFmt"), "val") or "decimal"
            pattern = "" if kind == "none" else attribute(child(level, "lvlText"), "val")
            yield int(index), _Level(kind, pattern[:100], int(start) if start.isdigit() and len(start) < 9 else 1)


def _written(number: int, kind: str) -> str:
    if not 0 < number <= _MOST:
        return str(number)
    match kind:
        case "lowerLetter" | "upperLetter":
            text = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        case "lowerRoman" | "upperRoman":
            text = _roman(number)
        case "decimalZero":
            return f"{number:02}"
        case _:
            return str(number)
    return text.upper() if kind.startswith("upper") else text


def _roman(number: int) -> str:
    text = ""
    for value, letters in (*_ROMAN, *_ROMAN_SMALL):
        count, number = divmod(number, value)
        text += letters * count
    return text
