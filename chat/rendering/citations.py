"""Citation markers in sanitised HTML become chips that open the cited passage.

Works on the sanitiser's output and adds trusted parts only: numbers, ids and addresses of our own, and document names
that are escaped here. Brackets whose number is no citation of this answer stay text.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape

from django.utils.translation import gettext

from chat.rendering.shapes import CitationView

_PIECE = re.compile(
    r"""
    <(?P<closed>a|code|pre|math)\b.*?</(?P=closed)>
    | <(?:[^>"]|"[^"]*")*>
    | \[(?P<numbers>\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\]
    | 【(?P<number>\d{1,4})(?:†[^】<]{0,80})?】
    """,
    re.VERBOSE | re.DOTALL,
)
_SEPARATOR = re.compile(r"\s*[,;]\s*")


def add_chips(html: str, citations: Sequence[CitationView]) -> str:
    """`html` with `[n]`, `[n, m]` and `【n】` as chips where `citations` holds that number."""
    if not citations or ("[" not in html and "【" not in html):
        return html
    known = {citation.number: citation for citation in citations}
    return _PIECE.sub(lambda piece: _chips(piece, known), html)


def _chips(piece: re.Match[str], known: Mapping[int, CitationView]) -> str:
    written = piece["numbers"] or piece["number"]
    if written is None:
        return piece[0]
    numbers = [int(number) for number in _SEPARATOR.split(written)]
    cited = [number for number in numbers if number in known]
    if not cited:
        return piece[0]
    other = [str(number) for number in numbers if number not in known]
    chips = "".join(_chip(known[number]) for number in cited)
    return f"{chips} [{', '.join(other)}]" if other else chips


def _chip(citation: CitationView) -> str:
    classes = "citation citation--gone" if citation.gone else "citation"
    return (
        f'<a class="{classes}" href="{escape(citation.url)}" data-citation="{citation.id}"'
        f' aria-label="{escape(citation_label(citation))}">{citation.number}</a>'
    )


def citation_label(citation: CitationView) -> str:
    """What a chip is called, in the language that is active: "Source 2: report.pdf, page 7"."""
    names = {"number": citation.number, "document": citation.document, "page": citation.page}
    label = (
        gettext("Source %(number)s: %(document)s")
        if citation.page is None
        else gettext("Source %(number)s: %(document)s, page %(page)s")
    ) % names
    return f"{label} ({gettext('deleted or replaced since')})" if citation.gone else label
