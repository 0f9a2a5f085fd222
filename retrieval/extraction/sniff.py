"""What kind of file it is, by its content; the name only tells kinds of text apart.

Looks at some kilobytes of the file and never unpacks anything, so it may run in a web process.
"""

import io
import re
from pathlib import Path, PurePath
from typing import BinaryIO

import puremagic

from retrieval.errors import CorruptFileError, EmptyFileError, EncryptedFileError, UnsupportedTypeError
from retrieval.extraction import kinds, languages

HEAD_BYTES = 64 * 1024
DIRECTORY_BYTES = 4 * 1024 * 1024

_TEXT_BY_SUFFIX = {
    ".md": kinds.MARKDOWN,
    ".markdown": kinds.MARKDOWN,
    ".mdown": kinds.MARKDOWN,
    ".csv": kinds.CSV,
    ".tsv": kinds.TSV,
    ".tab": kinds.TSV,
    ".json": kinds.JSON,
    ".jsonl": kinds.PLAIN,
    ".ndjson": kinds.PLAIN,
}
_XML_SUFFIXES = frozenset({".xml", ".svg", ".rss", ".atom", ".xsd", ".xsl", ".xslt", ".kml", ".gpx", ".wsdl"})
_HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
_OFFICE_PARTS = (
    (b"word/document", kinds.DOCX),
    (b"ppt/presentation", kinds.PPTX),
    (b"xl/workbook", kinds.XLSX),
)
# What tells a file that is packed as an archive from an archive of files: other Office files, programs, iWork.
_PACKAGE_PARTS = (b"[Content_Types].xml", b"META-INF/MANIFEST.MF", b"AndroidManifest.xml", b"Index/Document.iwa")
_ZIP_TYPES = {b"application/epub+zip": kinds.EPUB, b"application/vnd.oasis.opendocument.text": kinds.ODT}
_MAIL_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:[ \t]")
_MAIL_MARKS = re.compile(rb"^(?:from|received|return-path|mime-version|message-id):", re.IGNORECASE | re.MULTILINE)
_HTML_START = re.compile(rb"\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_JSON_START = re.compile(rb'\{\s*"[^"\n]{0,200}"\s*:|\[\s*\{\s*"')
# Control characters that text does not have; tab, line ends, form feed, backspace and escape it may.
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b\0"))
_TEXT_CONTROL_SHARE = 0.01
_TEXT_NUL_SHARE = 0.05


def sniff(source: bytes | Path, name: str = "") -> str:
    """The MIME type of `source` (bytes, or a file's path); `name` is what the uploader calls it.

    Raises EmptyFileError, EncryptedFileError, CorruptFileError, or UnsupportedTypeError, which names what it
    is where that is known.
    """
    if isinstance(source, bytes):
        return _sniff(io.BytesIO(source), name)
    with source.open("rb") as stream:
        return _sniff(stream, name)


def _sniff(stream: BinaryIO, name: str) -> str:
    head = stream.read(HEAD_BYTES)
    if not head.strip(b"\0 \t\r\n\f\xef\xbb\xbf\xfe\xff"):
        raise EmptyFileError("This file is empty.")
    if b"%PDF-" in head[:1024]:
        return kinds.PDF
    if head.startswith(b"{\\rtf"):
        return kinds.RTF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _sniff_zip(stream, head)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _sniff_ole(stream, head)
    if (image := _image(head)) is not None:
        return image
    if _is_text(head):
        return _sniff_text(stream, head, name)
    raise _unsupported(head)


def _sniff_zip(stream: BinaryIO, head: bytes) -> str:
    # EPUB and OpenDocument begin with an uncompressed entry "mimetype" (EPUB OCF 4.3, OpenDocument 1.3 part 2, 3.3)
    if head[30:38] == b"mimetype":
        declared = head[38 + int.from_bytes(head[28:30], "little") :]
        for mark, mime in _ZIP_TYPES.items():
            if declared.startswith(mark + b"PK"):
                return mime
    directory = _zip_directory(stream)
    for part, mime in _OFFICE_PARTS:
        if part in directory:
            return mime
    if int.from_bytes(head[6:8], "little") & 1:
        raise EncryptedFileError("This archive is protected by a password.")
    if head[30:38] == b"mimetype" or any(part in directory for part in _PACKAGE_PARTS):
        raise UnsupportedTypeError("This kind of file is not read.")
    return kinds.ZIP


def _zip_directory(stream: BinaryIO) -> bytes:
    """The central directory (PKWARE APPNOTE 4.3.12, found by 4.3.16), at most DIRECTORY_BYTES of it."""
    size = stream.seek(0, io.SEEK_END)
    tail_start = max(0, size - HEAD_BYTES - 22)
    stream.seek(tail_start)
    tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise CorruptFileError("This file is incomplete: its end is missing.")
    length = int.from_bytes(tail[end + 12 : end + 16], "little")
    start = max(0, tail_start + end - min(length, DIRECTORY_BYTES))
    stream.seek(start)
    return stream.read(min(length, DIRECTORY_BYTES))


def _sniff_ole(stream: BinaryIO, head: bytes) -> str:
    """Compound files: old Office formats, and new ones under a password (MS-OFFCRYPTO 2.3; directory: MS-CFB
    2.2).
    """
    sector = 1 << min(int.from_bytes(head[30:32], "little"), 16)
    stream.seek((int.from_bytes(head[48:52], "little") + 1) * sector)
    directory = stream.read(8192)
    if "EncryptedPackage".encode("utf-16-le") in directory:
        raise EncryptedFileError("This document is protected by a password.")
    if "__substg1.0_".encode("utf-16-le") in directory:
        raise UnsupportedTypeError("Outlook's own files are not read: save the message as .eml.")
    raise UnsupportedTypeError("Office files from before 2007 are not read: save it in the newer format or as PDF.")


def _image(head: bytes) -> str | None:
    marks = {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"GIF87a": "image/gif",
        b"GIF89a": "image/gif",
        b"II*\0": "image/tiff",
        b"MM\0*": "image/tiff",
    }
    for mark, mime in marks.items():
        if head.startswith(mark):
            return mime
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "image/bmp" if head[:2] == b"BM" and b"\0" in head[:20] else None


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return True
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > _TEXT_CONTROL_SHARE * len(head):
        return False
    return head.count(0) <= _TEXT_NUL_SHARE * len(head) or _is_wide_text(head)


def _is_wide_text(head: bytes) -> bool:
    """UTF-16 without a byte order mark: NULs on one side of the pairs, hardly any on the other."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    low, high = sorted((even, odd))
    return high > len(head) // 4 and low <= _TEXT_NUL_SHARE * len(head)


def _sniff_text(stream: BinaryIO, head: bytes, name: str) -> str:
    start, suffix = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n"), PurePath(name).suffix.lower()
    if _HTML_START.match(start[:4096]) or (suffix in _HTML_SUFFIXES and start.startswith(b"<")):
        return kinds.HTML
    if start.startswith(b"<?xml") or (suffix in _XML_SUFFIXES and start.startswith(b"<")):
        return kinds.XML
    if start.startswith(b"{") and b'"cells"' in head and _mentions(stream, b'"nbformat"'):
        return kinds.NOTEBOOK
    if _MAIL_HEADER.match(start) and _is_mail(start, suffix):
        return kinds.EMAIL
    if kind := _TEXT_BY_SUFFIX.get(suffix):
        return kind if kind != kinds.JSON or start.startswith((b"{", b"[")) else kinds.PLAIN
    if language := languages.language_of(name, start):
        return languages.mime_of(language)
    return kinds.JSON if not suffix and _JSON_START.match(start) else kinds.PLAIN


def _mentions(stream: BinaryIO, mark: bytes) -> bool:
    size = stream.seek(0, io.SEEK_END)
    for start in {0, max(0, size - HEAD_BYTES)}:
        stream.seek(start)
        if mark in stream.read(HEAD_BYTES):
            return True
    return False


def _is_mail(start: bytes, suffix: str) -> bool:
    headers = re.split(rb"\r?\n\r?\n", start, maxsplit=1)[0]
    marks = {mark.lower() for mark in _MAIL_MARKS.findall(headers)}
    return len(marks) >= (1 if suffix == ".eml" else 2)


def _unsupported(head: bytes) -> UnsupportedTypeError:
    try:
        found = puremagic.magic_string(head)
    except puremagic.PureError:
        found = []
    what = found[0].name if found and found[0].confidence >= 0.4 else ""
    return UnsupportedTypeError(f"This kind of file is not read: {what}." if what else "This kind of file is not read.")
