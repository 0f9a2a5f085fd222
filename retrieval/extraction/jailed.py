"""Reads a file in the jail and says what went wrong in words for the person who uploaded it."""

import logging
import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass
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
    TooLargeError,
    extraction_error,
)
from retrieval.extraction.result import Extraction

logger = logging.getLogger(__name__)

ENTRY = "retrieval.extraction.entry:run"
MEBIBYTE = 1024 * 1024
# The most that JSON makes of a character of text (a control character as \u00xx).
JSON_BYTES_PER_CHAR = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionLimits:
    """The bounds of one extraction: seconds, bytes of address space, characters of text, pages."""

    seconds: float = 120
    memory_bytes: int = 1024 * MEBIBYTE
    max_chars: int = 20_000_000
    max_pages: int = 10_000

    def of_the_jail(self) -> Limits:
        return Limits(
            wall_seconds=self.seconds,
            cpu_seconds=math.ceil(self.seconds),
            memory_bytes=self.memory_bytes,
            output_bytes=JSON_BYTES_PER_CHAR * self.max_chars + 16 * MEBIBYTE,
        )


def extract_file(
    path: Path, *, mime: str, limits: ExtractionLimits | None = None, on_progress: OnProgress | None = None
) -> Extraction:
    """The text of the file at `path`, which is of the kind `mime` (as `sniff` found it).

    Blocks until a child process has read it; meanwhile `on_progress(done, total)` hears of the pages read, a few
    times a second, in this thread. What it raises ends the reading. Raises an ExtractionError for whatever is wrong
    with the file, and OSError where it is not there.
    """
    limits = limits or ExtractionLimits()
    arguments: dict[str, Json] = {"mime": mime, "max_chars": limits.max_chars, "max_pages": limits.max_pages}
    outcome = jail.run(ENTRY, data=path, arguments=arguments, limits=limits.of_the_jail(), on_progress=on_progress)
    if isinstance(outcome, Failure):
        logger.warning("%s of a %s: %s %s", outcome.code, mime, outcome.error, outcome.message)
        raise _explained(outcome, limits)
    answer = cast(Mapping[str, Any], outcome.result)
    if "failed" in answer:
        raise extraction_error(answer["failed"]["code"], answer["failed"]["message"])
    return Extraction.from_json(answer["extraction"])


def _explained(failure: Failure, limits: ExtractionLimits) -> ExtractionError:
    match failure.code:
        case FailureCode.TIMEOUT:
            return ExtractionTimeoutError(f"Reading this file took longer than {limits.seconds:g} seconds.")
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
