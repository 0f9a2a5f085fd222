"""The streamed answer as HTML blocks: a finished block is rendered and sent once, the open last one as it grows.

A block is a run of top-level Markdown blocks between two cuts (`splitting`). For a finished text the blocks joined
are `markdown.render` of the whole text, so the final replacement shows no jump. Link reference definitions are the
one thing that reaches back: when a finished block defines one, the blocks that hold a bracket are rendered again, and
the update starts at the first that changed. Footnotes need nothing of the kind: reference and definition are each
shown where they stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyromark

from chat.rendering.markdown import render_piece
from chat.rendering.shapes import CitationView
from chat.rendering.source import OPTIONS, clean, prepare
from chat.rendering.splitting import Splitter
from chat.rendering.unfinished import settle
from chat.rendering.words import OpenWords, open_words

# Some twenty times a second while the open block is small: a frame costs more than the words in it, and nobody sees a
# difference to thirty. A long block changes less visibly and costs more.
SHORTEST_INTERVAL_MS = 45
LONGEST_INTERVAL_MS = 400
_FREE_LENGTH = 600
_CHARACTERS_PER_MS = 40


def interval_ms(open_length: int) -> float:
    """How long after a rendering an open block of `open_length` characters is to be rendered again."""
    growth = max(0, open_length - _FREE_LENGTH) / _CHARACTERS_PER_MS
    return min(LONGEST_INTERVAL_MS, SHORTEST_INTERVAL_MS + growth)


@dataclass(frozen=True, slots=True)
class BlockPatch:
    """A block becomes its present HTML cut to `keep` UTF-16 units (0 for a new block), plus `html`."""

    keep: int
    html: str


@dataclass(frozen=True, slots=True)
class Growth:
    """The last block has `html` more, before its last `end` UTF-16 units."""

    end: int
    html: str


@dataclass(frozen=True, slots=True)
class BlockUpdate:
    """Blocks from `first` on; blocks behind the last one named are removed. False where nothing changed.

    `growth` says the same where nothing happened but that the last block grew, as it mostly does.
    """

    first: int
    blocks: tuple[BlockPatch, ...]
    removed: bool = False
    growth: Growth | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return self.removed or bool(self.blocks)


class BlockRenderer:
    """Renders a growing text. Belongs to one turn and one reader; not for use by several threads at once."""

    def __init__(self, citations: Sequence[CitationView] = ()) -> None:
        self._citations = tuple(citations)
        self._sent: list[str] = []
        self._reset()

    def _reset(self) -> None:
        self._source = ""
        self._carry = ""
        self._splitter = Splitter()
        self._finished: list[str] = []
        self._html: list[str] = []
        self._definitions: dict[str, str] = {}
        # blocks before this one are with the reader in their present form
        self._settled = 0
        self._words: OpenWords | None = None

    @property
    def open_length(self) -> int:
        """Characters of the open block, for `interval_ms`."""
        return len(self._splitter.rest)

    def feed(self, text_delta: str) -> None:
        """Adds to the text. Nothing is rendered."""
        text = self._carry + text_delta
        # half a line end or half a surrogate pair waits for its other half
        waits = text[-1:] == "\r" or "\ud800" <= text[-1:] <= "\udbff"
        self._carry = text[-1:] if waits else ""
        self._add(clean(text[:-1] if waits else text))

    def set_text(self, text: str) -> None:
        """Makes `text` the whole text; costs no more than `feed` where it continues what is there."""
        cleaned = clean(text)
        if not cleaned.startswith(self._source):
            self._reset()
        self._carry = ""
        self._add(cleaned[len(self._source) :])

    def _add(self, text: str) -> None:
        self._source += text
        self._splitter.add(text)

    def render(self, *, complete: bool = False) -> BlockUpdate:
        """What changed since the last call. `complete`: no text will follow, so nothing is held back any more."""
        if complete and self._carry:
            self._add(clean(self._carry))
            self._carry = ""
        for piece in self._splitter.cut():
            self._finish(piece)
            self._words = None
        if not complete and (update := self._more_words()) is not None:
            return update
        self._words = None
        if complete and self._splitter.rest:
            self._finish(self._splitter.rest)
            self._splitter = Splitter()
        blocks = [*self._html]
        if self._splitter.rest:
            shown = settle(self._splitter.rest)
            html = self._render(shown.text, open_code=shown.open_code)
            if html:
                blocks.append(html)
                if not shown.open_code:
                    self._words = open_words(self._splitter.rest, shown.text, html)
        return self._update(blocks)

    def _more_words(self) -> BlockUpdate | None:
        """The update where the open block got nothing but more words, else None."""
        grown = self._words.grown(self._splitter.rest) if self._words is not None else None
        if grown is None:
            return None
        self._words, more = grown
        if not more:
            return BlockUpdate(first=len(self._sent), blocks=())
        new, end = self._words.html, self._words.end
        self._sent = [*self._sent[:-1], new]
        patch = BlockPatch(
            keep=_utf16_length(new[: len(new) - end - len(more)]), html=new[len(new) - end - len(more) :]
        )
        return BlockUpdate(first=len(self._sent) - 1, blocks=(patch,), growth=Growth(end=end, html=more))

    def snapshot(self) -> list[str]:
        """The HTML of every block as the last update left it."""
        return list(self._sent)

    def _finish(self, piece: str) -> None:
        self._finished.append(piece)
        self._html.append(self._render(piece))
        if "]:" in piece and self._learn(piece):
            for index, source in enumerate(self._finished):
                if "[" in source:
                    self._html[index] = self._render(source)
            self._settled = 0

    def _learn(self, piece: str) -> bool:
        """Whether `piece` defines link references that were unknown."""
        encoded = prepare(piece).encode()
        found = pyromark.reference_definitions(prepare(piece), options=OPTIONS)
        known = len(self._definitions)
        for label, definition in found.items():
            span = definition["span"]
            key = " ".join(label.split()).casefold()
            self._definitions.setdefault(key, encoded[span["start"] : span["end"]].decode())
        return len(self._definitions) > known

    def _render(self, source: str, *, open_code: bool = False) -> str:
        if self._definitions and "[" in source:
            # definitions show nothing themselves, and the first one of a label counts
            source = "\n".join(self._definitions.values()) + "\n\n" + source
        return render_piece(source, self._citations, open_code=open_code)

    def _update(self, blocks: list[str]) -> BlockUpdate:
        sent, self._sent = self._sent, blocks
        first = self._settled
        while first < len(blocks) and first < len(sent) and blocks[first] == sent[first]:
            first += 1
        self._settled = len(self._html)
        patches = tuple(_patch(sent[i] if i < len(sent) else "", blocks[i]) for i in range(first, len(blocks)))
        grew = len(patches) == 1 and len(sent) == len(blocks)
        return BlockUpdate(
            first=first,
            blocks=patches,
            removed=len(sent) > len(blocks),
            growth=_growth(sent[-1], blocks[-1]) if grew else None,
        )


def _patch(old: str, new: str) -> BlockPatch:
    keep = _common_prefix(old, new)
    return BlockPatch(keep=_utf16_length(new[:keep]), html=new[keep:])


def _growth(old: str, new: str) -> Growth | None:
    """What was put into `old` to make `new`, if it was one piece."""
    kept = _common_prefix(old, new)
    end = len(old) - kept
    if not new.endswith(old[kept:], kept):
        return None
    return Growth(end=_utf16_length(old[kept:]), html=new[kept : len(new) - end])


def _common_prefix(a: str, b: str) -> int:
    """How many characters two strings share at their beginning, by halving: comparing slices is fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
