"""The probes: each asks one small thing of a server and says what came of it.

A field that the server repeats in its response, whose effect shows in the answer, or of which it refuses a value that
there is not, is supported; one that it takes without any of that is ignored; a 4xx about it is a refusal. Whatever else
goes wrong leaves the question open.
"""

import base64
import json
import zlib
from collections.abc import Awaitable, Callable, Sequence
from struct import pack
from typing import Any, TypeAlias
from uuid import uuid4

from chat.providers.openai.probing.asking import MOST_TOKENS, Asking, Seen
from chat.providers.openai.probing.findings import STREAMING, Finding, Outcome

Probe: TypeAlias = Callable[[Asking], Awaitable[Sequence[Finding]]]

_WORD = "kingfisher"
_READY = "Reply with the single word: ready"
_NO_CALL = "it called nothing"
# The usual values: no tier that costs more, nothing that an answer of one word could suffer from.
_SETTINGS = (("verbosity", "low"), ("truncation", "auto"), ("service_tier", "default"))
_NO_VALUE = "parley-probe"


def _tool(name: str, description: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    return {"type": "function", "name": name, "description": description, "parameters": schema, "strict": True}


_TOOLS = (_tool("weather", "The weather of a city now."), _tool("population", "How many people live in a city."))


async def streaming(asking: Asking) -> Sequence[Finding]:
    """Streamed text that ends with a final event, and the tokens that it took."""
    seen = await asking.ask(_READY)
    if seen.accepted and not seen.text:
        # a model that thinks long may have used up its tokens before the first word
        seen = await asking.ask(_READY, fields={"parameters": {"max_output_tokens": 8 * MOST_TOKENS}})
    ended = seen.finished is not None and seen.finished.payload is not None
    counted = seen.usage.input_tokens is not None and seen.usage.output_tokens is not None
    said = "no streamed text" if not seen.streamed else "no final event"
    return (
        seen.finding(STREAMING, bool(seen.streamed) and ended, said),
        seen.finding("usage", counted, "no token counts"),
    )


async def storing(asking: Asking) -> Sequence[Finding]:
    """Whether a response is kept, and can be continued by its id."""
    seen = await asking.ask(f"Remember the word {_WORD}.", "store", fields={"parameters": {"store": True}})
    if not seen.accepted or seen.response_id is None:
        return seen.finding("store", False, "the response has no id"), _unasked("previous_response_id", "not stored")
    lost = await asking.is_kept(seen.response_id)
    store = seen.finding("store", lost is None, "it is taken, but the response is not kept")
    fields = {"parameters": {"previous_response_id": seen.response_id, "store": True}}
    asked = "Which word were you asked to remember? Reply with that word."
    next_one = await asking.ask(asked, "store", "previous_response_id", fields=fields)
    known = _WORD in next_one.text.lower() or next_one.echoed("previous_response_id") == seen.response_id
    return store, next_one.finding("previous_response_id", known, "the earlier response was not used")


async def background(asking: Asking) -> Sequence[Finding]:
    """Whether a response goes on without a connection, and its stream can be followed from an event on."""
    count = "Count from one to thirty in words."
    first, rest = await asking.broken_off(count, "resume", "store", "background", "starting_after")
    if not first.accepted:
        return first.failed("background"), _unasked("starting_after", "no background responses")
    if rest is None:
        none = _unasked("starting_after", "no numbered events to go on after")
        return first.finding("background", first.echoed("background") is True, "it is not said in the response"), none
    if rest.accepted:
        return (
            rest.finding("background", rest.echoed("background") is not False, "the response says it is none"),
            rest.finding("starting_after", True),
        )
    return Finding("background", Outcome.IGNORED, "it ended with its connection"), rest.failed("starting_after")


async def sealed_reasoning(asking: Asking) -> Sequence[Finding]:
    seen = await asking.ask("What is 17 times 23?", "include", "reasoning")
    thoughts = [item for item in seen.output if item.get("type") == "reasoning"]
    if seen.accepted and not thoughts:
        return (Finding("include", Outcome.UNKNOWN, "the model did not reason", str(seen), seen.seconds),)
    sealed = any(item.get("encrypted_content") for item in thoughts)
    return (seen.finding("include", sealed, "the reasoning came without its sealed form"),)


async def tools(asking: Asking) -> Sequence[Finding]:
    """Calls by the model's own choice, forced ones, named ones, several at once."""
    ask = "What is the weather in Oslo? Use the tool."
    free = await asking.ask(ask, "tools", fields={"tools": _TOOLS})
    if not free.accepted:
        return free.failed("tools"), _unasked("tool_choice", "no tools"), _unasked("parallel_tool_calls", "no tools")
    required = await _forced(asking, "Say hello.", "required")
    named = await _forced(asking, ask, {"type": "function", "name": "population"})
    several = await asking.ask(
        "What is the weather in Oslo, and what is it in Rome? Use the tool for both at once.",
        "tools",
        "parallel_tool_calls",
        fields={"tools": _TOOLS, "parameters": {"parallel_tool_calls": True}},
    )
    any_call = next((seen for seen in (free, required, named) if seen.calls), free)
    parallel = several.finding("parallel_tool_calls", len(several.calls) > 1, f"{len(several.calls)} calls at once")
    return any_call.finding("tools", bool(any_call.calls), _NO_CALL), _choice(required, named), parallel


async def _forced(asking: Asking, ask: str, choice: Any) -> Seen:
    return await asking.ask(
        ask, "tools", "tool_choice", fields={"tools": _TOOLS, "parameters": {"tool_choice": choice}}
    )


def _choice(required: Seen, named: Seen) -> Finding:
    """Choosing works if both ways of it do."""
    if not required.calls or not required.accepted:
        return required.finding("tool_choice", False, f"required: {_NO_CALL}")
    wrong = ", ".join(named.calls) or "nothing"
    return named.finding("tool_choice", set(named.calls) == {"population"}, f"a named tool: it called {wrong}")


async def schema(asking: Asking) -> Sequence[Finding]:
    wanted = {
        "type": "object",
        "properties": {"bird": {"type": "string"}},
        "required": ["bird"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "bird", "schema": wanted, "strict": True}
    seen = await asking.ask("Name a bird.", "json_schema", fields={"parameters": {"format": form}})
    try:
        fits = set(json.loads(seen.text)) == {"bird"}
    except (ValueError, TypeError):
        fits = False
    return (seen.finding("json_schema", fits, "the answer does not fit the schema"),)


async def reasoning(asking: Asking) -> Sequence[Finding]:
    seen = await asking.ask(_READY, "reasoning", fields={"parameters": {"reasoning": {"effort": "low"}}})
    echoed = seen.echoed("reasoning")
    known = isinstance(echoed, dict) and echoed.get("effort") == "low"
    thought = bool(seen.usage.reasoning_tokens) or any(item.get("type") == "reasoning" for item in seen.output)
    return (seen.finding("reasoning", known or thought, "no sign of it in the answer"),)


async def labels(asking: Asking) -> Sequence[Finding]:
    """Fields that help the server and change no answer."""
    found = []
    for name, value in (
        ("prompt_cache_key", "parley-probe"),
        ("safety_identifier", "0f" * 16),
        ("metadata", {"probe": "parley"}),
    ):
        seen = await asking.ask(_READY, name, fields={name: value})
        found.append(seen.finding(name, seen.echoed(name) == value, "it is not in the response"))
    return found


async def settings(asking: Asking) -> Sequence[Finding]:
    """Fields whose effect no short answer shows. Ollama, for one, repeats them all the same, with values of its own."""
    return [await _heeded(asking, name, usual) for name, usual in _SETTINGS]


async def _heeded(asking: Asking, name: str, usual: str) -> Finding:
    """Who heeds a field takes a value of it, and refuses one that there is not."""
    seen = await asking.ask(_READY, name, fields={"parameters": {name: usual}})
    if not seen.accepted:
        return seen.failed(name)
    wrong = await asking.ask(_READY, name, fields={"parameters": {name: _NO_VALUE}})
    if wrong.accepted or wrong.refused:
        return seen.finding(name, wrong.refused, "it takes any value of it")
    return wrong.failed(name)


async def repeating(asking: Asking) -> Sequence[Finding]:
    """Whether a request with a key that was used is that request again, and gets its response."""
    key = {"idempotency_key": f"parley-probe-{uuid4().hex}"}
    first = await asking.ask(_READY, "idempotency_key", fields=key)
    if not first.accepted:
        return (first.failed("idempotency_key"),)
    again = await asking.ask(_READY, "idempotency_key", fields=key)
    same = first.response_id is not None and again.response_id == first.response_id
    return (again.finding("idempotency_key", same, "the same key got another response"),)


async def pictures(asking: Asking) -> Sequence[Finding]:
    part = {"type": "input_image", "detail": "low", "image_url": _data_url("image/png", _red_png())}
    seen = await asking.ask("Which colour is this picture? Reply with the colour.", "input_image", parts=[part])
    return (seen.finding("input_image", "red" in seen.text.lower(), "the answer does not show that it was seen"),)


async def files(asking: Asking) -> Sequence[Finding]:
    words = f"The password of the day is {_WORD}.".encode()
    part = {"type": "input_file", "filename": "note.txt", "file_data": _data_url("text/plain", words)}
    seen = await asking.ask("What is the password in the file? Reply with that word.", "input_file", parts=[part])
    return (seen.finding("input_file", _WORD in seen.text.lower(), "the answer does not show that it was read"),)


async def counting(asking: Asking) -> Sequence[Finding]:
    error = await asking.counts({"input": _READY})
    return ((Seen(error=error).failed("input_tokens")) if error else Finding("input_tokens", Outcome.SUPPORTED),)


PROBES: tuple[Probe, ...] = (
    storing,
    background,
    tools,
    schema,
    sealed_reasoning,
    reasoning,
    labels,
    settings,
    repeating,
    pictures,
    files,
    counting,
)
"""All but `streaming`, which comes first and without which the others are not tried."""

NAMES: dict[Probe, tuple[str, ...]] = {
    storing: ("store", "previous_response_id"),
    background: ("background", "starting_after"),
    tools: ("tools", "tool_choice", "parallel_tool_calls"),
    schema: ("json_schema",),
    sealed_reasoning: ("include",),
    reasoning: ("reasoning",),
    labels: ("prompt_cache_key", "safety_identifier", "metadata"),
    settings: tuple(name for name, _ in _SETTINGS),
    repeating: ("idempotency_key",),
    pictures: ("input_image",),
    files: ("input_file",),
    counting: ("input_tokens",),
}


def _unasked(name: str, why: str) -> Finding:
    return Finding(name, Outcome.IGNORED, why)


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _red_png(size: int = 32) -> bytes:
    """A red square (PNG specification: header, data, end)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff\0\0" * size) * size
    header = pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
