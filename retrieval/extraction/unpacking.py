"""What a zip archive holds, read in the jail: first a list, then the contents, some at a time.

Nothing is written and no name is used as a path. What the archive says about itself is believed only as a bound: as
many bytes of a file are unpacked as were announced, and one that turns out larger is refused.
"""

import io
import lzma
import stat
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import Any

import orjson

# Unpacked to packed bytes beyond which a file is a bomb; text seldom packs better than 1 to 50.
MAX_RATIO = 200
_RATIO_FROM = 1024 * 1024
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
_NESTED = frozenset({".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".cab", ".iso", ".jar"})
_UTF8 = 0x800
_ENCRYPTED = 0x1
_DAMAGED = "This file is damaged in the archive."
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, NotImplementedError)

Problem = tuple[str, str]


def listing(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """The files of an archive: {"files": [[position, name, size, code, message], …], "hidden": number}.

    `code` and `message` are empty where the file can be unpacked. `max_bytes` is the most that one file may have.
    {"broken": true} where it cannot be read as an archive.
    """
    try:
        entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except _BROKEN:
        return {"broken": True}
    files, hidden = [], 0
    for position, entry in enumerate(entries):
        name = _name(entry)
        if name.endswith("/"):
            continue
        if _is_hidden(name):
            hidden += 1
            continue
        files.append([position, name, entry.file_size, *_problem(entry, name, max_bytes)])
    return {"files": files, "hidden": hidden}


def contents(data: bytes, *, positions: list[int]) -> bytes:
    """The bytes of some files one after the other, each behind a line of JSON: {"size"} or {"code", "message"}."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    entries = archive.infolist()
    out = bytearray()
    for position in positions:
        found = _unpacked(archive, entries[position])
        if isinstance(found, bytes):
            out += orjson.dumps({"size": len(found)}) + b"\n" + found
        else:
            out += orjson.dumps({"code": found[0], "message": found[1]}) + b"\n"
    return bytes(out)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes | Problem:
    try:
        with archive.open(entry) as stream:
            content = stream.read(entry.file_size)
            if stream.read(1):
                return "corrupt_file", "This file is larger than the archive says."
    except (*_BROKEN, RuntimeError):
        return "corrupt_file", _DAMAGED
    return content if len(content) == entry.file_size else ("corrupt_file", _DAMAGED)


def _name(entry: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 without saying so; then zipfile has read it as code page 437."""
    if entry.flag_bits & _UTF8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return entry.filename


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part.startswith(".") and part.strip(".") for part in parts) or "__MACOSX" in parts


def _problem(entry: zipfile.ZipInfo, name: str, max_bytes: int) -> Problem:
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted_file", "This file is protected by a password."
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "unsupported_type", "This is a link, not a file."
    if PurePosixPath(name).suffix.lower() in _NESTED:
        return "unsupported_type", "Archives within archives are not unpacked."
    if entry.compress_type not in _METHODS:
        return "unsupported_type", "This file is packed in a way that is not read."
    if entry.file_size > max_bytes:
        return "too_large", f"This file is larger than {max_bytes / 1024**2:,.0f} MB, the most that is taken."
    if entry.file_size > max(_RATIO_FROM, MAX_RATIO * entry.compress_size):
        return "too_large", f"This file unpacks to more than {MAX_RATIO} times its size."
    return "", ""
