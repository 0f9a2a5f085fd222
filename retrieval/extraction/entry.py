"""The one function of this room that runs in the jail."""

import importlib
from collections.abc import Callable
from typing import Any

from retrieval.errors import ExtractionError, NoTextFoundError, UnsupportedTypeError
from retrieval.extraction.builder import Bounds
from retrieval.extraction.kinds import IMAGES, READERS
from retrieval.extraction.result import Extraction

Reader = Callable[..., Extraction]


def run(data: bytes, *, mime: str, max_chars: int, max_pages: int) -> dict[str, Any]:
    """Read `data` as `mime`: {"extraction": {…}} or {"failed": {"code": …, "message": …}}."""
    try:
        extraction = _reader(mime)(data, mime=mime, bounds=Bounds(max_chars, max_pages))
    except ExtractionError as error:
        return {"failed": {"code": error.code, "message": error.message}}
    return {"extraction": extraction.to_json()}


def _reader(mime: str) -> Reader:
    if mime in IMAGES:
        raise NoTextFoundError("No text was found: this is a picture.")
    if mime not in READERS:
        raise UnsupportedTypeError(f"Files of the type {mime} are not read.")
    # By name, so that reading a text file does not pay for loading the readers of all the others.
    reader: Reader = importlib.import_module(READERS[mime]).read
    return reader
