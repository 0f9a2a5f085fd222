"""Bytes to text, whatever their encoding."""

import codecs
import importlib
import re
from collections.abc import Iterator

DETECT_BYTES = 256 * 1024
MIN_CONFIDENCE = 0.1  # below it chardet guesses between Windows' code pages by a hair
FALLBACK = "windows-1252"

# UTF-32 first: its little-endian mark begins with that of UTF-16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""")
# Written in ASCII bytes only, so they pass for UTF-8
_ESCAPED = (b"\x1b$", b"\x1b(", b"~{")


def decode(data: bytes, *, declared: bool = False) -> tuple[str, str]:
    """The text of `data` and the name of the encoding it was read with.

    The order: a byte order mark, encodings that hide in ASCII or have NULs, UTF-8, what the file itself
    declares (for HTML and XML, where `declared` is set), what chardet finds, Windows-1252. Bytes that fit
    none become U+FFFD.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace"), encoding.removesuffix("-sig")
    for encoding in _candidates(data, declared=declared):
        if (text := _strictly(data, encoding)) is not None:
            return text, encoding.lower()
    detected = _detected(data) or FALLBACK
    return data.decode(_known(detected) or FALLBACK, errors="replace"), detected


def decode_as(data: bytes, encoding: str) -> str | None:
    """The text of `data` in the encoding that is declared for it, or None where that is unknown or does not fit."""
    return _strictly(data, encoding)


def _candidates(data: bytes, *, declared: bool) -> Iterator[str]:
    if b"\0" in data[:4096] or any(mark in data[:DETECT_BYTES] for mark in _ESCAPED):
        detected = _detected(data)
        if detected.startswith(("utf-16", "utf-32", "iso-2022", "hz")):
            yield detected
    yield "utf-8"
    if declared and (found := _DECLARED.search(data[:2048])):
        yield found[1].decode("ascii")


def _detected(data: bytes) -> str:
    # By name: loading it takes longer than reading most files, which are UTF-8.
    found = importlib.import_module("chardet").detect(data[:DETECT_BYTES])
    sure = (found.get("confidence") or 0) >= MIN_CONFIDENCE
    return (found.get("encoding") or "").lower() if sure else ""


def _strictly(data: bytes, encoding: str) -> str | None:
    name = _known(encoding)
    try:
        return data.decode(name) if name else None
    except UnicodeError:
        return None


def _known(encoding: str) -> str | None:
    """Python's name for a text encoding; "latin-1" means Windows-1252 (WHATWG Encoding Standard, 4.2)."""
    try:
        b"    ".decode(encoding, errors="replace")
    except (LookupError, UnicodeError):
        return None
    name = codecs.lookup(encoding).name
    return FALLBACK if name in {"iso8859-1", "ascii"} else name
