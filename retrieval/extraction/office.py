"""Reads Excel workbooks, each sheet a page with its name as heading, and RTF (kreuzberg).

The text is put together from kreuzberg's document structure, not taken from its plain text: so headings have
exact offsets, table cells stay apart, and nothing counts in UTF-8 bytes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kreuzberg

from retrieval.errors import CorruptFileError, EncryptedFileError, TooLargeError, TooManyPagesError
from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.kinds import LABELS, XLSX
from retrieval.extraction.result import Extraction

EXTRACTOR = f"kreuzberg {kreuzberg.__version__}"

_FURNITURE = frozenset({"header", "footer"})
Content = Mapping[str, Any]


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        include_document_structure=True,
    )
    try:
        result = kreuzberg.extract_bytes_sync(data, mime, config=config)
    except kreuzberg.KreuzbergError as error:
        raise _explained(str(error), mime) from error
    builder = TextBuilder(bounds, title=str(result.metadata.get("title") or ""))
    sheets = 0
    for node in (result.document or {"nodes": []})["nodes"]:
        if mime == XLSX and node["content"]["node_type"] == "heading":
            sheets += 1
            _begin_sheet(builder, sheets, bounds)
        if node.get("content_layer") not in _FURNITURE:
            _WRITERS.get(node["content"]["node_type"], _text)(builder, node["content"])
    builder.end_page()
    for warning in result.processing_warnings:
        builder.warn(str(warning["message"] if isinstance(warning, dict) else warning))
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text=f"This {LABELS[mime]} has no text of its own.")


def _begin_sheet(builder: TextBuilder, number: int, bounds: Bounds) -> None:
    if number > bounds.max_pages:
        raise TooManyPagesError(f"This workbook has more than {bounds.max_pages:,} sheets.")
    builder.end_page()
    builder.begin_page()


def _explained(message: str, mime: str) -> CorruptFileError | EncryptedFileError | TooLargeError:
    said = message.lower()
    if "password" in said or "encrypted" in said:
        return EncryptedFileError(f"This {LABELS[mime]} needs a password to be opened.")
    if "security" in said or "bomb" in said or "limit" in said:
        return TooLargeError(f"This {LABELS[mime]} unpacks to far more than its size, and was not read.")
    return CorruptFileError(f"This {LABELS[mime]} is damaged or incomplete and cannot be opened.")


def _text(builder: TextBuilder, content: Content) -> None:
    builder.gap()
    builder.block(str(content.get("text", "")).strip("\n"))


def _heading(builder: TextBuilder, content: Content) -> None:
    builder.gap()
    builder.heading(int(content.get("level", 1)), str(content["text"]))


def _item(builder: TextBuilder, content: Content) -> None:
    if text := str(content["text"]).strip():
        builder.block(f"- {text}", separator="\n")


def _table(builder: TextBuilder, content: Content) -> None:
    rows: dict[int, list[str]] = {}
    for cell in content["grid"]["cells"]:
        rows.setdefault(cell["row"], []).append(str(cell["content"]))
    builder.table(rows.values())


def _image(builder: TextBuilder, content: Content) -> None:
    _text(builder, {"text": " ".join(str(content.get("description") or "").split())})


def _definition(builder: TextBuilder, content: Content) -> None:
    _text(builder, {"text": f"{content['term']}: {content['definition']}"})


def _entries(builder: TextBuilder, content: Content) -> None:
    builder.gap()
    for key, value in content["entries"]:
        builder.block(f"{key}: {value}", separator="\n")
    builder.gap()


def _nothing(builder: TextBuilder, content: Content) -> None:
    """For nodes that only hold others."""
    builder.gap()


_WRITERS: dict[str, Callable[[TextBuilder, Content], None]] = {
    "title": _heading,
    "heading": _heading,
    "list_item": _item,
    "table": _table,
    "image": _image,
    "definition_item": _definition,
    "metadata_block": _entries,
    "group": _nothing,
    "list": _nothing,
    "quote": _nothing,
    "slide": _nothing,
    "page_break": _nothing,
}
