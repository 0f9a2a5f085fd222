"""Numbers, however they are written: 1,000 and 1 000 and 1.000 and 1'000 are one, as are 3.14 and 3,14.

A number has several readings, since nobody says which point is meant: 1.500 is fifteen hundred or one and a half. It is
founded where one of its readings is one of the source's. Number words count in the source only ("three" founds "3"),
since "one" and "two" say too little to be held against a text. Left alone are signs and units, the numbers of a list's
lines, and months of dates written in digits, which a source may give by name.
"""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

# Apostrophes, the Arabic separators, and the blanks that group digits.
_SEPARATORS = ".,'’٫٬\u0020\u00a0\u2009\u202f"
_NUMBER = re.compile(rf"\d+(?:[{_SEPARATORS}]\d+)*")
_POINTS = ".,٫"
_BLANKS = re.compile("[\u0020\u00a0\u2009\u202f]")
_LIST_MARK = re.compile(r"^[ \t>]*(?:[-*•][ \t]+)?\d{1,3}[.)、．][ \t]+", re.MULTILINE)
_NEXT_WORD = re.compile(r"[ \u00a0\u202f-]?([^\W\d_]+)")
MONTHS = 12

_WORDS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn zwanzig",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf vingt",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
    "diecisiete dieciocho diecinueve veinte",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove venti",
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezasseis dezassete "
    "dezoito dezanove vinte",
    "nl": "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien "
    "zeventien achttien negentien twintig",
    "ru": "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать "
    "четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать двадцать",
    "zh": "零 一 二 三 四 五 六 七 八 九 十",
}
_MORE_WORDS = {
    **{"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "once": 1, "twice": 2, "dozen": 12},
    **{"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90},
    **{"dreißig": 30, "vierzig": 40, "fünfzig": 50, "sechzig": 60, "siebzig": 70, "achtzig": 80, "neunzig": 90},
    **{"hundred": 100, "thousand": 1000, "million": 10**6, "hundert": 100, "tausend": 1000, "dutzend": 12},
    **{
        "a": 1,
        "an": 1,
        "ein": 1,
        "eine": 1,
        "einen": 1,
        "einer": 1,
        "une": 1,
        "una": 1,
    },
}
_VALUES: dict[str, Decimal] = {
    **{word: Decimal(value) for words in _WORDS.values() for value, word in enumerate(words.split())},
    **{word: Decimal(value) for word, value in _MORE_WORDS.items()},
}
# A billion is a thousand or a million millions, by language.
_SCALES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("k", "thousand", "tausend", "tsd", "mille", "mil", "mila", "duizend", "тыс", "тысяч"), (10**3,)),
    **dict.fromkeys(("m", "mn", "mio", "million", "millions", "millionen", "millón", "millones", "milioni"), (10**6,)),
    **dict.fromkeys(("milhões", "miljoen", "млн", "миллион", "миллиона", "миллионов"), (10**6,)),
    **dict.fromkeys(("bn", "milliard", "milliards", "milliarde", "milliarden", "mrd", "miljard", "млрд"), (10**9,)),
    **dict.fromkeys(("b", "billion", "billions", "billionen", "billones"), (10**9, 10**12)),
    **{
        "hundred": (10**2,),
        "hundert": (10**2,),
        "万": (10**4,),
        "萬": (10**4,),
        "만": (10**4,),
        "亿": (10**8,),
        "億": (10**8,),
    },
}
_WORD = re.compile(r"[^\W\d_]+")
_CJK_DIGITS = frozenset("零一二三四五六七八九十")
_CJK_SCALES = frozenset("万萬만亿億")


def unfounded_numbers(text: str, source: str) -> Iterator[str]:
    """The numbers of `text` that occur nowhere in `source`, in any way of writing."""
    known = _known(source)
    for number, word in _numbers(_LIST_MARK.sub("", _western(text))):
        if _readings(number, word, strict=True) & known:
            continue
        # a blank may part two numbers as well as the digits of one
        pieces = [number] if _is_grouped(number) else _BLANKS.split(number)
        if not all(_is_founded(piece, word, known) for piece in pieces):
            yield number


def _is_founded(number: str, word: str, known: frozenset[Decimal]) -> bool:
    if _readings(number, word, strict=True) & known:
        return True
    return _is_date_like(number) and all(
        Decimal(part) in known or (_may_be_month(at, number) and 0 < Decimal(part) <= MONTHS)
        for at, part in enumerate(_parts(number))
    )


def _may_be_month(at: int, number: str) -> bool:
    """Whether the part stands in the middle of a whole date, or has the zero that months are written with."""
    parts = _parts(number)
    return (at == 1 and len(parts) == 3) or (len(parts[at]) == 2 and parts[at].startswith("0"))


def _western(text: str) -> str:
    """With the digits of every script, and full-width ones, as 0 to 9."""
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def _numbers(text: str) -> Iterator[tuple[str, str]]:
    """Each number as it is written, with the word behind it, folded."""
    for match in _NUMBER.finditer(text):
        after = _NEXT_WORD.match(text, match.end())
        yield match[0], after[1].casefold() if after else ""


@lru_cache(maxsize=8)
def _known(source: str) -> frozenset[Decimal]:
    """Every value that the source gives, by any reading."""
    text = _western(source)
    values: set[Decimal] = set()
    for number, word in _numbers(text):
        for piece in {number, *_BLANKS.split(number)}:
            values |= _readings(piece, word)
            if not _is_grouped(piece):
                values.update(map(Decimal, _parts(piece)))
    words = _WORD.findall(text.casefold())
    for word, following in pairwise([*words, ""]):
        if (value := _VALUES.get(word)) is not None:
            values |= {value, *(value * scale for scale in _scales(following))}
        values.update(_VALUES[char] for char in word if char in _CJK_DIGITS)
    return frozenset(values)


def _parts(number: str) -> list[str]:
    return [part for part in re.split(r"\D", number) if part]


def _is_grouped(number: str) -> bool:
    """Whether the digits stand in groups of three, as those of a large number do."""
    first, *others = _parts(number)
    return bool(others) and len(first) <= 3 and all(len(part) == 3 for part in others)


def _is_date_like(number: str) -> bool:
    """Whether it may be a date, a time, a version or a part of one: 17.05, 10.30, 05, 2024.05.17, 1.2.3."""
    parts = _parts(number)
    if len(parts) <= 2:
        return len(parts[-1]) == 2 and Decimal(parts[0]) <= 31 and Decimal(parts[-1]) <= 59
    return not _is_grouped(number)


def _readings(number: str, word: str, *, strict: bool = False) -> set[Decimal]:
    """What the digits may mean; empty where they are no number, such as a date.

    `word` stands behind them. With `strict` one that multiplies them does so, unless it may be a unit ("2 m").
    """
    parts = _parts(number)
    values: set[Decimal] = set()
    if len(parts) == 1 or _is_grouped(number):
        values.add(Decimal("".join(parts)))
    whole, last = parts[:-1], parts[-1]
    has_point = bool(whole) and number[-len(last) - 1] in _POINTS
    if has_point and (len(whole) == 1 or _is_grouped(".".join(whole))):
        values.add(Decimal(f"{''.join(whole)}.{last}"))
    scaled = {value * scale for value in values for scale in _scales(word)}
    return scaled if scaled and strict and len(word) > 2 else values | scaled


def _scales(word: str) -> tuple[int, ...]:
    """By what a word behind a number multiplies it; what counts in Chinese, Japanese and Korean has no blank behind."""
    return _SCALES.get(word) or _SCALES.get(word[:1] if word[:1] in _CJK_SCALES else "", ())
