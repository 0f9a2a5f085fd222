"""Words of a text and their stems: what lexical search, the hashing embedder and the extractive provider
compare.

Letters and digits are split ("FY2018" is fy, 2018), case and compatibility forms folded (NFKC, casefold),
scripts written without spaces taken two characters at a time, and words reduced to Snowball stems.
"""

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import snowballstemmer

# A longer run of letters is no word: encoded data, a key, a sequence of genes.
MAX_LENGTH = 64

_ALGORITHMS = {
    **{"ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek"},
    **{"en": "english", "es": "spanish", "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french"},
    **{"ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian"},
    **{"lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese"},
    **{"ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish"},
}
DEFAULT_LANGUAGE = "en"

# Vowel signs and accents are not letters to `re`, but part of the word they stand in.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x1100)) if unicodedata.category(char).startswith("M"))
# Of the European scripts only: a vowel sign of others is no ornament.
_ACCENTS = re.compile("[\u0300-\u036f]")
_RUN = re.compile(rf"\d+|(?:[^\W\d_]|[{_MARKS}])+")
# Thai, Lao, Tibetan, Burmese, Hangul Jamo, Khmer; kana, CJK and Hangul; their supplements
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def words(text: str) -> list[str]:
    """The words of `text` in order, folded but not stemmed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for run in _RUN.finditer(folded) for word in _split(run[0])]


def stem(word: str, language: str = DEFAULT_LANGUAGE) -> str:
    """The stem of a folded word, without accents, so that "cafe" finds "café".

    `language` is an ISO 639-1 code; English where it is empty or has no stemmer.
    """
    return _stem(word, _ALGORITHMS.get(language, _ALGORITHMS[DEFAULT_LANGUAGE]))


def _split(run: str) -> Iterator[str]:
    position = 0
    for match in _UNSPACED.finditer(run):
        yield from _bounded(run[position : match.start()])
        unspaced = match[0]
        yield from (unspaced[i : i + 2] for i in range(max(1, len(unspaced) - 1)))
        position = match.end()
    yield from _bounded(run[position:])


def _bounded(word: str) -> Iterator[str]:
    if word:
        yield word[:MAX_LENGTH]


# A stemmer keeps the word it works on in itself, so one thread may use it at a time.
_stemming = threading.Lock()


@lru_cache(maxsize=1 << 17)
def _stem(word: str, algorithm: str) -> str:
    with _stemming:
        stemmed = _stemmer(algorithm).stemWord(word)
    if stemmed.isascii():
        return str(stemmed)
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", stemmed))
    return unicodedata.normalize("NFC", plain) or word


@lru_cache
def _stemmer(algorithm: str) -> "snowballstemmer.stemmer":
    return snowballstemmer.stemmer(algorithm)
