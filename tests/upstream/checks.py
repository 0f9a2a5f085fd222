"""Refuses requests that the real API would refuse, so that a wrong request fails in tests and not at users."""

from typing import Any

from tests.upstream.answers import input_items
from tests.upstream.script import Body

_KNOWN = frozenset(
    [
        "background",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
    ]
)

_VALUES = {
    "service_tier": ("auto", "default", "flex", "scale", "priority"),
    "text.verbosity": ("low", "medium", "high"),
    "truncation": ("auto", "disabled"),
}


def refusal_of(body: Body, stored: frozenset[str]) -> dict[str, Any] | None:
    """The error object for a request that the API does not accept, or None. `stored` are the ids of kept responses."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        return _error("Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
    if unknown := sorted(set(body) - _KNOWN):
        return _error(f"Unknown parameter: '{unknown[0]}'.", code="unknown_parameter", param=unknown[0])
    items = input_items(body)
    if not items:
        return _error("One of 'input' or 'previous_response_id' must be provided.", code="missing_required_parameter")
    previous = body.get("previous_response_id")
    if previous is not None and previous not in stored:
        return _error(f"Previous response with id '{previous}' not found.", code="previous_response_not_found")
    return _refused_values(body) or _refused_tools(body) or _refused_items(items, continues=previous is not None)


def _refused_values(body: Body) -> dict[str, Any] | None:
    for name, values in _VALUES.items():
        given = (body.get("text") or {}).get("verbosity") if name == "text.verbosity" else body.get(name)
        if given is not None and given not in values:
            message = f"Invalid value: '{given}'. There are: {', '.join(values)}."
            return _error(message, code="invalid_value", param=name)
    return None


def _refused_tools(body: Body) -> dict[str, Any] | None:
    for at, tool in enumerate(body.get("tools") or []):
        if tool.get("type") == "function" and not tool.get("name"):
            return _error(f"Missing required parameter: 'tools[{at}].name'.", code="missing_required_parameter")
    return None


def _refused_items(items: list[Any], *, continues: bool) -> dict[str, Any] | None:
    calls = {item.get("call_id") for item in items if item.get("type") == "function_call"}
    outputs = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
    for call_id in sorted(calls - outputs, key=str):
        return _error(f"No tool output found for function call {call_id}.")
    if not continues:
        for call_id in sorted(outputs - calls, key=str):
            return _error(f"No tool call found for function call output with call_id {call_id}.")
    for item in items:
        if item.get("type") == "reasoning" and item.get("id") and not continues:
            return _error(
                f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false."
            )
    return None


def _error(message: str, *, code: str | None = None, param: str | None = "input") -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
