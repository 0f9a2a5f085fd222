"""The files that are read: the same in every run, of invented words, so that a word is found in one place only."""

import random
from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas

TEXTS, SECTIONS = 50, 10
BOOKS, PAGES = 3, 100

_SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "la",
    "me",
    "ni",
    "po",
    "ru",
    "sa",
    "te",
    "vi",
    "wo",
    "xu",
    "ya",
    "zen",
    "tor",
]
_SMALL_WORDS = ["the", "of", "and", "to", "in", "is", "that", "for", "with", "as", "on", "by", "this", "are", "from"]
_LINE = 105


class _Prose:
    """Sentences of words that mean nothing."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - nothing secret
        invented = ["".join(self._random.choices(_SYLLABLES, k=self._random.randint(1, 4))) for _ in range(6000)]
        self._words = invented + 120 * _SMALL_WORDS

    def paragraph(self, words: int) -> str:
        sentences: list[str] = []
        written = 0
        while written < words:
            count = self._random.randint(8, 20)
            sentences.append(" ".join(self._random.choices(self._words, k=count)).capitalize() + ".")
            written += count
        return " ".join(sentences)


def code(kind: str, file: int, part: int) -> str:
    """A word that stands in one section or on one page only."""
    return (
        f"{kind}{'abcdefghij'[file // 10]}{'klmnopqrst'[file % 10]}{'uvwxyzabcd'[part // 10]}{'efghijklmn'[part % 10]}q"
    )


def write_corpus(folder: Path) -> None:
    """Fifty text files of about 1,000 words, half of them Markdown, and three PDFs of a hundred pages of 400 words."""
    prose = _Prose(seed=7)
    for number in range(TEXTS):
        _write_text(folder, number, prose)
    for number in range(BOOKS):
        _write_book(folder / f"book-{number}.pdf", number, prose)


def _write_text(folder: Path, number: int, prose: _Prose) -> None:
    markdown = number % 2 == 0
    parts = [f"{'# ' if markdown else ''}Document {number}"]
    for section in range(SECTIONS):
        parts.append(f"{'## ' if markdown else ''}Section {section}")
        parts.append(f"{prose.paragraph(50)} The access code is {code('text', number, section)}.")
        parts.append(prose.paragraph(50))
    (folder / f"document-{number:02d}.{'md' if markdown else 'txt'}").write_text("\n\n".join(parts), encoding="utf-8")


def _write_book(path: Path, number: int, prose: _Prose) -> None:
    book = canvas.Canvas(str(path), pagesize=A4, invariant=True)
    for page in range(PAGES):
        lines = book.beginText(50, 800)
        lines.setFont("Helvetica", 9)
        lines.setLeading(11.5)
        lines.textLine(f"The vault number of this page is {code('book', number, page)}.")
        for line in _wrapped(prose.paragraph(400)):
            lines.textLine(line)
        book.drawText(lines)
        book.showPage()
    book.save()


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > _LINE:
            lines.append("")
        lines[-1] += f"{word} "
    return lines
