"""What of a message are the person's own words, and whether a fact is founded on them.

A fact has to be in what the person wrote, not in what was quoted there, in what the assistant said, or in the model's
imagination. What is looked for: the words that it is said to come from stand there; its names, numbers and quotations
do too; and so does half of its other words, in any ending. That is no proof: it may still turn round what was said.
"""

import re

from chat.services.grounding import stands_in, unfounded
from core.words import stem, words
from retrieval.extraction.language import detect_language

# A longer text is a passage rather than a fact.
MAX_CHARS = 300
# Share of a fact's words that the message has to have.
SHARE = 0.5
# Shorter words of spaced scripts are mostly small ones, which tell little, but for names.
MIN_LENGTH = 3

_CODE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")

_WITHIN = re.compile(r"(?<=\s)\w+")

_SECRET_WORDS = re.compile(
    r"\b(?:pass(?:word|wort|phrase|code)|kennwort|mot de passe|contraseña|senha|parola d'ordine|пароль|密码|パスワード"
    r"|api[ _-]?key|secret[ _-]?key|private key|access token|(?-i:PIN|PUK|TAN|CVC|CVV)|pin\b\D{0,12}\d{3,})\b",
    re.IGNORECASE,
)
# Groups of digits as cards, accounts and papers have them; a telephone number has fewer.
_LONG_NUMBER = re.compile(r"\d(?:[ .-]?\d){12,}")
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,}")
# What may be a key: letters and digits mixed without a blank.
_TOKEN = re.compile(r"[\w+/=.-]{16,}")
_TOKEN_PARTS = re.compile(r"[-./]")
_KEY_LENGTH = 12


def own_words(text: str) -> str:
    """What the person wrote themselves: without blocks of code and quoted lines."""
    return _BLANK_LINES.sub("\n\n", _QUOTED_LINE.sub("", _CODE.sub("", text))).strip()


def is_founded(text: str, quote: str, said: str) -> bool:
    """Whether a fact is founded on `said`, the person's own words, where `quote` is to say it."""
    return stands_in(quote, said) and not unfounded(text, [said]) and _share(text, said) >= SHARE


def is_secret(text: str) -> bool:
    """Whether a text looks like something that nobody should note: better one fact too few."""
    if any(pattern.search(text) for pattern in (_SECRET_WORDS, _LONG_NUMBER, _ACCOUNT)):
        return True
    return any(_is_key(token) for token in _TOKEN.findall(text))


def _is_key(token: str) -> bool:
    """Whether much of it is neither word nor number, as in "sk-9fK2..." and not in "covid-19-vaccination"."""
    parts = _TOKEN_PARTS.split(token)
    mixed = [part for part in parts if any(map(str.isdigit, part)) and any(map(str.isalpha, part))]
    return sum(map(len, mixed)) >= _KEY_LENGTH


def _share(text: str, said: str) -> float:
    """The share of the words of `text` that `said` has; 1 where it has none that tell anything."""
    language = detect_language(said)
    known = {stem(word, language) for word in words(said)}
    names = {name for word in _WITHIN.findall(text) if word[0].isupper() for name in words(word)}
    telling = [word for word in words(text) if len(word) >= MIN_LENGTH or not word.isascii() or word in names]
    return sum(stem(word, language) in known for word in telling) / len(telling) if telling else 1.0
