"""Asks the jail for pictures, and says what went wrong in words for the person who wants to see them."""

import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from core import jail
from core.jail import Failure, FailureCode, Json, Limits
from retrieval.errors import (
    CorruptFileError,
    ExtractionCrashedError,
    ExtractionError,
    ExtractionMemoryError,
    ExtractionTimeoutError,
    TooLargeError,
    extraction_error,
)

logger = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024
LONGEST = 2048
THUMBNAIL = 480
MAX_POINTS = 100_000_000
MAX_BYTES = 1536 * 1024
"""A picture for a model, of which a request may carry many."""

_PAGE = Limits(wall_seconds=20, cpu_seconds=20, memory_bytes=1024 * MEBIBYTE, output_bytes=16 * MEBIBYTE)
_PICTURE = Limits(wall_seconds=60, cpu_seconds=60, memory_bytes=1536 * MEBIBYTE, output_bytes=16 * MEBIBYTE)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as we made it anew, and a small one (WebP). Sides are in points."""

    mime_type: str
    width: int
    height: int
    content: bytes
    small_width: int
    small_height: int
    small: bytes


def page_sizes(path: Path) -> list[tuple[float, float]]:
    """Width and height of the pages of the PDF at `path`, in points. Raises ExtractionError, as all here do."""
    answer = _asked("retrieval.pictures.pdf:sizes", path, {}, _PAGE, "The pages of this PDF")
    return [(width, height) for width, height in cast(Mapping[str, Any], answer)["sizes"]]


def page_picture(path: Path, *, number: int, width: int) -> bytes:
    """Page `number`, counted from 1, as WebP of `width` points."""
    arguments: dict[str, Json] = {"number": number, "width": width}
    answer = _asked("retrieval.pictures.pdf:page", path, arguments, _PAGE, "This page")
    return cast(bytes, answer)


def page_marks(path: Path, *, spans: Sequence[Mapping[str, Json]]) -> list[dict[str, Any]]:
    """Boxes of the spans, as `retrieval.pictures.pdf.marks` says."""
    answer = _asked("retrieval.pictures.pdf:marks", path, {"spans": list(spans)}, _PAGE, "This page")
    return list(cast(Mapping[str, Any], answer)["pages"])


def prepare(path: Path, *, mime: str) -> Prepared:
    """Make the picture at `path` anew."""
    arguments: dict[str, Json] = {
        "mime": mime,
        "longest": LONGEST,
        "thumbnail": THUMBNAIL,
        "max_points": MAX_POINTS,
        "max_bytes": MAX_BYTES,
    }
    answer = _asked("retrieval.pictures.photos:prepare", path, arguments, _PICTURE, "This picture")
    line, _, body = cast(bytes, answer).partition(b"\n")
    head = orjson.loads(line)
    length = head["bytes"]
    return Prepared(
        mime_type=head["mime"],
        width=head["width"],
        height=head["height"],
        content=body[:length],
        small_width=head["small_width"],
        small_height=head["small_height"],
        small=body[length:],
    )


def _asked(function: str, path: Path, arguments: Mapping[str, Json], limits: Limits, what: str) -> Json | bytes:
    outcome = jail.run(function, data=path, arguments=arguments, limits=limits)
    if isinstance(outcome, Failure):
        logger.warning("%s of %s: %s %s", outcome.code, function, outcome.error, outcome.message)
        raise _explained(outcome, limits, what)
    if isinstance(outcome.result, dict) and "failed" in outcome.result:
        failed = outcome.result["failed"]
        raise extraction_error(failed["code"], failed["message"])
    return outcome.result


def _explained(failure: Failure, limits: Limits, what: str) -> ExtractionError:
    match failure.code:
        case FailureCode.TIMEOUT:
            return ExtractionTimeoutError(f"{what} took longer than {limits.wall_seconds:g} seconds to draw.")
        case FailureCode.MEMORY:
            return ExtractionMemoryError(
                f"{what} needs more than {limits.memory_bytes // MEBIBYTE:,} MB of memory to draw."
            )
        case FailureCode.OUTPUT_LIMIT:
            return TooLargeError(f"{what} is too large to be shown.")
        case FailureCode.CRASH:
            killed = failure.signal == signal.SIGKILL
            return ExtractionCrashedError(f"{what} makes the program that draws it crash.", retryable=killed)
        case FailureCode.UNPROTECTED:
            return ExtractionError(f"Pictures cannot be made safely on this machine: {failure.message}.")
        case FailureCode.ERROR:
            return CorruptFileError(f"{what} is damaged and cannot be shown.")
