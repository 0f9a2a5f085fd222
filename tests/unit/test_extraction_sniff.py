"""What kind of file it is: by its content, whatever it is called."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ParleyError
from retrieval.errors import CorruptFileError, EmptyFileError, EncryptedFileError, UnsupportedTypeError
from retrieval.extraction import kinds, sniff

FILES = Path(__file__).parents[1] / "files"


def zipped(*names: str, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
        archive.comment = comment
    return buffer.getvalue()


def compound_file(stream: str) -> bytes:
    """An OLE file of 512-byte sectors whose directory, in sector 1, names one stream."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header[30:32] = (9).to_bytes(2, "little")
    header[48:52] = (1).to_bytes(4, "little")
    return bytes(header) + bytes(512) + stream.encode("utf-16-le").ljust(512, b"\0")


@pytest.mark.parametrize(
    ("file", "mime"),
    [
        ("lighthouse.pdf", kinds.PDF),
        ("harbour.docx", kinds.DOCX),
        ("tides.md", kinds.MARKDOWN),
        ("pilots.html", kinds.HTML),
        ("buoys-cp1252.txt", kinds.PLAIN),
        ("picture.png", "image/png"),
    ],
)
def test_files_by_path_and_by_bytes(file: str, mime: str) -> None:
    assert sniff(FILES / file, file) == mime
    assert sniff((FILES / file).read_bytes(), file) == mime


@pytest.mark.parametrize("file", ["lighthouse.pdf", "harbour.docx", "pilots.html", "picture.png"])
@pytest.mark.parametrize("name", ["", "notes.txt", "table.csv", "../../etc/passwd", "a\0b.md", "x" * 5000 + ".json"])
def test_the_name_does_not_make_the_kind(file: str, name: str) -> None:
    assert sniff(FILES / file, name) == sniff(FILES / file, file)


@pytest.mark.parametrize(
    ("content", "name", "mime"),
    [
        (b"just words", "letter.pdf", kinds.PLAIN),
        (b"just words", "letter.docx", kinds.PLAIN),
        (b"def f(): pass", "app.py", "text/x-source-python"),
        (b"all: x\n\tmake y", "Makefile", "text/x-source-makefile"),
        (b"#!/usr/bin/env -S python3 -u\nprint()", "tool", "text/x-source-python"),
        (b"#!/bin/sh\nls", "tool.py", "text/x-source-shell"),
        (b"int main() {}", "a.C++.CPP", "text/x-source-cpp"),
        (b"<?php echo 1;", "x.txt", "text/x-source-php"),
        (b"<!doctype html><p>x", "app.py", kinds.HTML),
        (b"<svg xmlns='x'/>", "a.svg", kinds.XML),
        (b'{"a": 1}', "", kinds.JSON),
        (b'[\n {"a": 1}]', "", kinds.JSON),
        (b"[1] a reference", "", kinds.PLAIN),
        (b'{"a": 1}', "log.txt", kinds.PLAIN),
        (b"a,b\n1,2\n", "table.CSV", kinds.CSV),
        (b"a\tb\n", "table.tsv", kinds.TSV),
        (b'{"a": 1}', "data.json", kinds.JSON),
        (b"not json at all", "data.json", kinds.PLAIN),
        (b'{"cells": [], "metadata": {}, "nbformat": 4}', "", kinds.NOTEBOOK),
        (b'{"cells": [' + b" " * 200_000 + b'], "nbformat": 4}', "", kinds.NOTEBOOK),
        (b"<!-- hello --> <!DOCTYPE  HTML><p>x", "", kinds.HTML),
        (b'<?xml version="1.0"?>\n<html xmlns="x"><body/></html>', "", kinds.HTML),
        (b'<?xml version="1.0"?><feed/>', "", kinds.XML),
        (b"<p>a piece</p>", "piece.html", kinds.HTML),
        (b"From: a@b.example\r\nMIME-Version: 1.0\r\nSubject: x\r\n\r\nhello", "", kinds.EMAIL),
        (b"Subject: x\nFrom: a@b.example\n\nhello", "x.eml", kinds.EMAIL),
        (b"From: here to there\n\nis a poem", "", kinds.PLAIN),
        (b"{\\rtf1 hello}", "", kinds.RTF),
        ("Grüße".encode("utf-16"), "", kinds.PLAIN),
        (("word " * 50).encode("utf-16-le"), "", kinds.PLAIN),
        ("слово ".encode("koi8-r") * 20, "", kinds.PLAIN),
        (b"mostly text, one \0 in it " * 20, "", kinds.PLAIN),
        (b"\x1b[31mred\x1b[0m log line\n" * 3, "", kinds.PLAIN),
        (zipped("[Content_Types].xml", "ppt/presentation.xml"), "", kinds.PPTX),
        (zipped("[Content_Types].xml", "xl/workbook.bin", comment=b"c" * 60_000), "", kinds.XLSX),
    ],
)
def test_kinds(content: bytes, name: str, mime: str) -> None:
    assert sniff(content, name) == mime


@pytest.mark.parametrize(
    ("mark", "mime"), [("application/epub+zip", kinds.EPUB), ("application/vnd.oasis.opendocument.text", kinds.ODT)]
)
def test_containers_that_name_themselves(mark: str, mime: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", mark)
        archive.writestr("content", "x")
    assert sniff(buffer.getvalue()) == mime


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b" \r\n\t" * 10, b"\xef\xbb\xbf", b"\xff\xfe\n\0"])
def test_nothing_in_it(content: bytes) -> None:
    with pytest.raises(EmptyFileError):
        sniff(content, "a.txt")


def test_encrypted_is_told_from_old() -> None:
    with pytest.raises(EncryptedFileError):
        sniff(compound_file("EncryptedPackage"), "a.docx")
    with pytest.raises(UnsupportedTypeError, match=r"\.eml"):
        sniff(compound_file("__substg1.0_0037001F"), "a.msg")
    with pytest.raises(UnsupportedTypeError, match="2007"):
        sniff(compound_file("WordDocument"), "a.doc")


def test_an_archive_with_a_password() -> None:
    content = bytearray(zipped("letter.txt"))
    content[6] |= 1
    with pytest.raises(EncryptedFileError):
        sniff(bytes(content), "a.zip")


def test_archives_are_told_from_what_is_packed_like_them() -> None:
    assert sniff(zipped("letter.txt"), "a.docx") == kinds.ZIP
    with pytest.raises(UnsupportedTypeError):
        sniff(zipped("META-INF/MANIFEST.MF"), "a.zip")


def test_a_container_cut_short() -> None:
    content = (FILES / "harbour.docx").read_bytes()
    with pytest.raises(CorruptFileError):
        sniff(content[: len(content) // 2], "harbour.docx")


@pytest.mark.parametrize("content", [b"\x7fELF" + bytes(range(256)) * 20, b"\x1f\x8b\x08\0" + bytes(range(256)) * 20])
def test_what_is_not_read(content: bytes) -> None:
    with pytest.raises(UnsupportedTypeError):
        sniff(content, "a.txt")


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"%PDF-", b"{"])
)
def test_any_bytes_have_a_kind_or_a_reason(content: bytes, start: bytes) -> None:
    try:
        found = sniff(start + content, "x")
    except ParleyError as error:
        found = error.code
    reasons = {"empty_file", "encrypted_file", "unsupported_type", "corrupt_file"}
    assert found in {*kinds.READERS, *kinds.IMAGES, *reasons}
