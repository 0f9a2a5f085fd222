"""What to show of an open block whose last signs are still to come.

A streamed text breaks off anywhere: in a fence, half a link, bold without its end. Shown as it is, signs would appear
and vanish again. So what is plainly begun is closed (code, emphasis), and what cannot be judged yet is held back
until it can (a link, a formula, a citation marker, the first rows of a table). What is held back is short by rule;
past the limits it is text.
"""

import re
from dataclasses import dataclass

_FENCE_LINE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?P<fence>`{3,}|~{3,})(?P<info>.*)")
# the beginning of a heading, list item, rule, underline, fence, quote or table row, but nothing of its text yet; a
# number with a blank behind it is text
_MARKER_ONLY = re.compile(
    r"[ \t>]*(?:#{1,6}|[-+*_=~`:|\s]+|\d{1,9}(?:[.)]|(?![ \t]))"
    r"|(?:[-+*]|\d{1,9}[.)])\s+(?:[-+*_~`]+|\[[ xX]?\]?)?)?[ \t]*"
)
_BLOCK_START = re.compile(r"[ \t]*(?:#{1,6}[ \t]|[-+*][ \t]|\d{1,9}[.)][ \t]|>|\|)")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]")
_TOKEN = re.compile(r"\\[(\[]|\\.|`+|\$\$?|\[|【|\*+|_+|~~|<", re.DOTALL)
_DANGLING = re.compile(r"(?:\\|&#?\w{0,31}|<[A-Za-z][^\s<>]{0,200}|!)$")
_NUMBERS = re.compile(r"\s*\d{1,4}(?:\s*[,;]\s*\d{1,4})*\s*")

_LONGEST_DANGLING = 210
_LONGEST_LINK = 600
_LONGEST_FORMULA = 2000
_LONGEST_INLINE_FORMULA = 160


@dataclass(frozen=True, slots=True)
class Shown:
    """The text to render now. `open_code`: it ends inside a code block."""

    text: str
    open_code: bool = False


def settle(text: str) -> Shown:
    """What of the open block `text` (clean, not complete) is to be shown now."""
    if fence := _open_fence(text):
        return _in_fence(text, *fence)
    last_line = text.rfind("\n") + 1
    if _MARKER_ONLY.fullmatch(text, last_line):
        text = text[:last_line]
    text = _hold_table_head(text)
    start = _inline_start(text)
    return Shown(text[:start] + _settle_inline(text[start:]))


def _open_fence(text: str) -> tuple[str, int] | None:
    """The fence that is still open at the end of `text`, and where its line begins."""
    if "```" not in text and "~~~" not in text:
        return None
    open_fence: tuple[str, int] | None = None
    position = 0
    for line in text.splitlines(keepends=True):
        match = _FENCE_LINE.match(line)
        if match and open_fence is None:
            if match["fence"][0] == "~" or "`" not in match["info"]:
                open_fence = match["fence"], position
        elif match and open_fence and match["fence"].startswith(open_fence[0]) and not match["info"].strip():
            open_fence = None
        position += len(line)
    return open_fence


def _in_fence(text: str, fence: str, line_start: int) -> Shown:
    if "\n" not in text[line_start:]:
        # the name of the language is still being written
        return Shown(text[:line_start])
    head, _, last = text.rpartition("\n")
    if last.strip(" \t>") and not last.strip(" \t>" + fence[0]):
        return Shown(head + "\n", open_code=True)
    return Shown(text, open_code=True)


def _hold_table_head(text: str) -> str:
    """Without a header row whose delimiter row is not there yet: it would be shown as a paragraph first."""
    rows = 0
    position = len(text)
    complete = text.endswith("\n")
    lines = text.splitlines(keepends=True)
    while rows < len(lines) and rows < 3 and lines[-1 - rows].lstrip(" \t>").startswith("|"):
        rows += 1
        position -= len(lines[-rows])
    return text[:position] if rows == 1 or (rows == 2 and not complete) else text


def _inline_start(text: str) -> int:
    """Where the paragraph, item, heading or cell begins in which `text` ends."""
    if "$$" in text or "\\[" in text:
        paragraph = max((match.end() for match in _BLANK_LINE.finditer(text)), default=0)
        if text.count("$$", paragraph) % 2 or text.rfind("\\[", paragraph) > text.rfind("\\]", paragraph):
            # lines of a formula look like list items and headings
            return paragraph
    start = 0
    end = len(text)
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        line = text[start:end]
        if not line.strip():
            return end
        if _HEADING.match(line) and end < len(text):
            return end
        if _BLOCK_START.match(line):
            break
        end = start - 1
    if text[start:].lstrip(" \t").startswith("|"):
        return text.rfind("|") + 1
    return start


