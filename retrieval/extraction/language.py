"""Which language a text is written in: by its script, or by its most frequent small words.

Good enough to choose a stemmer, which is all it is for; it says nothing rather than guess.
"""

import re
from collections import Counter

SAMPLE_CHARS = 20_000
MIN_WORDS = 12
MIN_SHARE = 0.06  # of the words, which must be among a language's small words
MIN_LEAD = 1.3  # over the next language
MIN_DIFFERENT = 3  # of them

_SMALL_WORDS = {
    "en": "the of and to in is that for it with as was on are be this by not from have which or an at but",
    "de": "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er",
    "fr": "le la les des et est une dans pour que qui sur pas au du ce par plus sont avec il ne nous cette aux",
    "es": "el la los las que y en del una por con para es se un su al lo como más pero sus está fue sin",
    "it": "il di che la e è per un una non sono con del della le gli dei si da al più come anche nel alla",
    "pt": "o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao das são pelo",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er die ook als bij door naar maar werd uit",
    "sv": "och att det som en på är av för med till den har de inte om ett han men var jag sig från vi så",
    "da": "og i at det er en til af på som for med den de der ikke har et var han om fra sig også blev men",
    "no": "og i det er på som en til av for at med den de ikke har et var han om fra seg også ble men å",
    "fi": "ja on ei että oli se hän mutta ovat kun myös niin sen joka mukaan tai vuonna jos ole kuin mitä hänen",
    "hu": "a az és hogy nem is egy volt meg ez de csak már azt mint el van még vagy ki ha kell minden",
    "ro": "și de în la a cu pe care din că nu o este un mai sunt pentru au fost ca prin sau dar fi",
    "tr": "ve bir bu da de için ile çok daha olarak gibi olan kadar en ne sonra var ama değil ise her",
    "ru": "и в не на что с по как это из его к но она они а у за от так все было же для только",
}
_SCRIPTS = (
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7a3]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("ar", re.compile("[\u0620-\u06ff]")),
    ("el", re.compile("[\u0386-\u03ce]")),
    ("he", re.compile("[\u05d0-\u05ea]")),
    ("th", re.compile("[\u0e01-\u0e4f]")),
    ("hi", re.compile("[\u0904-\u0939]")),
)
_LETTERS = re.compile(r"[^\W\d_]+")
_LANGUAGES_OF = {
    word: [code for code, words in _SMALL_WORDS.items() if word in words.split()]
    for words in _SMALL_WORDS.values()
    for word in words.split()
}


def detect_language(text: str) -> str:
    """The ISO 639-1 code of the language of `text`, or "" where that is not clear."""
    sample = text[:SAMPLE_CHARS].casefold()
    words = _LETTERS.findall(sample)
    return _by_script(words) or _by_small_words(words)


def _by_script(words: list[str]) -> str:
    letters = "".join(words)
    counts = {code: len(pattern.findall(letters)) for code, pattern in _SCRIPTS}
    # Japanese mixes kana with Chinese characters: some kana decide.
    if counts["ja"] > 0.1 * (counts["ja"] + counts["zh"]) and counts["ja"] + counts["zh"] > len(letters) / 2:
        return "ja"
    code = max(counts, key=lambda key: counts[key])
    return code if counts[code] > len(letters) / 2 else ""


def _by_small_words(words: list[str]) -> str:
    if len(words) < MIN_WORDS:
        return ""
    score: Counter[str] = Counter()
    for word, count in Counter(words).items():
        for code in _LANGUAGES_OF.get(word, ()):
            score[code] += count
    if not score:
        return ""
    different = Counter(code for word in set(words) for code in _LANGUAGES_OF.get(word, ()))
    (best, most), (_, second) = [*score.most_common(2), ("", 0)][:2]
    clear = most >= MIN_SHARE * len(words) and most >= MIN_LEAD * second and different[best] >= MIN_DIFFERENT
    return best if clear else ""
