"""Answers without a model: quotes the sentences of the retrieved passages that share most words with the question.

For an installation where no chat endpoint is configured. It reads `Request.passages` and the last user message,
reaches no network, and gives the same answer to the same request every time.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson

from chat.providers.base import (
    Finished,
    Item,
    ItemDone,
    ItemStarted,
    Passage,
    Request,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
)
from chat.providers.quoting import Quote, best_quotes

MODEL = "extractive"
LEAD_IN = "No model is configured, so these are quotations from the documents that fit the question best:"
NOTHING_FOUND = (
    "Nothing in the documents matches this question, and no model is configured that could answer it otherwise."
)
NO_PICTURES = "Pictures are not looked at: no model is configured that could see them."
NO_QUESTION = "There is no question to look up, and no model is configured that could answer otherwise."

_CARRIED = re.compile(r"<(passages|facts)>.*?</\1>", re.DOTALL)
_WORDS = re.compile(r"\S+\s*|\s+")
_SPECIAL = re.compile(r"([\\`*_\[\]<>$~|])")
_CODE = re.compile(r"(?<!`)(`[^`]+`)(?!`)")
_LINE_START = re.compile(r"^(#{1,6}(?=\s)|[-+](?=\s)|\d+(?=[.)]\s))")
_WORDS_PER_DELTA = 3


class ExtractiveProvider:
    """Streams quotations. `pause` is the time between two deltas in seconds, so that the page can show them come."""

    def __init__(self, *, pause: float = 0.004, max_passages: int = 3) -> None:
        self._pause = pause
        self._max_passages = max_passages

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def cancel(self, response_id: str, target: Target) -> bool:
        """Nothing goes on after its stream was closed."""
        return True

    def prepare(self, request: Request, target: Target) -> bytes:
        """What the answer is computed from. It is sent nowhere."""
        passages = [
            {"number": one.number, "document": one.document, "page": one.page, "text": one.text}
            for one in request.passages
        ]
        return orjson.dumps({"model": MODEL, "question": last_question(request.input), "passages": passages})

    async def stream(
        self, request: Request, target: Target, *, body: bytes | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        question = last_question(request.input)
        text = answer(question, request.passages, limit=self._max_passages)
        if has_pictures(request.input):
            text = f"{NO_PICTURES}\n\n{text}"
        identity = hashlib.sha256(f"{question}\n{text}".encode()).hexdigest()[:32]
        yield ResponseStarted(id=f"resp_{identity}", model=MODEL)
        yield ItemStarted(0, _message(identity, "", "in_progress"))
        for piece in _pieces(text):
            yield TextDelta(0, 0, piece)
            await asyncio.sleep(self._pause)
        message = _message(identity, text, "completed")
        yield ItemDone(0, message)
        yield Finished(status="completed", output=(message,), response_id=f"resp_{identity}", model=MODEL)


def answer(question: str, passages: tuple[Passage, ...], *, limit: int) -> str:
    """The answer as Markdown: a lead-in, then a block quote for each passage, each ending with its marker `[n]`."""
    if not question:
        return NO_QUESTION
    quotes = best_quotes(question, passages, limit=limit)
    if not quotes:
        return NOTHING_FOUND
    return "\n\n".join((LEAD_IN, *(_block(quote) for quote in quotes)))


def last_question(items: tuple[Item, ...]) -> str:
    """The words of the last message that a user wrote, without blocks of passages or facts; "" where there is none."""
    for item in reversed(items):
        if item.get("type", "message") == "message" and item.get("role") == "user":
            words = _CARRIED.sub("", _input_text(item)).strip()
            if words:
                return words
    return ""


def has_pictures(items: tuple[Item, ...]) -> bool:
    """Whether the last message that a user wrote has pictures."""
    said = [item for item in items if item.get("type", "message") == "message" and item.get("role") == "user"]
    parts = said[-1].get("content") if said else None
    return isinstance(parts, list) and any(part.get("type") == "input_image" for part in parts)


def _input_text(item: Mapping[str, Any]) -> str:
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if part.get("type") == "input_text")


def _block(quote: Quote) -> str:
    """One block quote. Marks of Markdown and citation-like brackets are shown as they stand, but for code."""
    pieces = _CODE.split(quote.text)
    literal = "".join(piece if place % 2 else _SPECIAL.sub(r"\\\1", piece) for place, piece in enumerate(pieces))
    literal = _LINE_START.sub(r"\\\1", literal)
    return f"> {literal} [{quote.passage.number}]"


def _pieces(text: str) -> list[str]:
    words = _WORDS.findall(text)
    return ["".join(words[at : at + _WORDS_PER_DELTA]) for at in range(0, len(words), _WORDS_PER_DELTA)]


def _message(identity: str, text: str, status: str) -> Item:
    content = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {"type": "message", "id": f"msg_{identity}", "role": "assistant", "status": status, "content": content}
