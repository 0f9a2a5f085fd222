"""Builds the body of a request: the modern Responses form, and of it only what the server is known to take.

Stateless by default: `store` is false, sealed reasoning is asked for where the server can give it, and replayed items
lose the ids that such a server would look up in vain. Sources: the Responses API reference, and the failures that
other clients met with ids under `store=false`.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, TypeAlias

import orjson

from chat.providers.base import Capabilities, Item, Request, Target
from chat.providers.items import is_output

Body: TypeAlias = dict[str, Any]

SEALED_REASONING = "reasoning.encrypted_content"
LONGEST_KEY = 64

_ALWAYS = frozenset({"temperature", "top_p", "max_output_tokens"})
_OURS = frozenset(
    {"model", "input", "instructions", "stream", "tools", "prompt", "store", "background", "include", "stream_options"}
)
_SHAPED = frozenset({"text", "verbosity", "format", "tool_choice", "metadata", "prompt_cache_key", "safety_identifier"})
_IDS_LOOKED_UP = frozenset(
    {
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "web_search_call",
        "file_search_call",
        "local_shell_call",
        "local_shell_call_output",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "compaction",
    }
)
_LEFT_OUT = {
    "input_image": "(An image was left out here: this model server takes none.)",
    "input_file": "(A file was left out here: this model server takes none.)",
}


def body_bytes(request: Request, target: Target) -> bytes:
    """The body as it goes over the wire: compact JSON in UTF-8, fields in the order in which they were put in.

    Raises:
        TypeError: for what cannot be written as JSON.
    """
    return orjson.dumps(build_body(request, target))


def build_body(request: Request, target: Target) -> Body:
    """The JSON body of `POST /responses` for this target."""
    capabilities = target.capabilities
    parameters = {name: value for name, value in request.parameters.items() if value is not None}
    stored = parameters.get("store") is True and capabilities.has("store")
    body: Body = {"model": target.model, "input": _input(request, capabilities, stored=stored), "stream": True}
    if request.instructions:
        body["instructions"] = request.instructions
    body.update(
        {
            name: value
            for name, value in parameters.items()
            if name not in _OURS and name not in _SHAPED and (name in _ALWAYS or capabilities.allows(name))
        }
    )
    if capabilities.allows("store"):
        body["store"] = stored or capabilities.resumes
    if capabilities.resumes:
        body["background"] = True
    if include := _include(parameters, capabilities, stored=stored):
        body["include"] = include
    if text := _text(parameters, capabilities):
        body["text"] = text
    body.update(_tools(request, parameters, capabilities))
    body.update(_labels(request, capabilities))
    if capabilities.allows("stream_options"):
        body["stream_options"] = {"include_obfuscation": False}
    return body


def _input(request: Request, capabilities: Capabilities, *, stored: bool) -> list[Item]:
    items = [item for item in request.input if _is_usable(item, capabilities, stored=stored)]
    if not stored:
        items = [_without_id(item) for item in items]
    return [_with_known_parts(item, capabilities) for item in items]


def _is_usable(item: Item, capabilities: Capabilities, *, stored: bool) -> bool:
    """Reasoning is sent back only in a form that the server can read again."""
    if item.get("type") != "reasoning":
        return True
    if not capabilities.allows("reasoning"):
        return False
    return stored or not capabilities.has("include") or bool(item.get("encrypted_content"))


def _without_id(item: Item) -> Item:
    if "id" not in item or item.get("type", "message") not in _IDS_LOOKED_UP:
        return item
    rest = {name: value for name, value in item.items() if name != "id"}
    if item.get("type") == "function_call" and not rest.get("call_id"):
        rest["call_id"] = item["id"]
    return rest


def _with_known_parts(item: Item, capabilities: Capabilities) -> Item:
    """Puts a note in the place of what the server cannot take, so that the model knows that something is missing."""
    field = "output" if is_output(item) else "content"
    parts = item.get(field)
    if not isinstance(parts, list):
        return item
    unknown = {name for name in _LEFT_OUT if not capabilities.allows(name)}
    if not any(isinstance(part, Mapping) and part.get("type") in unknown for part in parts):
        return item
    kept = [
        {"type": "input_text", "text": _LEFT_OUT[part["type"]]}
        if isinstance(part, Mapping) and part.get("type") in unknown
        else part
        for part in parts
    ]
    return {**item, field: kept}


def _include(parameters: Mapping[str, Any], capabilities: Capabilities, *, stored: bool) -> list[str]:
    if not capabilities.allows("include"):
        return []
    wanted = list(parameters.get("include") or ())
    if not stored and capabilities.allows("reasoning"):
        wanted.append(SEALED_REASONING)
    return list(dict.fromkeys(wanted))


def _text(parameters: Mapping[str, Any], capabilities: Capabilities) -> Body:
    text: Body = {**(parameters.get("text") or {})}
    text.update({name: parameters[name] for name in ("verbosity", "format") if name in parameters})
    if not capabilities.allows("verbosity"):
        text.pop("verbosity", None)
    form = text.get("format")
    if not capabilities.allows("json_schema") and isinstance(form, Mapping) and form.get("type") != "text":
        text.pop("format")
    return text


def _tools(request: Request, parameters: Mapping[str, Any], capabilities: Capabilities) -> Body:
    """Tools in the flat form. A choice that the server cannot be told is kept by offering fewer tools."""
    choice = parameters.get("tool_choice")
    if not request.tools or not capabilities.allows("tools"):
        return {}
    tools = [_tool(tool) for tool in request.tools]
    if choice is None or capabilities.allows("tool_choice"):
        return {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}
    if choice == "none":
        return {}
    if isinstance(choice, Mapping):
        allowed = [one for one in choice.get("tools") or [choice] if isinstance(one, Mapping)]
        names = {one.get("name") for one in allowed}
        tools = [tool for tool in tools if tool.get("name") in names]
    return {"tools": tools} if tools else {}


def _tool(tool: Mapping[str, Any]) -> Body:
    """A function tool with the fields that the API requires; `strict` is off unless asked for (OpenAI assumes on)."""
    if tool.get("type") != "function":
        return dict(tool)
    return {"parameters": {"type": "object", "properties": {}}, "strict": False, **tool}


def _labels(request: Request, capabilities: Capabilities) -> Body:
    """Fields that help the server and change no answer, cut to its limits (metadata: 16 pairs of 64 and 512)."""
    labels: Body = {}
    if request.prompt_cache_key and capabilities.allows("prompt_cache_key"):
        labels["prompt_cache_key"] = _short(request.prompt_cache_key)
    if request.safety_identifier and capabilities.allows("safety_identifier"):
        labels["safety_identifier"] = _short(request.safety_identifier)
    if request.metadata and capabilities.allows("metadata"):
        pairs = list(request.metadata.items())[:16]
        labels["metadata"] = {str(name)[:64]: str(value)[:512] for name, value in pairs}
    return labels


def _short(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()
