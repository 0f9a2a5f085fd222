"""Extraction as ingestion calls it: real child processes, good files, hostile files, and the shared collection."""

import io
import json
import os
import re
import resource
import zipfile
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import (
    CorruptFileError,
    ExtractionError,
    ExtractionMemoryError,
    ExtractionTimeoutError,
    TooLargeError,
    UnsupportedTypeError,
)
from retrieval.extraction import Extraction, ExtractionLimits, extract_file, kinds, sniff

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests/files"
SHARED = Path(os.environ.get("PARLEY_SHARED", ROOT.parent / "shared")) / "documents"
SMALL = ExtractionLimits(seconds=60, max_chars=200_000, max_pages=100)


def extract(path: Path, limits: ExtractionLimits = SMALL) -> Extraction:
    return extract_file(path, mime=sniff(path, path.name), limits=limits)


def written(folder: Path, content: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("file", "phrase", "pages"),
    [
        ("lighthouse.pdf", "Spare wicks are stored in cabinet 7B.", 3),
        ("harbour.docx", "Boats longer than 14 metres need a pilot.", 0),
        ("pilots.html", "Call on channel 13", 0),
        ("tides.md", "Spring tides rise **2.4 metres**", 0),
        ("buoys-cp1252.txt", "Grüße aus Köln", 0),
    ],
)
def test_the_five_kinds(file: str, phrase: str, pages: int) -> None:
    extraction = extract(FILES / file)
    assert phrase in extraction.text
    assert len(extraction.pages) == pages
    assert extraction.extractor.split()[-1][0].isdigit()


def test_it_is_quick_enough_for_many_small_files() -> None:
    """In time of the processor: by the clock it takes as long as a busy machine lets it."""

    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = seconds()
    extract(FILES / "tides.md")
    assert 0 < seconds() - before < 2


@pytest.mark.parametrize("file", ["lighthouse.pdf", "harbour.docx"])
def test_the_pages_read_are_told(file: str) -> None:
    told: list[tuple[int, int]] = []
    path = FILES / file
    pages = extract_file(
        path, mime=sniff(path), limits=SMALL, on_progress=lambda done, total: told.append((done, total))
    ).pages
    assert told[-1:] == ([(len(pages), len(pages))] if pages else [])


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("file", ["lighthouse.pdf", "harbour.docx"])
def test_a_file_cut_short_fails_or_gives_what_is_there(tmp_path: Path, file: str, cut: float) -> None:
    whole = (FILES / file).read_bytes()
    path = written(tmp_path, whole[: int(len(whole) * cut)], file)
    try:
        found = extract(path).text
    except ExtractionError as error:
        found = error.code
    assert found in {"corrupt_file", "no_text_found"} or "Lighthouse" in found


def test_a_text_bomb(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError):
        extract(written(tmp_path, b"a" * 300_000))


def archive(**parts: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in parts.items():
            target.writestr(name.replace("__", "/").replace("_xml", ".xml").replace("_rels", ".rels"), content)
    return buffer.getvalue()


WORD = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>%s</w:body></w:document>'
TYPES = (
    b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    b'wordprocessingml.document.main+xml"/></Types>'
)


def word(body: bytes, prologue: bytes = b"") -> bytes:
    return archive(**{"[Content_Types]_xml": TYPES, "word__document_xml": prologue + WORD % body})


def test_a_zip_bomb_fails_alone(tmp_path: Path) -> None:
    paragraph = b"<w:p><w:r><w:t>%s</w:t></w:r></w:p>"
    assert "small" in extract(written(tmp_path, word(paragraph % b"small"))).text
    bomb = written(tmp_path, word(paragraph % (b"A" * 300_000_000)), "bomb.docx")
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises((TooLargeError, ExtractionMemoryError, CorruptFileError)):
        extract(bomb)


def test_an_entity_bomb_fails_alone(tmp_path: Path) -> None:
    entities = b'<!ENTITY a "%s">' % (b"lol" * 1000)
    for name, inner in zip(b"bcdefg", b"abcdef", strict=True):
        entities += b'<!ENTITY %c "%s">' % (name, b"&%c;" % inner * 20)
    bomb = word(b"<w:p><w:r><w:t>&g;</w:t></w:r></w:p>", b"<!DOCTYPE x [%s]>" % entities)
    with pytest.raises(ExtractionError):
        extract(written(tmp_path, bomb, "bomb.docx"))


def test_an_external_entity_is_not_fetched(tmp_path: Path) -> None:
    secret = written(tmp_path, b"hush-hush", "secret")
    prologue = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file://%s">]>' % str(secret).encode()
    path = written(tmp_path, word(b"<w:p><w:r><w:t>before &e; after</w:t></w:r></w:p>", prologue), "xxe.docx")
    try:
        found = extract(path).text
    except ExtractionError as error:
        found = error.message
    assert "hush-hush" not in found


def test_nested_tags_by_the_hundred_thousand(tmp_path: Path) -> None:
    page = b"<html><body>" + b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000
    assert extract(written(tmp_path, page, "deep.html")).text == "deep"


def test_reading_stops_when_the_time_is_over() -> None:
    with pytest.raises(ExtractionTimeoutError, match=r"0\.02 seconds") as caught:
        extract(FILES / "lighthouse.pdf", ExtractionLimits(seconds=0.02))
    assert caught.value.retryable


def test_reading_stops_when_the_memory_is_used_up(tmp_path: Path) -> None:
    path = written(tmp_path, b"some words\n" * 20_000_000)
    with pytest.raises(ExtractionMemoryError, match="300 MB"):
        extract(path, ExtractionLimits(memory_bytes=300 << 20, max_chars=10**9))


def test_an_unknown_kind_is_refused_there_too(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTypeError):
        extract_file(written(tmp_path, b"x"), mime="application/x-executable")


def test_a_reader_given_the_wrong_kind_says_so(tmp_path: Path) -> None:
    for mime in (kinds.PDF, kinds.DOCX, kinds.PPTX, kinds.XLSX, kinds.EPUB, kinds.ODT):
        with pytest.raises(ExtractionError) as caught:
            extract_file(written(tmp_path, b"plain words, nothing else"), mime=mime)
        assert caught.value.message.endswith(".")
        assert not caught.value.retryable


def test_a_missing_file_is_not_the_files_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        extract_file(tmp_path / "gone", mime=kinds.PLAIN)


def shared_documents() -> list[Any]:
    manifest = SHARED / "manifest.json"
    entries = json.loads(manifest.read_text())["files"] if manifest.exists() else []
    return [pytest.param(entry, id=Path(entry["path"]).name) for entry in entries]


def normal(text: str, *, loose: bool) -> str:
    """White space is the layout's; only loose phrases may differ in case."""
    joined = re.sub(r"\s+", " ", text)
    return joined.casefold() if loose else joined


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the shared collection is not beside the project")
@pytest.mark.parametrize("entry", shared_documents())
def test_shared_documents(entry: dict[str, Any]) -> None:
    expected = entry["expected"]
    path = SHARED / entry["path"]
    if expected["outcome"] != "accept":
        with pytest.raises(ExtractionError):
            extract(path)
        return
    extraction = extract(path)
    text = normal(extraction.text, loose=expected["loose"])
    assert [phrase for phrase in expected["find"] if normal(phrase, loose=expected["loose"]) not in text] == []


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the shared collection is not beside the project")
def test_the_page_of_a_phrase_is_known() -> None:
    extraction = extract(SHARED / "files/own_many_pages.pdf", ExtractionLimits())
    start, end = extraction.pages[46]
    assert "the keyword is quartz47" in extraction.text[start:end]
