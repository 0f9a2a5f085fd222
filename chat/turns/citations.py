"""Which passages an answer cites, checked: a marker must name a passage that was sent, and the quote is found by us.

Markers are `[1]`, `[1, 2]` and `【1】` outside code. A marker that names no sent passage is taken out of the text.
The quote is the sentence of the passage that shares most of the citing sentence's words.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chat.context.passages import NumberedPassage

_CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,}).*?(?:^(?P=fence)[`~]*[ \t]*$|\Z)|(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)", re.M | re.S
)
# not a link text, a link label, a footnote or an image
_MARKER = re.compile(
    r"(?<![\]!])(?P<lead>[ \t]?)(?:\[(?P<a>\d{1,3}(?:\s*,\s*\d{1,3})*)\](?!\()|【(?P<b>\d{1,3})[^】\n]{0,80}】)"
)
_CHAIN = re.compile(r"(?<=[\]】])\[(\d{1,3})\](?!\()")
# a link reference definition (CommonMark 0.31, 4.7) begins its line
_DEFINITION = re.compile(r"^ {0,3}\[\d{1,3}\]:", re.M)
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+|\n{2,}")
_WORD = re.compile(r"\w{2,}")


@dataclass(frozen=True, slots=True)
class FoundCitation:
    """A verified citation; `start` and `end` are offsets (code points) into the passage's revision."""

    number: int
    position: int
    passage: NumberedPassage
    start: int
    end: int
    quote: str
    support: float


@dataclass(frozen=True, slots=True)
class Verified:
    """The text to show and the citations it carries, one per passage, in the order of their first use."""

    text: str
    citations: tuple[FoundCitation, ...]


def verify(text: str, passages: Sequence[NumberedPassage], *, before: str = "") -> Verified:
    """Check every marker of `text` against the passages that were sent. Without passages the text stays as it is.

    `before` is what `text` goes on with: it decides whether `text` begins in the middle of code, where `[1]` is none. A
    marker that is broken in two cites, but is left as it is, since its beginning is stored.
    """
    if not passages:
        return Verified(text, ())
    known = {passage.number: passage for passage in passages}
    shown: list[str] = []
    uses: dict[int, int] = {}
    length = 0
    end = 0
    for whole, numbers in _pieces(before + text):
        start, end = end, end + len(whole)
        piece = whole[max(0, len(before) - start) :]
        kept = [number for number in dict.fromkeys(numbers or ()) if number in known]
        if numbers is None or len(piece) < len(whole):
            for number in kept if piece else ():
                uses.setdefault(number, length)
            shown.append(piece)
            length += len(piece)
            continue
        if not kept:
            continue
        lead = piece[: len(piece) - len(piece.lstrip(" \t"))]
        marker = lead + "".join(f"[{number}]" for number in kept)
        for number in kept:
            uses.setdefault(number, length + len(lead))
        shown.append(marker)
        length += len(marker)
    result = "".join(shown)
    claims = {number: _citing_sentence(before + result, len(before) + at) for number, at in uses.items()}
    return Verified(result, tuple(_cite(claims[number], known[number], at) for number, at in uses.items()))


def _pieces(text: str) -> Iterator[tuple[str, list[int] | None]]:
    """Split `text` into literal pieces (None) and markers (their numbers); code is literal."""
    at = 0
    for code in [*_CODE.finditer(text), None]:
        end = code.start() if code else len(text)
        yield from _markers(text[at:end])
        if code:
            yield code.group(), None
            at = code.end()


def _markers(prose: str) -> Iterator[tuple[str, list[int] | None]]:
    at = 0
    definitions = {definition.end() - 1 for definition in _DEFINITION.finditer(prose)}
    while marker := _MARKER.search(prose, at):
        if marker.end() in definitions:
            yield prose[at : marker.end()], None
            at = marker.end()
            continue
        yield prose[at : marker.start()], None
        numbers = [int(number) for number in re.findall(r"\d+", marker["a"] or marker["b"])]
        end = marker.end()
        while chained := _CHAIN.match(prose, end):
            numbers.append(int(chained[1]))
            end = chained.end()
        yield prose[marker.start() : end], numbers
        at = end
    yield prose[at:], None


def _cite(claim: str, passage: NumberedPassage, position: int) -> FoundCitation:
    start, end, support = best_span(claim, passage.text)
    return FoundCitation(
        number=passage.number,
        position=position,
        passage=passage,
        start=passage.start + start,
        end=passage.start + end,
        quote=passage.text[start:end],
        support=support,
    )


def _citing_sentence(text: str, position: int) -> str:
    """The sentence that ends at (or holds) the marker; one that is nothing but a marker takes the one before."""
    before = text[:position].rstrip()
    starts = [match.end() for match in _SENTENCE_END.finditer(before)]
    return before[starts[-1] if starts else 0 :]


def best_span(claim: str, passage: str) -> tuple[int, int, float]:
    """Return start and end (within `passage`) of the sentence that shares most words with `claim`, and the share."""
    wanted = set(_WORD.findall(claim.casefold()))
    best = (*_trimmed(passage, 0, len(passage)), 0.0)
    for start, end in _sentences(passage):
        words = set(_WORD.findall(passage[start:end].casefold()))
        share = len(wanted & words) / len(wanted) if wanted else 0.0
        if share > best[2]:
            best = (start, end, share)
    return best


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for border in [*(match.span() for match in _SENTENCE_END.finditer(text)), (len(text), len(text))]:
        start, end = _trimmed(text, at, border[0])
        if end > start:
            yield start, end
        at = border[1]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave out white space at both ends, but never everything."""
    piece = text[start:end]
    stripped = piece.strip()
    if not stripped:
        return start, end
    offset = piece.index(stripped[0])
    return start + offset, start + offset + len(stripped)
