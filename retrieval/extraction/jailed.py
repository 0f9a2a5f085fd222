"""Reads a file in the jail and says what went wrong in words for the person who uploaded it."""

import logging
import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from core import jail
from core.jail import Failure, FailureCode, Json, Limits, OnProgress
from retrieval.errors import (
    CorruptFileError,
    ExtractionCrashedError,
    ExtractionError,
    ExtractionMemoryError,
    ExtractionTimeoutError,
    NoTextFoundError,
    TooLargeError,
    extraction_error,
)
from retrieval.extraction.kinds import IMAGES, PICTURED
from retrieval.extraction.ocr import NOT_HERE, OcrData, available, chosen
from retrieval.extraction.result import Extraction

logger = logging.getLogger(__name__)

ENTRY = "retrieval.extraction.entry:run"
# What every reader loads, and the reader of most small files; no library that reads a format in native code.
SHARED = ("retrieval.extraction.entry", "retrieval.extraction.plain")
MEBIBYTE = 1024 * 1024
# The most that JSON makes of a character of text (a control character as \u00xx).
JSON_BYTES_PER_CHAR = 6
# Of the seconds for pictures, after which no further page is begun.
OCR_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionLimits:
    """The bounds of one extraction: seconds, bytes of address space, characters of text, pages.

    Reading pictures has seconds of its own, on top; `ocr_languages` are tesseract's names joined by +, or "" for all.
    """

    seconds: float = 120
    memory_bytes: int = 1024 * MEBIBYTE
    max_chars: int = 20_000_000
    max_pages: int = 10_000
    ocr_seconds: float = 600
    ocr_languages: str = ""

    def of_the_jail(self, seconds: float) -> Limits:
        return Limits(
            wall_seconds=seconds,
            cpu_seconds=math.ceil(seconds),
            memory_bytes=self.memory_bytes,
            output_bytes=JSON_BYTES_PER_CHAR * self.max_chars + 16 * MEBIBYTE,
        )


def extract_file(
    path: Path, *, mime: str, limits: ExtractionLimits | None = None, on_progress: OnProgress | None = None
) -> Extraction:
    """The text of the file at `path`, which is of the kind `mime` (as `sniff` found it).

    Blocks until a child process has read it; meanwhile `on_progress(done, total)` hears of the pages read, a few
    times a second, in this thread; it begins anew where pictures are read afterwards. What it raises ends the reading.
    Raises an ExtractionError for whatever is wrong with the file, and OSError where it is not there.
    """
    reading = _Reading(path, mime, limits or ExtractionLimits(), on_progress)
    ocr = available() if mime in PICTURED else None
    if mime in IMAGES and ocr is not None:
        return reading.with_ocr(ocr)
    found: Extraction | NoTextFoundError
    try:
        found = reading.without_ocr()
    except NoTextFoundError as error:
        found = error
    has_pictures = found.retryable if isinstance(found, NoTextFoundError) else found.pictures > 0
    if ocr is not None and has_pictures:
        return _completed(found, reading, ocr)
    if isinstance(found, NoTextFoundError):
        raise found
    return found


def _completed(found: Extraction | NoTextFoundError, reading: "_Reading", ocr: OcrData) -> Extraction:
    """The same with the text of its pictures; without, where they cannot be read and there is other text."""
    try:
        return reading.with_ocr(ocr)
    except ExtractionError as error:
        if isinstance(found, NoTextFoundError):
            raise
        logger.warning("Pictures of a %s were not read: %s", reading.mime, error)
        return replace(found, warnings=(*found.warnings, f"{_left_out(found.pictures)}: {error.message}"))


@dataclass(frozen=True, slots=True)
class _Reading:
    path: Path
    mime: str
    limits: ExtractionLimits
    on_progress: OnProgress | None

    def without_ocr(self) -> Extraction:
        found = self._read({}, self.limits.seconds)
        warnings = (*found.warnings, f"{_left_out(found.pictures)}: {NOT_HERE}") if found.pictures else found.warnings
        return replace(found, warnings=warnings)

    def with_ocr(self, ocr: OcrData) -> Extraction:
        seconds = self.limits.ocr_seconds
        order: dict[str, Json] = {
            "languages": chosen(ocr, self.limits.ocr_languages),
            "folder": ocr.folder,
            "orientation": ocr.orientation,
            "seconds": seconds * OCR_SHARE,
        }
        return self._read({"ocr": order}, self.limits.seconds + seconds)

    def _read(self, more: dict[str, Json], seconds: float) -> Extraction:
        limits = self.limits
        arguments = {"mime": self.mime, "max_chars": limits.max_chars, "max_pages": limits.max_pages, **more}
        bounds = limits.of_the_jail(seconds)
        outcome = jail.run(
            ENTRY, data=self.path, arguments=arguments, limits=bounds, on_progress=self.on_progress, modules=SHARED
        )
        if isinstance(outcome, Failure):
            logger.warning("%s of a %s: %s %s", outcome.code, self.mime, outcome.error, outcome.message)
            raise _explained(outcome, limits, seconds)
        answer = cast(Mapping[str, Any], outcome.result)
        if "failed" in answer:
            failed = answer["failed"]
            raise extraction_error(failed["code"], failed["message"], retryable=bool(failed["retryable"]))
        return Extraction.from_json(answer["extraction"])


def _left_out(pictures: int) -> str:
    return (
        f"{pictures:,} pages are pictures and were not read"
        if pictures != 1
        else "A page is a picture and was not read"
    )


def _explained(failure: Failure, limits: ExtractionLimits, seconds: float) -> ExtractionError:
    match failure.code:
        case FailureCode.TIMEOUT:
            return ExtractionTimeoutError(f"Reading this file took longer than {seconds:g} seconds.")
        case FailureCode.MEMORY:
            allowed = limits.memory_bytes // MEBIBYTE
            return ExtractionMemoryError(f"Reading this file needs more than {allowed:,} MB of memory.")
        case FailureCode.OUTPUT_LIMIT:
            return TooLargeError(f"This file has more than {limits.max_chars:,} characters of text.")
        case FailureCode.CRASH:
            killed = failure.signal == signal.SIGKILL
            return ExtractionCrashedError("This file makes its reader crash.", retryable=killed)
        case FailureCode.UNPROTECTED:
            return ExtractionError(f"Files cannot be read safely on this machine: {failure.message}.")
        case FailureCode.ERROR:
            return CorruptFileError("This file is damaged, or not what it says it is, and cannot be read.")
