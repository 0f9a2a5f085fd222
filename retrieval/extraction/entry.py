"""The one function of this room that runs in the jail."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from retrieval.errors import ExtractionError, UnsupportedTypeError
from retrieval.extraction.builder import Bounds
from retrieval.extraction.kinds import READERS
from retrieval.extraction.ocr import Ocr
from retrieval.extraction.result import Extraction

Reader = Callable[..., Extraction]


def run(
    data: bytes, *, mime: str, max_chars: int, max_pages: int, ocr: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Read `data` as `mime`: {"extraction": {…}} or {"failed": {"code": …, "message": …, "retryable": …}}.

    With `ocr` (the fields of `Ocr`) pictures are read too.
    """
    try:
        reader = _reader(mime)
        bounds = Bounds(max_chars, max_pages, Ocr(**ocr) if ocr else None)
        extraction = reader(data, mime=mime, bounds=bounds)
    except ExtractionError as error:
        return {"failed": {"code": error.code, "message": error.message, "retryable": error.retryable}}
    return {"extraction": extraction.to_json()}


def _reader(mime: str) -> Reader:
    if mime not in READERS:
        raise UnsupportedTypeError(f"Files of the type {mime} are not read.")
    # By name, so that reading a text file does not pay for loading the readers of all the others.
    reader: Reader = importlib.import_module(READERS[mime]).read
    return reader
