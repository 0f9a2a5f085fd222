"""What a page shows of one answer, kept as the page's script keeps it (docs/websocket.md), and how long its text is."""

import html
import re
from collections.abc import Mapping
from typing import Any

_NOT_SHOWN = re.compile(r"<[^>]*>|\s+")
_ANSWER = re.compile(r"data-answer>(.*?)</div>", re.S)


def letters(markup: str) -> str:
    """The visible text of HTML without white space."""
    return html.unescape(_NOT_SHOWN.sub("", markup))


def final_letters(markup: str) -> str:
    """The visible text of the answer within a whole turn."""
    found = _ANSWER.search(markup)
    return letters(found[1]) if found else ""


def named(frame: Any, handles: Mapping[int, str]) -> dict[str, Any]:
    """A frame as a dictionary, also the one that is an array; `handles` are turns as snapshots named them."""
    if isinstance(frame, dict):
        return frame
    handle, number, end, markup = frame
    return {"type": "turn.text", "turn": handles[handle], "number": number, "end": end, "html": markup}


class Shown:
    """The blocks of one running answer. Its text is ASCII, so UTF-16 units are characters."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._lengths: list[int] = []
        self._place = (0, 0)

    @property
    def length(self) -> int:
        """Visible characters that are no white space."""
        return sum(self._lengths)

    @property
    def text(self) -> str:
        return letters("".join(self._blocks))

    def take(self, frame: dict[str, Any]) -> None:
        """Raises ValueError for a frame that comes twice or out of order."""
        if frame["type"] == "turn.text":
            self._move((self._place[0], frame["number"]))
            self._grow(frame["end"], frame["html"])
        elif frame["type"] == "turn.snapshot":
            self._place = (frame["epoch"], frame["number"])
            self._blocks = list(frame["blocks"])
            self._lengths = [len(letters(block)) for block in self._blocks]
        elif frame["type"] == "turn.blocks":
            self._move((frame["epoch"], frame["number"]))
            self._patch(frame["first"], frame["blocks"])

    def _move(self, place: tuple[int, int]) -> None:
        if place <= self._place:
            raise ValueError("a frame came twice or out of order")
        self._place = place

    def _grow(self, end: int, more: str) -> None:
        block = self._blocks[-1]
        at = len(block) - end
        self._blocks[-1] = block[:at] + more + block[at:]
        self._lengths[-1] = len(letters(self._blocks[-1]))

    def _patch(self, first: int, patches: list[dict[str, Any]]) -> None:
        for index, patch in enumerate(patches, first):
            old = self._blocks[index] if index < len(self._blocks) else ""
            block = old[: patch["keep"]] + patch["html"]
            self._blocks[index : index + 1] = [block]
            self._lengths[index : index + 1] = [len(letters(block))]
        del self._blocks[first + len(patches) :]
        del self._lengths[first + len(patches) :]
