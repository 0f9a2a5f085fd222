"""A cache of prompts' beginnings, as OpenAI describes its own ("Prompt caching" in its guide).

What begins like an earlier request of the same model and `prompt_cache_key` is cached from 1,024 tokens on, in steps of
128.

Tokens are counted with the vocabulary that the application counts with, in the order in which a model gets to read
them: what describes the answer's form, tools, instructions, then item after item. It forgets nothing; a real one keeps
a beginning for some minutes after its last use.
"""

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from rs_bpe import openai

from tests.upstream.answers import input_items
from tests.upstream.script import Body

LEAST = 1024
STEP = 128

# Numbers that no text has: they stand between the parts of a request, as a chat template's own tokens do.
_ROLES = {"system": -2, "developer": -3, "user": -4, "assistant": -5}
_OTHER, _END = -6, -1


class PrefixCache:
    """Beginnings of the requests so far, each as one hash of all its tokens."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], set[bytes]] = {}

    def counted(self, body: Body) -> dict[str, Any]:
        """The `usage` of a request's input; from now on its beginnings are known."""
        place = (str(body.get("model")), str(body.get("prompt_cache_key")))
        known = self._known.setdefault(place, set())
        tokens = list(_tokens(body))
        cached = 0
        for end, digest in _beginnings(tokens):
            if digest in known:
                cached = end
            known.add(digest)
        return {"input_tokens": len(tokens), "input_tokens_details": {"cached_tokens": cached}}


def _beginnings(tokens: list[int]) -> Iterator[tuple[int, bytes]]:
    digest, start = b"", 0
    for end in range(LEAST, len(tokens) + 1, STEP):
        digest = hashlib.blake2b(digest + array("l", tokens[start:end]).tobytes(), digest_size=16).digest()
        yield end, digest
        start = end


def _tokens(body: Body) -> Iterator[int]:
    form = (body.get("text") or {}).get("format") or {}
    if form.get("schema"):
        yield from (_OTHER, *_encoded(json.dumps(form)), _END)
    if body.get("tools"):
        yield from (_OTHER, *_encoded(json.dumps(body["tools"])), _END)
    if body.get("instructions"):
        yield from (_ROLES["system"], *_encoded(str(body["instructions"])), _END)
    for item in input_items(body):
        yield from _item(item)


def _item(item: Mapping[str, Any]) -> Iterator[int]:
    role = _ROLES.get(str(item.get("role")))
    if role is None:
        yield from (_OTHER, *_encoded(json.dumps(item, sort_keys=True)), _END)
        return
    yield role
    content = item.get("content")
    for part in content if isinstance(content, list) else [{"text": content}]:
        text = part.get("text")
        yield from _encoded(text if isinstance(text, str) else json.dumps(part, sort_keys=True))
    yield _END


@lru_cache(maxsize=4096)
def _encoded(text: str) -> tuple[int, ...]:
    return tuple(openai.o200k_base().encode(text))
