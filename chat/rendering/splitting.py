"""Cuts a growing Markdown text where what came before can no longer change.

A cut lies before a line that starts at the margin behind a blank line, and only where the parser itself says that the
two sides are blocks of their own. So `render(a) + render(b) == render(a + b)` for every cut, whatever follows; only
link reference definitions reach across cuts (`blocks` sees to them).
"""

import re

from chat.rendering.source import PARSER, prepare

_FENCE = re.compile(r"(`{3,}|~{3,})")
_LIST_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])(?=\s)")


class Splitter:
    """Takes text piece by piece; `cut` gives the finished pieces, `rest` is what is still open."""

    def __init__(self) -> None:
        self.rest = ""
        self._read = 0
        self._after_blank = False
        self._after_item = False
        self._fence = ""

    def add(self, text: str) -> None:
        self.rest += text

    def cut(self) -> list[str]:
        """The pieces finished since the last call, in order."""
        pieces: list[str] = []
        while (end := self.rest.find("\n", self._read)) >= 0:
            start, self._read = self._read, end + 1
            if self._is_cut(self.rest[start:end], start):
                pieces.append(self.rest[:start])
                self.rest = self.rest[start:]
                self._read -= start
        if self._begins_a_paragraph():
            pieces.append(self.rest[: self._read])
            self.rest = self.rest[self._read :]
            self._read, self._after_blank, self._after_item = 0, False, False
        return pieces

    def _begins_a_paragraph(self) -> bool:
        """Whether the unfinished last line does: what begins with a letter at the margin behind a blank line.

        Whatever follows on the line, it is no list, heading, rule, quote or code. Without this the paragraph before
        would be rendered again with every piece of this one, and this one be sent again at its end.
        """
        begun = self.rest[self._read : self._read + 1]
        return (
            self._after_blank
            and self._read > 0
            and not self._fence
            and begun.isalpha()
            and self._parser_agrees(begun, self._read)
        )

    def _is_cut(self, line: str, start: int) -> bool:
        if not line.strip():
            self._after_blank = True
            return False
        if line[0].isspace():
            self._after_blank = False
            return False
        after_blank, self._after_blank = self._after_blank, False
        if self._fence:
            if line.rstrip().startswith(self._fence) and not line.strip(self._fence[0] + " \t"):
                self._fence = ""
            return False
        if fence := _FENCE.match(line):
            self._fence = fence[0]
        item = _LIST_ITEM.match(line) is not None
        same_list, self._after_item = item and self._after_item, item
        return after_blank and start > 0 and not same_list and self._parser_agrees(line, start)

    def _parser_agrees(self, line: str, start: int) -> bool:
        before = prepare(self.rest[:start])
        return PARSER.html(before) + PARSER.html(prepare(line)) == PARSER.html(before + prepare(line))
