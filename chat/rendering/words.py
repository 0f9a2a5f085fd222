"""The shortest way from source to HTML: words that follow words, inside what is open already.

Most of what a model writes goes on with a sentence. Such words can be put into the HTML as they are, before the tags
that close it: they hold no sign of Markdown, complete none that stands before them, and need no escaping. Whatever is
not plainly so is rendered anew, and so is every block when it is finished.
"""

import re
from dataclasses import dataclass

# Behind a word: words, spaces and commas, and signs that mean something to Markdown elsewhere only (after a digit a
# full stop may make a list). No sign of a mark-up, an address, an entity or a line end.
_WORDS = re.compile(r"[^\W_](?:[^\W_]|[ ,]|(?<=[^\W\d_])[.;:?'-])*")
_LAST_WORD = re.compile(r"[^\W_]{1,20}\Z")
_CLOSING_TAG = re.compile(r"</(\w+)>\n*")
# what is rendered anew whenever it grows: an address has itself in its link, code is coloured
_MUST_NOT_CLOSE = frozenset({"a", "code", "pre", "math", "span", "sup", "strong", "em", "del"})


@dataclass(frozen=True, slots=True)
class OpenWords:
    """An open block whose HTML ends with words and `end` characters of closing tags behind them.

    `since` is where in `source` a word ends behind which nothing but words has come.
    """

    source: str
    html: str
    end: int
    since: int

    def grown(self, source: str) -> "tuple[OpenWords, str] | None":
        """The block as it is with `source`, and what its HTML has more before its end; None where it takes a parser."""
        length = len(self.source)
        if not source.startswith(self.source) or not _WORDS.fullmatch(source, self.since):
            return None
        more = source[length:].rstrip(" ")
        at = len(self.html) - self.end
        since = length + len(more) - 1 if more[-1:].isalnum() else self.since
        return OpenWords(self.source + more, self.html[:at] + more + self.html[at:], self.end, since), more


def open_words(source: str, shown: str, html: str) -> OpenWords | None:
    """What may grow by words alone. `shown` is what of `source` was rendered to `html`."""
    # spaces at the end show nothing yet
    source = source.rstrip(" ")
    if shown.rstrip(" ") != source or not (word := _LAST_WORD.search(source, max(0, len(source) - 20))):
        return None
    at = len(html)
    while (tag := _CLOSING_TAG.fullmatch(html, html.rfind("<", 0, at), at)) is not None:
        if tag[1] in _MUST_NOT_CLOSE:
            return None
        at = tag.start()
    return OpenWords(source, html, len(html) - at, len(source) - 1) if html.endswith(word[0], 0, at) else None
