"""Chunks of whole documents: exact offsets and pages, the pages also by the judgement of another extractor (pypdf)."""

import io
import json
import os
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from pypdf import PdfReader
from reportlab.pdfgen.canvas import Canvas

from core.tokens import count_tokens
from retrieval.chunking import Piece, chunk
from retrieval.extraction import Extraction, ExtractionLimits, extract_file, sniff
from retrieval.models import Chunk, VectorStore
from retrieval.search import Query, retrieve_now
from tests import factories
from tests.ingesting import put_file, work

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests/files"
SHARED = Path(os.environ.get("PARLEY_SHARED", ROOT.parent / "shared")) / "documents"
LIMITS = ExtractionLimits(seconds=300)

# Of a chunk's words, those that the other extractor must find on the same pages. The two join letters to words in
# different ways where a layout spaces them out, and break words at line ends differently.
SHARE_ON_THE_PAGE = 0.9
_WORD = re.compile(r"\w{3,}")


def shared(*suffixes: str) -> list[Path]:
    manifest = SHARED / "manifest.json"
    entries = json.loads(manifest.read_text())["files"] if manifest.exists() else []
    return [SHARED / entry["path"] for entry in entries if entry["path"].endswith(suffixes)]


OWN = [path for path in sorted(FILES.iterdir()) if path.name not in {"scanned.pdf", "picture.png"}]
DOCUMENTS = [pytest.param(path, id=path.name) for path in (*OWN, *shared(""))]


def report(pages: int) -> bytes:
    """A report whose every page has sentences of its own, under two headings a page."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for page in range(1, pages + 1):
        for line in range(45):
            words = (
                f"Item {page * 100 + line} of section {page}: the keeper wrote down {line * page} ships at lamp {page}"
            )
            canvas.drawString(60, 800 - 17 * line, words)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def read(path: Path) -> Extraction:
    return extract_file(path, mime=sniff(path, path.name), limits=LIMITS)


def check_laws(extraction: Extraction, pieces: list[Piece], max_tokens: int) -> None:
    text = extraction.text
    covered = bytearray(len(text))
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end]
        assert 0 < piece.tokens == count_tokens(piece.text) <= max_tokens
        covered[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
        if extraction.pages:
            assert piece.page_start
            assert piece.page_end
            assert extraction.pages[piece.page_start - 1][0] <= piece.start
            assert piece.end <= extraction.pages[piece.page_end - 1][1]
    assert not "".join(char for char, seen in zip(text, covered, strict=True) if not seen).strip()
    assert all(one.end < other.end and one.start < other.start for one, other in pairwise(pieces))


@pytest.mark.parametrize("max_tokens", [32, 240, 800])
@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_chunk_is_the_text_between_its_offsets(path: Path, max_tokens: int) -> None:
    extraction = read(path)
    check_laws(extraction, chunk(extraction, title=path.name, max_tokens=max_tokens), max_tokens)


def normal(text: str) -> str:
    """One form for characters that look the same; extractors choose different ones, as the font's table tells them."""
    return unicodedata.normalize("NFKC", text).casefold()


def words_missing(pieces: list[Piece], pages: list[str]) -> list[tuple[float, Piece]]:
    """For each piece the share of its words that are not on its pages."""
    found = [frozenset(_WORD.findall(normal(page))) for page in pages]
    joined = [re.sub(r"\s+", "", normal(page)) for page in pages]
    missing = []
    for piece in pieces:
        assert piece.page_start
        assert piece.page_end
        span = range(piece.page_start - 1, piece.page_end)
        words = _WORD.findall(normal(piece.text))
        gone = [word for word in words if not any(word in found[page] or word in joined[page] for page in span)]
        missing.append((len(gone) / max(1, len(words)), piece))
    return missing


def check_pages(path: Path) -> None:
    pages = [page.extract_text() for page in PdfReader(path).pages]
    extraction = read(path)
    assert len(extraction.pages) == len(pages)
    pieces = chunk(extraction)
    wrong = [(share, piece) for share, piece in words_missing(pieces, pages) if share > 1 - SHARE_ON_THE_PAGE]
    assert wrong == []
    # the control: on the pages before them more is missing, so the comparison can tell pages apart
    if len(pages) > 2:
        moved = words_missing(pieces, ["", *pages[:-1]])
        assert sum(share for share, _ in moved) > sum(share for share, _ in words_missing(pieces, pages))


@pytest.mark.parametrize("path", [pytest.param(p, id=p.name) for p in (FILES / "lighthouse.pdf", *shared(".pdf"))])
def test_another_extractor_finds_the_words_on_the_same_page(path: Path) -> None:
    check_pages(path)


def test_and_in_a_report_of_215_pages(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(report(215))
    check_pages(path)


@pytest.mark.django_db(transaction=True)
def test_the_header_is_never_in_what_is_found_and_quoted() -> None:
    store = factories.store(owner=factories.user())
    document = put_file(store, "lighthouse.pdf")
    work()
    document.refresh_from_db()
    assert document.revision
    headers = list(Chunk.objects.filter(document=document).values_list("header", "text"))
    assert headers
    for header, text in headers:
        assert header.endswith(("page 1", "page 2", "page 3", "pages 1–2", "pages 2–3", "pages 1–3"))
        assert header not in text
    scope = VectorStore.objects.filter(pk=store.pk)
    passages = retrieve_now(Query.of("Where are spare wicks stored?"), scope=scope, limit=10)
    assert passages
    for passage in passages:
        assert passage.text == document.revision.text[passage.start : passage.end]
        assert not any(header in passage.text for header, _ in headers)
