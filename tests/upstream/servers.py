"""Servers of different abilities, which the scripted upstream can play: what each hears, refuses, and how it speaks.

Drawn from what these servers are known to do: Ollama ignores what it does not know and keeps nothing; llama.cpp leaves
out numbers and indexes and refuses to go on from an earlier response; vLLM silently keeps nothing unless it was told to
at its start, and then refuses background responses; OpenRouter keeps nothing and says so. Ollama and llama.cpp take any
value of what they do not do. The last kind is nobody's: a gateway that keeps the answers to requests by their key.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.upstream.checks import refusal_of
from tests.upstream.script import Body

Event: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with a status of its own; a text body is sent as plain text."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class ServerKind:
    """`ignores` are fields that do nothing; `keeps` says that responses can be asked for by their id afterwards,
    `repeats` that a request with a key that was used gets the response that it got."""

    name: str
    ignores: frozenset[str] = frozenset()
    keeps: bool = True
    repeats: bool = False
    counts_tokens: bool = True
    event_lines: bool = True
    done_marker: bool = False
    refuses: Callable[[Body], Refusal | None] = lambda body: None
    speaks: Callable[[Event], Event | None] = lambda event: event
    missing: Refusal | None = None

    def heard(self, body: Body) -> Body:
        known = {name: value for name, value in body.items() if name not in self.ignores}
        if isinstance(text := known.get("text"), Mapping):
            known["text"] = {name: value for name, value in text.items() if f"text.{name}" not in self.ignores}
        return known

    def refusal(self, body: Body, stored: frozenset[str]) -> Refusal | None:
        if (refused := self.refuses(body)) is not None:
            return refused
        said = refusal_of(self.heard(body), stored)
        return None if said is None else Refusal(400, said)

    def frame(self, event: Mapping[str, Any]) -> bytes:
        """The bytes of an event; none for one that this server does not send."""
        told = self.speaks(dict(event))
        if told is None:
            return b""
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        line = f"event: {told['type']}\n" if self.event_lines and told.get("type") else ""
        return f"{line}data: {text}\n\n".encode()


def _error(status: int, message: str, *, kind: str = "invalid_request_error", code: Any = None) -> Refusal:
    return Refusal(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})


def _ollama_speaks(event: Event) -> Event | None:
    return None if event["type"].startswith("response.reasoning_summary_part") else event


def _llama_cpp_refuses(body: Body) -> Refusal | None:
    if body.get("previous_response_id"):
        return _error(400, "previous_response_id is not supported here.", code=400)
    if any(part.get("type") == "input_file" for part in _parts(body)):
        return _error(400, "A content part is of an unknown type.", code=400)
    return None


def _llama_cpp_speaks(event: Event) -> Event | None:
    if event["type"] == "response.function_call_arguments.done":
        return None
    bare = {name: value for name, value in event.items() if name not in _NUMBERS}
    response = bare.get("response")
    if event["type"] in ("response.created", "response.in_progress"):
        bare["response"] = {name: response[name] for name in ("id", "object", "status")}
    elif response is not None and response.get("usage"):
        counts = {name: value for name, value in response["usage"].items() if not name.endswith("_details")}
        bare["response"] = {**response, "usage": counts}
    return bare


_NUMBERS = frozenset({"sequence_number", "output_index", "content_index", "summary_index"})


def _vllm_refuses(body: Body) -> Refusal | None:
    if body.get("background"):
        return _error(400, "This engine keeps no responses and so runs none in the background.", code=400)
    if name := body.get("previous_response_id"):
        return _error(404, f"There is no response with the id '{name}'.", kind="NotFoundError", code=404)
    return None


def _vllm_speaks(event: Event) -> Event | None:
    if event["type"] == "response.incomplete":
        return {**event, "type": "response.completed"}
    return event


def _openrouter_refuses(body: Body) -> Refusal | None:
    if body.get("store"):
        return _error(400, "store has to be false: this gateway keeps nothing.", code="invalid_prompt")
    if body.get("previous_response_id"):
        return _error(400, "previous_response_id is not supported.", code="invalid_prompt")
    return None


def _parts(body: Body) -> list[Mapping[str, Any]]:
    items = body.get("input")
    contents = [item.get("content") for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
    return [part for content in contents if isinstance(content, list) for part in content]


_NO_RESPONSE = _error(404, "There is no such response.", kind="not_found_error")
_LABELS = frozenset({"prompt_cache_key", "safety_identifier", "metadata"})
_SETTINGS = frozenset({"text.verbosity", "truncation", "service_tier"})

OPENAI = ServerKind("openai")
OLLAMA = ServerKind(
    "ollama",
    ignores=_LABELS
    | _SETTINGS
    | {"previous_response_id", "conversation", "background", "include", "tool_choice", "store"}
    | {"parallel_tool_calls", "stream_options"},
    keeps=False,
    counts_tokens=False,
    speaks=_ollama_speaks,
    missing=Refusal(404, "404 page not found"),
)
LLAMA_CPP = ServerKind(
    "llama.cpp",
    ignores=_LABELS | _SETTINGS | {"background", "include", "store", "stream_options"},
    keeps=False,
    counts_tokens=False,
    refuses=_llama_cpp_refuses,
    speaks=_llama_cpp_speaks,
    missing=_NO_RESPONSE,
)
VLLM = ServerKind(
    "vllm",
    ignores=frozenset({"store", "prompt_cache_key", "safety_identifier", "stream_options"}),
    keeps=False,
    counts_tokens=False,
    refuses=_vllm_refuses,
    speaks=_vllm_speaks,
    missing=_NO_RESPONSE,
)
OPENROUTER = ServerKind(
    "openrouter",
    ignores=frozenset({"background", "stream_options"}),
    keeps=False,
    counts_tokens=False,
    event_lines=False,
    done_marker=True,
    refuses=_openrouter_refuses,
    missing=_NO_RESPONSE,
)
GATEWAY = ServerKind("gateway", repeats=True)
KINDS = {kind.name: kind for kind in (OPENAI, OLLAMA, LLAMA_CPP, VLLM, OPENROUTER, GATEWAY)}
