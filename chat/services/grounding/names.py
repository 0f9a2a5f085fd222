"""Names, in scripts that have capitals: Latin, Greek, Cyrillic, Armenian.

A name is a word with a capital that stands not at the beginning of a sentence, or anywhere beside another one, or one
with more capitals within ("PostgreSQL", "UNESCO"). It is founded where the source has a word of the same stem, in
capitals or not, or, for an abbreviation, words with these initials.

Where all nouns have capitals (German) a capital alone says nothing: there only words beside each other count, those
behind a title ("Frau Novak"), and those with capitals within. Scripts without capitals show no names at all.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from core.words import stem
from retrieval.extraction.language import detect_language

_WORD = re.compile(r"[^\W\d_]+(?:[’'\-][^\W\d_]+)*")
_SPLIT = re.compile(r"[’'\-]")
_POSSESSIVE = re.compile(r"[’']s$")
# What a sentence begins behind: its predecessor's end, a colon, a mark of a list, a heading or a quotation.
_BEGINS = re.compile(r"(?:[.!?:;…。！？：]|[\n\r\t|•*#>–—]|[\"“”„«»‹›‘(\[{「『]|\d[.)]|(?:^|\s)-)\s*\Z")
_HEADING = re.compile(r"^[ \t]*(?:#.*|\*\*.*\*\*:?|[^.!?\n]{1,60}:)[ \t]*$", re.MULTILINE)
# More than this share of words with capitals within sentences: the nouns have them.
NOUN_SHARE = 0.18
MIN_WORDS = 50
_NOUN_LANGUAGES = frozenset({"de"})
MIN_ABBREVIATION = 2

_WITHOUT_MEANING = """
i ok ai user users assistant summary question answer usd eur gbp english german french spanish italian
monday tuesday wednesday thursday friday saturday sunday
january february march april may june july august september october november december
"""
_NOT_OF_A_NAME = """
anfang mitte ende uhr euro dollar prozent cent grad kilo gramm kilometer meter liter stück paar tasse glas art sorte
menge tage tagen tag stunden minuten wochen monate monaten jahre jahren nutzer nutzerin assistent frage antwort thema
punkt version schritt teil kapitel seite reihe million millionen milliarde milliarden tausend eur usd montag dienstag
mittwoch donnerstag freitag samstag sonntag januar februar märz april mai juni juli august september oktober november
dezember sie ihr ihnen ihre ihrem ihren du dir dein deine
"""
_BEFORE_A_NAME = "herr herrn frau familie doktor dr prof professor firma kollege kollegin kunde kundin"

# Words that have capitals and are no names.
_NO_NAMES = frozenset(_WITHOUT_MEANING.split())
# German ones that stand beside nouns without making a name of them.
_BESIDE_NOUNS = frozenset(_NOT_OF_A_NAME.split())
_TITLES = frozenset(_BEFORE_A_NAME.split())


@dataclass(frozen=True, slots=True)
class _Word:
    """A word where it stands: `begins` a sentence, `joined` to the word before it by a blank only."""

    text: str
    begins: bool
    joined: bool

    @property
    def is_capital(self) -> bool:
        return self.text[0].isupper()

    @property
    def has_capitals_within(self) -> bool:
        return any(char.isupper() for char in self.text[1:])

    @property
    def folded(self) -> str:
        return self.text.casefold()


def unfounded_names(text: str, source: str) -> Iterator[str]:
    """The names of `text` that `source` does not have."""
    words = _words(_HEADING.sub("\n", text))
    known = _Known.of(source)
    language = detect_language(text) or known.language
    candidates = _among_nouns(words) if _nouns_are_capital(language, source) else _capitals(words)
    for word in candidates:
        if word.folded not in _NO_NAMES and not known.has(word.text, language):
            yield word.text


def _nouns_are_capital(language: str, source: str) -> bool:
    if language:
        return language in _NOUN_LANGUAGES
    within = [word for word in _words(source) if not word.begins]
    return sum(word.is_capital for word in within) > NOUN_SHARE * max(len(within), MIN_WORDS)


def _capitals(words: list[_Word]) -> Iterator[_Word]:
    """Words with a capital that their place does not explain; of two beside each other the first one too."""
    end = _Word(".", begins=True, joined=False)
    for word, after in pairwise([*words, end]):
        beside = after.joined and after.is_capital and len(word.text) > 1
        if word.is_capital and (not word.begins or beside or word.has_capitals_within):
            yield word


def _among_nouns(words: list[_Word]) -> Iterator[_Word]:
    before: _Word | None = None
    for word in words:
        if word.has_capitals_within:
            yield word
        elif before is not None and word.is_capital and word.joined and before.is_capital:
            if before.folded in _TITLES:
                yield word
            elif not before.begins and not {before.folded, word.folded} & _BESIDE_NOUNS:
                yield from (before, word)
        before = word


def _words(text: str) -> list[_Word]:
    found: list[_Word] = []
    end = 0
    for match in _WORD.finditer(text):
        gap = text[end : match.start()]
        begins = end == 0 or _BEGINS.search(gap) is not None
        found.append(_Word(match[0], begins, joined=bool(found) and gap == " "))
        end = match.end()
    return found


@dataclass(frozen=True, slots=True)
class _Known:
    """The words of a source, folded, their initials in order, and its language where that is clear."""

    words: frozenset[str]
    initials: str
    language: str

    @staticmethod
    @lru_cache(maxsize=8)
    def of(source: str) -> "_Known":
        words = [part for word in _WORD.findall(_fold(source)) for part in _SPLIT.split(word)]
        return _Known(frozenset(words), "".join(word[0] for word in words), detect_language(source))

    def has(self, name: str, language: str) -> bool:
        parts = [part for part in _SPLIT.split(_fold(name)) if len(part) > 1]
        if all(part in self.words or stem(part, language) in _stems(self.words, language) for part in parts):
            return True
        short = _POSSESSIVE.sub("", name)
        return short.isupper() and len(short) >= MIN_ABBREVIATION and _fold(short) in self.initials


@lru_cache(maxsize=8)
def _stems(words: frozenset[str], language: str) -> frozenset[str]:
    return frozenset(stem(word, language) for word in words)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
