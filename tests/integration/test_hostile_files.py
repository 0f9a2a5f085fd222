"""Files that mean harm, each through the real jail: it fails alone with a sentence or is read, and the next is read."""

import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from core.errors import ParleyError
from retrieval.errors import EncryptedFileError, TooLargeError, TooManyPagesError, UnsupportedTypeError
from retrieval.extraction import Extraction, ExtractionLimits, extract_file, kinds, sniff
from tests import hostile
from tests.documents import docx, eml, epub, odt, paragraph, xlsx, zipped

FILES = Path(__file__).parents[1] / "files"
LIMITS = ExtractionLimits(seconds=120, max_chars=2_000_000)

# What a file may end in besides being read: each has a sentence.
CODES = {"corrupt_file", "no_text_found", "too_large", "extraction_memory", "extraction_timeout", "encrypted_file"}
TOLD = {*CODES, "empty_file", "unsupported_type", "too_many_pages"}


class Listener:
    """A server that answers everything and counts who came."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.came = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.came += 1
            with connection:
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nFETCHED")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    before = made.came
    # the control: whoever may connect is counted
    with socket.create_connection(made._socket.getsockname()) as client:
        assert b"FETCHED" in client.recv(100) + client.recv(100)
    assert made.came == before + 1
    made.close()


def extract(folder: Path, content: bytes, name: str, limits: ExtractionLimits = LIMITS) -> Extraction:
    path = folder / "file"
    path.write_bytes(content)
    return extract_file(path, mime=sniff(path, name), limits=limits)


def outcome(folder: Path, content: bytes, name: str, limits: ExtractionLimits = LIMITS) -> str:
    """The text, or the code of the error, whose sentence is one; and the next file is read."""
    found = text_or_error(folder, content, name, limits)
    assert "Tide tables" in extract(folder, (FILES / "tides.md").read_bytes(), "tides.md").text
    return found if isinstance(found, str) else found.code


def text_or_error(folder: Path, content: bytes, name: str, limits: ExtractionLimits = LIMITS) -> str | ParleyError:
    """What became of a file: it has text, or a code and a sentence that are expected of files."""
    failed: ParleyError | None = None
    text = ""
    try:
        text = extract(folder, content, name, limits).text
    except ParleyError as error:
        failed = error
    if failed is None:
        assert text.strip()
        return text
    assert failed.message.endswith(".")
    assert failed.code in TOLD
    return failed


@pytest.mark.parametrize("name", hostile.OFFICE)
def test_zip_bombs(name: str, tmp_path: Path) -> None:
    assert "small" in outcome(tmp_path, hostile.office_file(name, "small"), name)
    bomb = hostile.office_file(name, "A" * 150_000_000)
    assert len(bomb) < 1_500_000
    assert outcome(tmp_path, bomb, name) in {"too_large", "extraction_memory", "corrupt_file"}


def test_a_bomb_of_many_parts(tmp_path: Path) -> None:
    parts: dict[str, str | bytes] = {f"word/part{number}.xml": b"" for number in range(60_000)}
    with zipfile.ZipFile(io.BytesIO(docx(paragraph("words")))) as archive:
        parts |= {name: archive.read(name) for name in archive.namelist()}
    assert outcome(tmp_path, zipped(parts), "a.docx") == "too_large"


def test_archives_within_archives(tmp_path: Path) -> None:
    layer = zipped({"zeros": bytes(10_000_000)})
    for _ in range(6):
        layer = zipped({f"{number}.zip": layer for number in range(8)})
    with pytest.raises(UnsupportedTypeError, match="not read"):
        extract(tmp_path, layer, "a.zip")
    # within a document it is one of the parts that nobody opens
    with zipfile.ZipFile(io.BytesIO(docx(paragraph("words")))) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    assert outcome(tmp_path, zipped({**parts, "word/embeddings/a.zip": layer}), "a.docx") == "words"


@pytest.mark.parametrize("make", [hostile.laughs, hostile.quadratic])
@pytest.mark.parametrize("name", hostile.OFFICE)
def test_xml_bombs(name: str, make: "hostile.MakesEntities", tmp_path: Path) -> None:
    prologue, text = make()
    found = outcome(tmp_path, hostile.office_file(name, text, prologue), name)
    assert found in {"corrupt_file", "too_large", "extraction_memory"} or len(found) < 1_000


@pytest.mark.parametrize("make", [hostile.laughs, hostile.quadratic])
def test_an_xml_bomb_as_it_is_is_text(make: "hostile.MakesEntities", tmp_path: Path) -> None:
    prologue, text = make()
    content = f'<?xml version="1.0"?>{prologue}<x>{text}</x>'
    assert outcome(tmp_path, content.encode(), "a.xml").replace("\n", "") == content.replace("\n", "")


@pytest.mark.parametrize("name", [*hostile.OFFICE, "a.xml", "a.svg", "a.html"])
def test_what_is_elsewhere_is_not_fetched(name: str, listener: Listener, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush")
    for url in (listener.url, secret.as_uri()):
        prologue, text = hostile.external(url)
        plain = f"{prologue}<svg xmlns='x'>{text}<script href='{url}'/><image href='{url}'/></svg>"
        content = hostile.office_file(name, text, prologue) if name in hostile.OFFICE else plain.encode()
        found = outcome(tmp_path, content, name)
        assert "FETCHED" not in found
        assert "hush-hush" not in found
    assert listener.came == 0


def test_links_to_templates_pictures_and_pages_are_not_followed(listener: Listener, tmp_path: Path) -> None:
    url = listener.url
    picture = f'<w:drawing><a:blip r:link="out"/></w:drawing><w:instrText>INCLUDEPICTURE "{url}"</w:instrText>'
    body = f"<w:p><w:r><w:t>words</w:t>{picture}</w:r></w:p>"
    assert outcome(tmp_path, docx(body, external=url), "a.docx") == "words"
    fetched = f"<link rel=stylesheet href={url}><script src={url}>x()</script><iframe src={url}></iframe>"
    page = f"{fetched}<img src={url} alt=pier>"
    assert outcome(tmp_path, f"<!doctype html>{page}<p>words".encode(), "a.html") == "pier\n\nwords"
    assert "words" in outcome(tmp_path, eml("words", page), "a.eml")
    assert outcome(tmp_path, f"# words\n![x]({url})".encode(), "a.md").startswith("# words")
    rtf = f'{{\\rtf1 {{\\field{{\\*\\fldinst INCLUDEPICTURE "{url}"}}{{\\fldrslt words}}}}{{\\*\\template {url}}}}}'
    assert outcome(tmp_path, rtf.encode(), "a.rtf") == "words"
    assert listener.came == 0


def test_a_pdf_that_would_act_is_only_text(listener: Listener, tmp_path: Path) -> None:
    assert outcome(tmp_path, hostile.active_pdf(listener.url), "a.pdf") == "only words"
    assert listener.came == 0


def locked_pdf() -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=StandardEncryption("open sesame"))
    canvas.drawString(72, 700, "secret")
    canvas.save()
    return buffer.getvalue()


def locked_zip() -> bytes:
    content = bytearray(zipped({"letter.txt": "x"}))
    content[6] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", locked_pdf()),
        ("a.docx", hostile.compound_file("EncryptedPackage")),
        ("a.xlsx", hostile.compound_file("EncryptedPackage")),
        ("a.zip", locked_zip()),
        ("a.odt", odt("", manifest="<m><file-entry><encryption-data/></file-entry></m>")),
        (
            "a.epub",
            epub(
                {"a.xhtml": "x"},
                spine=["a.xhtml"],
                extra={"META-INF/encryption.xml": "<e><EncryptionMethod Algorithm='aes'/></e>"},
            ),
        ),
    ],
)
def test_what_is_locked_says_so(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(EncryptedFileError, match="password"):
        extract(tmp_path, content, name)


def whole_files() -> dict[str, bytes]:
    notebook = b'{"nbformat": 4, "cells": [{"cell_type": "markdown", "source": ["words and more"]}]}'
    return {
        **{name: hostile.office_file(name, "words and more") for name in hostile.OFFICE},
        "a.pdf": (FILES / "lighthouse.pdf").read_bytes(),
        "b.docx": (FILES / "harbour.docx").read_bytes(),
        "b.xlsx": xlsx({"A": [["words", "and"], ["more", "words"]]}),
        "a.eml": eml("words and more", "<p>words</p>", attached={"a.pdf": b"%PDF" * 50}),
        "a.ipynb": notebook,
        "a.rtf": rb"{\rtf1\ansi words and more \b words\b0}",
        "a.html": b"<!doctype html><title>words</title><p>words and <b>more</b></p>",
        "a.csv": b'words,and\n"more, words",1\n',
        "a.json": b'{"words": ["and", "more"]}',
    }


@pytest.mark.parametrize("name", whole_files())
def test_cut_short_anywhere(name: str, tmp_path: Path) -> None:
    whole = whole_files()[name]
    assert "words" in extract(tmp_path, whole, name).text.lower() or name in {"a.pdf", "b.docx"}
    for part in range(1, 12):
        text_or_error(tmp_path, whole[: len(whole) * part // 12], name)


@pytest.mark.parametrize("name", whole_files())
def test_damaged_anywhere(name: str, tmp_path: Path) -> None:
    whole = whole_files()[name]
    for part in range(1, 9):
        place = len(whole) * part // 9
        content = whole[:place] + bytes(255 - byte for byte in whole[place : place + 8]) + whole[place + 8 :]
        text_or_error(tmp_path, content, name)


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        (b"MZ\x90\0" + bytes(range(256)) * 40, "letter.pdf", "unsupported_type"),
        (b"\x7fELF\x02\x01" + bytes(range(256)) * 40, "notes.txt", "unsupported_type"),
        (b"<!doctype html><p>words", "letter.docx", "words"),
        (hostile.pdf_of("words"), "notes.txt", "words"),
        (docx(paragraph("words")), "table.csv", "words"),
        (b"words", "picture.png", "words"),
    ],
)
def test_called_what_it_is_not(content: bytes, name: str, found: str, tmp_path: Path) -> None:
    assert outcome(tmp_path, content, name) == found


def test_ten_thousand_pages(tmp_path: Path) -> None:
    extraction = extract(tmp_path, hostile.many_pages(10_000), "a.pdf")
    assert len(extraction.pages) == 10_000
    start, end = extraction.pages[9_999]
    assert extraction.text[start:end] == "w"
    with pytest.raises(TooManyPagesError, match="10,001 pages"):
        extract(tmp_path, hostile.many_pages(10_001), "a.pdf")


def test_nuls_are_taken_out(tmp_path: Path) -> None:
    line = "one {} two, and more words so that they are few\n"
    assert outcome(tmp_path, line.format("\0").encode() * 40, "a.txt") == line.format("") * 40
    assert outcome(tmp_path, bytes(10_000), "a.txt") == "empty_file"
    assert outcome(tmp_path, b"<!doctype html><p>a\0b", "a.html").replace("\N{REPLACEMENT CHARACTER}", "") == "ab"


def test_one_endless_line(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="2,000,000 characters"):
        extract(tmp_path, b"a" * 100_000_000, "a.txt")
    assert len(extract(tmp_path, b"a" * 1_900_000, "a.txt").text) == 1_900_000
    for name in ("a.md", "a.html", "a.csv", "a.json", "a.py", "a.eml"):
        assert outcome(tmp_path, b"(" + b"[<a " * 450_000, name)


def test_formulas_are_text(tmp_path: Path) -> None:
    formula = "=cmd|' /C calc'!A0"
    assert outcome(tmp_path, f"name,value\nx,{formula}\n".encode(), "a.csv") == f"name | value\nx | {formula}"
    assert "calc" not in outcome(tmp_path, xlsx({"A": [["name"], [formula]]}), "a.xlsx")


@pytest.mark.parametrize("name", hostile.cyclic_pdfs())
def test_pdfs_that_go_in_circles(name: str, tmp_path: Path) -> None:
    found = outcome(tmp_path, hostile.cyclic_pdfs()[name], "a.pdf")
    assert found in CODES or len(found) < 1_000


def test_a_pdf_that_swells(tmp_path: Path) -> None:
    swelling = hostile.swelling_pdf()
    assert len(swelling) < 1_000_000
    assert outcome(tmp_path, swelling, "a.pdf").strip() in {
        "words\n" * 9 + "words",
        "extraction_memory",
        *CODES,
        "words",
    }


NAMES = [
    "../../etc/passwd",
    "a\u202efdp.exe",
    "a\nb\r\0.txt",
    "x" * 10_000,
    "",
    "/",
    "CON",
    "a" * 300 + ".pdf",
    "~/.ssh/id",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_say_nothing_about_content(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(hostile.pdf_of("words"))
    assert sniff(path, name) == kinds.PDF
    path.write_bytes(b"just words")
    assert sniff(path, name) == kinds.PLAIN
