"""The pages of a PDF as pictures, and where on them a text stands: drawn when they are asked for, then kept."""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import orjson
from django.conf import settings

from core.bridge import in_database
from core.errors import NotFoundError
from core.jail import Json
from retrieval.extraction.kinds import PDF
from retrieval.models import File
from retrieval.pictures import jailed, kept
from retrieval.pictures.queue import Drawings

WIDTHS = (900, 1800)
"""Points that a picture of a page may be wide."""

# Raised when pages are drawn otherwise: pictures of before are not shown again.
DRAWING = 1
_SIZES = "pages.json"


def has_pages(file: File) -> bool:
    """Whether there can be pictures of the file's pages."""
    return file.mime_type == PDF


def page_tag(file: File, number: int, width: int) -> str:
    """What an HTTP cache tells pictures of pages by: the same content drawn in the same way."""
    return hashlib.sha256(f"{file.sha256} {number} {width} {DRAWING}".encode()).hexdigest()[:32]


async def page_picture(file: File, *, number: int, width: int) -> bytes:
    """Page `number`, counted from 1, as WebP, `width` points wide.

    Raises NotFoundError where there is no such page, ExtractionError where it cannot be drawn, TooManyDrawnError.
    """
    if width not in WIDTHS or not has_pages(file) or number < 1:
        raise NotFoundError("There is no such page.")
    name = f"page-{number}-{width}-{DRAWING}.webp"
    known = await asyncio.to_thread(kept.read, file.pk, name)
    if known is not None and _is_whole(known):
        return known
    if number > len(await page_sizes(file)):
        raise NotFoundError("There is no such page.")
    picture = await _drawings().drawn((file.pk, name), partial(_draw, file, number, width))
    await in_database(kept.keep, file.pk, name, picture)
    return picture


async def page_sizes(file: File) -> list[tuple[float, float]]:
    """Width and height of the pages in points; none where the file is no PDF. Raises as `page_picture` does."""
    if not has_pages(file):
        return []
    known = await asyncio.to_thread(_kept_sizes, file)
    if known:
        return known
    sizes = await _drawings().drawn((file.pk, _SIZES), partial(_measure, file))
    await in_database(kept.keep, file.pk, _SIZES, orjson.dumps(sizes))
    return sizes


def known_sizes(file: File) -> list[tuple[float, float]]:
    """As `page_sizes`, but none where they were not measured yet: whoever shows a page does not wait for that."""
    return _kept_sizes(file)


async def page_marks(file: File, spans: Sequence[dict[str, Json]]) -> list[dict[str, Any]]:
    """Where the spans stand on their pages, as `retrieval.pictures.pdf.marks` says. Raises as `page_picture` does."""
    key = (file.pk, orjson.dumps(spans))
    return await _drawings().drawn(key, partial(_find, file, spans))


@cache
def _drawings() -> Drawings:
    return Drawings(at_once=settings.PAGES_DRAWN_AT_ONCE, waiting=settings.PAGES_WAITING)


def _draw(file: File, number: int, width: int) -> bytes:
    with kept.local_path(file) as path:
        return jailed.page_picture(path, number=number, width=width)


def _measure(file: File) -> list[tuple[float, float]]:
    with kept.local_path(file) as path:
        return jailed.page_sizes(path)


def _find(file: File, spans: Sequence[dict[str, Json]]) -> list[dict[str, Any]]:
    with kept.local_path(file) as path:
        return jailed.page_marks(path, spans=spans)


def _kept_sizes(file: File) -> list[tuple[float, float]]:
    stored = kept.read(file.pk, _SIZES)
    try:
        return [(width, height) for width, height in orjson.loads(stored)] if stored else []
    except orjson.JSONDecodeError:
        return []  # cut short: measured again


def _is_whole(picture: bytes) -> bool:
    """Whether a WebP is as long as it says (RFC 9649, 2.4): the machine may have gone down while it was written."""
    return picture[:4] == b"RIFF" and len(picture) >= int.from_bytes(picture[4:8], "little") + 8
