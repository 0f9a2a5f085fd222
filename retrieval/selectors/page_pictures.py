"""Pictures of the pages of a document, as templates show them."""

from collections.abc import Iterable
from typing import NamedTuple

from django.urls import reverse
from django.utils.http import urlencode

from retrieval.models import Document
from retrieval.pictures import pages

# What a page is taken to be until it was looked at for the first time: A4, in points.
_USUAL = (595.28, 841.89)


class PageView(NamedTuple):
    """A page as a picture: `url` and `wide_url` are of `width` points and of twice as many.

    `marks_url` tells where a text stands on it; empty where none is to be marked.
    """

    number: int
    url: str
    wide_url: str
    width: int
    height: int
    wide_width: int
    marks_url: str


def page_views(document: Document, numbers: Iterable[int]) -> list[PageView]:
    """The pages of a PDF with these numbers, counted from 1; none of other kinds of files."""
    if not pages.has_pages(document.file):
        return []
    sizes = pages.known_sizes(document.file)
    return [_view(document, number, sizes) for number in numbers]


def marked_page(document: Document, number: int | None, start: int, end: int) -> PageView | None:
    """The page of a PDF on which the text from `start` to `end` of the document is to be marked."""
    found = page_views(document, [number] if number is not None else [])
    if not found:
        return None
    marks = f"{reverse('retrieval:page_marks', args=[document.pk])}?{urlencode({'start': start, 'end': end})}"
    return found[0]._replace(marks_url=marks)


def _view(document: Document, number: int, sizes: list[tuple[float, float]]) -> PageView:
    across, down = sizes[number - 1] if number <= len(sizes) else _USUAL
    narrow, wide = pages.WIDTHS
    url = reverse("retrieval:page_picture", args=[document.pk, number])
    # a browser that shows a page asks for it anew where the document was given another content
    of: str = document.file.sha256[:8]
    height = max(1, round(narrow * down / across)) if across > 0 else narrow
    narrow_url, wide_url = (f"{url}?width={width}&of={of}" for width in pages.WIDTHS)
    return PageView(number, narrow_url, wide_url, narrow, height, wide, "")
