"""Quotations, in the marks of several languages: “…”, "…", „…“, ”…”, «…», »…«, ‹…›, 「…」, 『…』.

Single marks are left alone, since they are apostrophes too, and so is what would be longer than a few sentences: a
mark is missing there. What is quoted has to stand in the source word for word;
case, punctuation and spacing do not count, and … or [...] stands for what was left out.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

MAX_CHARS = 300
_PAIRS = (
    ("„", '“”"'),
    ("“", "”"),
    ("”", "”"),
    ("«", "»"),
    ("»", "«"),
    ("‹", "›"),
    ("›", "‹"),
    ("「", "」"),
    ("『", "』"),
)
_QUOTED = re.compile(
    "|".join(f"{start}([^{start}{ends}\n]{{1,{MAX_CHARS}}})[{ends}]" for start, ends in _PAIRS)
    + f'|(?<!\\d)"([^"\n]{{1,{MAX_CHARS}}})"'
)
_LEFT_OUT = re.compile(r"\[?(?:…|\.\.\.)\]?")
_NO_LETTERS = re.compile(r"[\W_]+")
# Thai to Burmese, kana, CJK: nothing parts their words, so a quotation may begin anywhere.
_UNSPACED = re.compile("[\u0e00-\u109f\u3040-\u30ff\u3400-\u9fff]")


def unfounded_quotations(text: str, source: str) -> Iterator[str]:
    """The quoted texts of `text` that `source` does not have, without their marks."""
    known = _plain(source)
    for match in _QUOTED.finditer(text):
        quoted = next(group for group in match.groups() if group is not None).strip()
        parts = (_plain(part) for part in _LEFT_OUT.split(quoted))
        if not all(part in known for part in parts if part.strip()):
            yield quoted


def stands_in(words: str, source: str) -> bool:
    """Whether `words`, which have to be some, stand in `source` word for word, as a quotation has to."""
    plain = _plain(words)
    return bool(plain.strip()) and plain in _plain(source)


@lru_cache(maxsize=64)
def _plain(text: str) -> str:
    """Folded words, each between two blanks; scripts without blanks stand letter by letter."""
    folded = _NO_LETTERS.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    words = _UNSPACED.sub(r" \g<0> ", folded).split()
    return f" {' '.join(words)} "
