"""Reads notebooks (Jupyter's nbformat 3 and 4) as Markdown: text as it is, code and what it printed in fences."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from retrieval.errors import CorruptFileError
from retrieval.extraction.builder import Bounds, TextBuilder, clean
from retrieval.extraction.encoding import decode
from retrieval.extraction.markdown import headings
from retrieval.extraction.result import Extraction

EXTRACTOR = "notebook 1"

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FENCES = re.compile(r"^\s*(`{3,})", re.MULTILINE)
_LANGUAGE = re.compile(r"[\w+#.-]{1,30}")


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    try:
        notebook = json.loads(decode(data)[0])
    except (ValueError, RecursionError) as error:
        raise CorruptFileError("This notebook is damaged or incomplete and cannot be opened.") from error
    builder, language = TextBuilder(bounds), _language(notebook)
    for cell in _cells(notebook):
        source = _joined(cell.get("source", cell.get("input")))
        match cell.get("cell_type"):
            case "markdown" | "heading":
                level = cell.get("level")
                _write_markdown(builder, f"{'#' * level} {source}" if isinstance(level, int) else source)
            case "code":
                builder.block(_fenced(source, language))
                for output in _outputs(cell):
                    builder.block(_fenced(output, ""))
            case _:
                builder.block(source)
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="This notebook has no text of its own.")


def _cells(notebook: object) -> Iterator[Mapping[str, Any]]:
    """The cells, which nbformat 3 keeps in worksheets."""
    if isinstance(notebook, Mapping):
        sheets = [notebook, *(sheet for sheet in _list(notebook.get("worksheets")) if isinstance(sheet, Mapping))]
        yield from (cell for sheet in sheets for cell in _list(sheet.get("cells")) if isinstance(cell, Mapping))


def _language(notebook: object) -> str:
    """The kernel's language, or "" where it is not told."""
    metadata = notebook.get("metadata") if isinstance(notebook, Mapping) else None
    for key, name in (("language_info", "name"), ("kernelspec", "language"), ("kernelspec", "name")):
        told = metadata.get(key) if isinstance(metadata, Mapping) else None
        found = _LANGUAGE.fullmatch(str(told.get(name, ""))) if isinstance(told, Mapping) else None
        if found:
            return found[0].rstrip("0123456789")
    return ""


def _write_markdown(builder: TextBuilder, source: str) -> None:
    text = clean(source).strip("\n")
    offset = builder.block(text)
    for start, level, title in headings(text):
        builder.mark_heading(offset + start, level, title)
        builder.title = builder.title or (title if level == 1 else "")


def _fenced(text: str, language: str) -> str:
    text = _ESCAPES.sub("", clean(text)).strip("\n")
    longest = max((len(fence) for fence in _FENCES.findall(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}" if text.strip() else ""


def _outputs(cell: Mapping[str, Any]) -> Iterator[str]:
    """What a cell printed, showed or raised, as text."""
    for output in _list(cell.get("outputs")):
        if not isinstance(output, Mapping):
            continue
        shown = output.get("data", output)
        if output.get("output_type") in {"error", "pyerr"}:
            yield f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
        elif isinstance(shown, Mapping):
            kinds = ("text", "text/plain", "text/markdown", "text/latex")
            yield next((text for kind in kinds if (text := _joined(shown.get(kind)))), "")


def _joined(value: object) -> str:
    """nbformat keeps long texts as lists of lines."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
