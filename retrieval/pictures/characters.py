"""Finds the characters of a text on a page of a PDF, and the boxes they are drawn in. Runs in the jail.

White space is not compared: a reader of text makes it from gaps, and may make it otherwise than the page has it. All
other characters have to be the same and in the same order; where they are not, there are no boxes rather than wrong
ones.
"""

import ctypes
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

# pdfium's marks for a hyphen at the end of a line
_HYPHENS = {0xFFFE: "-", 0x02: "-"}
_SURROGATES = range(0xD800, 0xE000)
# A page is so many units wide and high where places on it are asked for.
_UNITS = 1_000_000
# Neighbours are on one line where they share so much of the lower one's height, and are less far apart than the height
# of this many of them.
_SHARED_HEIGHT = 0.5
_GAP_HEIGHTS = 2.0


class Box(NamedTuple):
    """A place on a page: shares of its width and height, from the upper left corner."""

    x: float
    y: float
    width: float
    height: float


class _Glyph(NamedTuple):
    character: str
    place: int


def boxes_of(page: pypdfium2.PdfPage, text: str, start: int, end: int) -> list[Box]:
    """One box for each line of `text[start:end]`, where `text` is what was read of the page."""
    textpage = page.get_textpage()
    glyphs = list(_glyphs(textpage))
    first, past = _found(glyphs, text, start, end)
    return list(_lines(box for glyph in glyphs[first:past] if (box := _box(page, textpage, glyph.place))))


def _glyphs(textpage: pypdfium2.PdfTextPage) -> Iterator[_Glyph]:
    """The characters of the page in its own order, without white space."""
    for index in range(textpage.count_chars()):
        code = pdfium.FPDFText_GetUnicode(textpage, index)
        character = _HYPHENS.get(code) or ("\N{REPLACEMENT CHARACTER}" if code in _SURROGATES else chr(code))
        if code and not character.isspace():
            yield _Glyph(character, index)


def _found(glyphs: list[_Glyph], text: str, start: int, end: int) -> tuple[int, int]:
    """Which of the glyphs are `text[start:end]`; (0, 0) where they are not on the page.

    Where the page was read in another order than it has, the same characters in a row nearest to their place in the
    text are taken.
    """
    drawn = "".join(glyph.character for glyph in glyphs)
    before, wanted = len(_dense(text[:start])), _dense(text[start:end])
    if not wanted:
        return 0, 0
    if drawn == _dense(text):
        return before, before + len(wanted)
    places = list(_places(drawn, wanted))
    if not places:
        return 0, 0
    nearest = min(places, key=lambda place: abs(place - before))
    return nearest, nearest + len(wanted)


def _dense(text: str) -> str:
    return "".join(text.split())


def _places(drawn: str, wanted: str) -> Iterator[int]:
    at = drawn.find(wanted)
    while at >= 0:
        yield at
        at = drawn.find(wanted, at + 1)


def _box(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage, index: int) -> Box | None:
    """The box of a character as the page is shown, turned and cropped; None for one that is not drawn."""
    try:
        left, bottom, right, top = textpage.get_charbox(index, loose=True)
    except pypdfium2.PdfiumError:
        return None
    corners = [_place(page, left, top), _place(page, right, bottom)]
    (x0, x1), (y0, y1) = (sorted(min(1.0, max(0.0, value)) for value in axis) for axis in zip(*corners, strict=True))
    return Box(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None


def _place(page: pypdfium2.PdfPage, x: float, y: float) -> tuple[float, float]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDF_PageToDevice(page, 0, 0, _UNITS, _UNITS, 0, x, y, across, down)
    return across.value / _UNITS, down.value / _UNITS


def _lines(boxes: Iterable[Box]) -> Iterator[Box]:
    line: Box | None = None
    for box in boxes:
        if line is not None and _continues(line, box):
            x, y = min(line.x, box.x), min(line.y, box.y)
            right, bottom = max(line.x + line.width, box.x + box.width), max(line.y + line.height, box.y + box.height)
            line = Box(x, y, right - x, bottom - y)
            continue
        if line is not None:
            yield line
        line = box
    if line is not None:
        yield line


def _continues(line: Box, box: Box) -> bool:
    shared = min(line.y + line.height, box.y + box.height) - max(line.y, box.y)
    lower = min(line.height, box.height)
    gap = max(line.x, box.x) - min(line.x + line.width, box.x + box.width)
    return shared > _SHARED_HEIGHT * lower and gap < _GAP_HEIGHTS * lower
