"""Finds the sentences of passages that answer a question best, by the words they share with it.

A word counts the more the fewer sentences it stands in (inverse sentence frequency); words that only build a question
do not count. Scripts without spaces are compared by pairs of characters.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass

from chat.providers.base import Passage
from chat.providers.marks import unmarked

SENTENCES_PER_QUOTE = 2
LONGEST_QUOTE = 600
"""Characters; the best sentence is never cut, a second one is left out where it would pass this."""

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[]?[^\W_a-zß-ÿ])|(?<=[。！？])|\n\s*\n|\n(?=\s*[-*•#|])"
)
_ABBREVIATION = re.compile(
    r"(?:\b\w|\b(?:e\.g|i\.e|etc|cf|vs|no|nr|fig|vol|dr|mr|mrs|ms|prof|st|bzw|ca|z\.b|d\.h))\.$", re.I
)
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_SUFFIX = re.compile(r"(?:'s|ies|es|s|ing|ed|en|ern|er|e)$")
_EMPTY_WORDS = frozenset(
    """
    a an and any are as at be been but by can could did do does for from had has have how i if in is it its many
    may me much must my no not of on or our shall should so some such than that the their them then there these
    they this those to us was we were what when where which who whom whose why will with would you your about tell
    show give say says please der die das den dem des ein eine einen einem einer und oder ist sind war waren wie
    wer wo wann warum wieviel viel viele welche welcher welches mit von zu zum zur im am auf aus für über es ich
    du er sie wir ihr man nicht kann hat haben le la les un une de et ou est sont qui que quoi quel quelle quels
    quelles comment quand pourquoi dans sur pour el los las una uno y o son quién qué cuál cómo cuándo dónde por
    para con en al del
    """.split()  # noqa: SIM905 - a list of a hundred literals reads worse
)


@dataclass(frozen=True, slots=True)
class Quote:
    """Whole sentences of one passage, in their order; line breaks within them are made into spaces."""

    passage: Passage
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    words: frozenset[str]


def best_quotes(question: str, passages: tuple[Passage, ...], *, limit: int) -> list[Quote]:
    """At most `limit` quotes, the best first; empty where no sentence shares a word with the question."""
    wanted = content_words(question)
    split = [(passage, _sentences(passage.text)) for passage in passages]
    standing = Counter(word for _, sentences in split for sentence in sentences for word in sentence.words & wanted)
    total = sum(len(sentences) for _, sentences in split)
    weights = {word: math.log(1 + total / count) for word, count in standing.items()}
    quotes = [quote for passage, sentences in split if (quote := _quote(passage, sentences, weights)) is not None]
    quotes.sort(key=lambda quote: (-quote.score, -quote.passage.score, quote.passage.number))
    if not quotes:
        return []
    return [quote for quote in quotes[:limit] if quote.score >= quotes[0].score / 3]


def content_words(text: str) -> frozenset[str]:
    """The words that carry meaning, in a common form."""
    words: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if _UNSPACED.search(word):
            words.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif word not in _EMPTY_WORDS:
            words.add(_stem(word))
    return frozenset(words)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, with single spaces; ends after abbreviations do not count."""
    sentences: list[str] = []
    open_part = ""
    for part in _SENTENCE_END.split(text):
        line = " ".join((part or "").split())
        if not line:
            continue
        open_part = f"{open_part} {line}" if open_part else line
        if not _ABBREVIATION.search(open_part):
            sentences.append(open_part)
            open_part = ""
    return [*sentences, open_part] if open_part else sentences


def _stem(word: str) -> str:
    if word.isdigit() or len(word) <= 4:
        return word.removesuffix("s") if len(word) == 4 else word
    return _SUFFIX.sub("", word, count=1)[:8]


def _sentences(text: str) -> list[_Sentence]:
    return [_Sentence(sentence, content_words(sentence)) for sentence in split_sentences(unmarked(text))]


def _quote(passage: Passage, sentences: list[_Sentence], weights: dict[str, float]) -> Quote | None:
    """The best sentence of a passage, and the next best where it adds a word of the question and room is left."""
    ranked = sorted(
        (entry for entry in enumerate(sentences) if entry[1].words & weights.keys()),
        key=lambda entry: (-_weight(entry[1].words, weights), len(entry[1].text), entry[0]),
    )
    chosen: list[tuple[int, _Sentence]] = []
    covered: frozenset[str] = frozenset()
    for place, sentence in ranked:
        length = sum(len(one.text) for _, one in chosen) + len(sentence.text)
        if chosen and (not (sentence.words & weights.keys()) - covered or length > LONGEST_QUOTE):
            continue
        chosen.append((place, sentence))
        covered |= sentence.words
        if len(chosen) == SENTENCES_PER_QUOTE:
            break
    if not chosen:
        return None
    text = " ".join(sentence.text for _, sentence in sorted(chosen, key=lambda entry: entry[0]))
    return Quote(passage, text, _weight(covered, weights))


def _weight(words: frozenset[str], weights: dict[str, float]) -> float:
    return sum(weight for word, weight in weights.items() if word in words)