def _settle_inline(text: str) -> str:
    if dangling := _DANGLING.search(text, max(0, len(text) - _LONGEST_DANGLING)):
        text = text[: dangling.start()]
    scan = _Scan(text)
    scan.run()
    kept = scan.text.rstrip()
    closers = scan.code_closer + "".join(reversed(scan.emphasis))
    return kept + closers if closers else scan.text


class _Scan:
    """One pass over an inline text: what is open at its end, and from where on it is held back."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.emphasis: list[str] = []
        self.code_closer = ""

    def run(self) -> None:
        position: int | None = 0
        while position is not None and (match := _TOKEN.search(self.text, position)):
            position = self._step(match)

    def _step(self, match: re.Match[str]) -> int | None:
        """Where to go on after one token; None where the rest is settled."""
        sign = match[0][0]
        if match[0] in ("\\(", "\\["):
            closing = "\\)" if match[0] == "\\(" else "\\]"
            return self._until(match, closing, _LONGEST_FORMULA)
        if sign == "\\":
            return match.end()
        if sign == "`":
            return self._code(match)
        if sign == "$":
            return self._dollar(match)
        if sign == "[":
            return self._bracket(match)
        if sign == "【":
            return self._until(match, "】", _LONGEST_INLINE_FORMULA)
        if sign == "<":
            return match.end()
        return self._emphasis(match)

    def _hold(self, start: int) -> int | None:
        """Ends the pass: the text is shown up to `start`."""
        self.text = self.text[:start]
        return None

    def _until(self, match: re.Match[str], closing: str, longest: int) -> int | None:
        end = self.text.find(closing, match.end())
        if end >= 0:
            return end + len(closing)
        if len(self.text) - match.start() > longest:
            return match.end()
        return self._hold(match.start())

    def _code(self, match: re.Match[str]) -> int | None:
        run = match[0]
        closing = re.compile(rf"(?<!`){run}(?!`)").search(self.text, match.end())
        if closing:
            return closing.end()
        self.text = self.text.rstrip("`") if self.text[match.end() :].strip("`") else self.text[: match.start()]
        if len(self.text) > match.start():
            self.code_closer = run
        return None

    def _dollar(self, match: re.Match[str]) -> int | None:
        if match[0] == "$$":
            return self._until(match, "$$", _LONGEST_FORMULA)
        following = self.text[match.end() : match.end() + 1]
        if not following:
            return self._hold(match.start())
        closing = re.compile(r"(?<=[^\s\\])\$").search(self.text, match.end() + 1)
        if closing:
            return match.end() if following.isspace() else closing.end()
        if following.isspace() or following.isdigit():
            return match.end()
        if len(self.text) - match.start() > _LONGEST_INLINE_FORMULA:
            return match.end()
        return self._hold(match.start())

    def _bracket(self, match: re.Match[str]) -> int | None:
        start = match.start() - self.text.startswith("!", match.start() - 1) if match.start() else 0
        close = self.text.find("]", match.end())
        too_long = len(self.text) - start > _LONGEST_LINK
        if close < 0:
            return match.end() if too_long else self._hold(start)
        following = self.text[close + 1 : close + 2]
        numbers = _NUMBERS.fullmatch(self.text, match.end(), close)
        if (not following and not numbers) or (following == ":" and "\n" not in self.text[close:]):
            at_margin = not self.text[:start].strip() or self.text[:start].endswith("\n")
            return self._hold(start) if not following or at_margin else close + 1
        if following == "(":
            end = self.text.find(")", close)
            if end >= 0:
                return end + 1
            return close + 2 if too_long else self._hold(start)
        return close + 1

    def _emphasis(self, match: re.Match[str]) -> int | None:
        run = match[0]
        before = self.text[match.start() - 1] if match.start() else " "
        after = self.text[match.end() : match.end() + 1]
        if not after:
            # the beginning of an opening or of a closing run: either way the text so far is as if it were not there
            return self._hold(match.start())
        if run[0] == "_" and before.isalnum() and after.isalnum():
            return match.end()
        if not before.isspace() and self._close(run):
            return match.end()
        if not after.isspace() and len(run) <= 3:
            self.emphasis.append(run)
        return match.end()

    def _close(self, run: str) -> bool:
        if not any(opened[0] == run[0] for opened in self.emphasis):
            return False
        left = len(run)
        while left and self.emphasis:
            opened = self.emphasis.pop()
            if opened[0] != run[0]:
                continue
            if len(opened) > left:
                self.emphasis.append(opened[left:])
            left -= min(left, len(opened))
        return True
