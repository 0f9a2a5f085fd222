"""What is sent to which server."""

from typing import Any

import pytest

from chat.providers.base import Capabilities, Item, Request, Target
from chat.providers.capabilities import CAPABILITIES
from chat.providers.openai.request import build_body

QUESTION: Item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
TOOL = {"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}, "strict": True}
OPENAI = Capabilities.for_server("https://api.openai.com/v1")
UNKNOWN = Capabilities.for_server("http://127.0.0.1:11434/v1")
NOTHING = Capabilities(dict.fromkeys(CAPABILITIES, False))


def body(capabilities: Capabilities, *items: Item, **fields: Any) -> dict[str, Any]:
    target = Target(base_url="http://127.0.0.1/v1", api_key="k", model="m", capabilities=capabilities)
    return build_body(Request(input=items or (QUESTION,), **fields), target)


FULL: dict[str, Any] = {
    "instructions": "Be brief.",
    "tools": (TOOL,),
    "parameters": {
        "temperature": 0.2,
        "top_p": 0.9,
        "max_output_tokens": 100,
        "reasoning": {"effort": "low"},
        "verbosity": "low",
        "format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True},
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "service_tier": "flex",
        "truncation": "auto",
        "top_logprobs": None,
    },
    "prompt_cache_key": "conversation-1",
    "safety_identifier": "abc",
    "metadata": {"turn": "1"},
}


def test_the_full_server_gets_all_of_it() -> None:
    assert body(OPENAI, **FULL) == {
        "model": "m",
        "input": [QUESTION],
        "stream": True,
        "instructions": "Be brief.",
        "temperature": 0.2,
        "top_p": 0.9,
        "max_output_tokens": 100,
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": False,
        "service_tier": "flex",
        "truncation": "auto",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "text": {"verbosity": "low", "format": FULL["parameters"]["format"]},
        "tools": [TOOL],
        "tool_choice": "required",
        "prompt_cache_key": "conversation-1",
        "safety_identifier": "abc",
        "metadata": {"turn": "1"},
        "stream_options": {"include_obfuscation": False},
    }


def test_an_unknown_server_gets_what_the_answer_depends_on_only() -> None:
    sent = body(UNKNOWN, **FULL)
    missing = {"include", "prompt_cache_key", "safety_identifier", "metadata", "stream_options", "service_tier"}
    assert set(body(OPENAI, **FULL)) - set(sent) == missing
    assert sent["store"] is False


def test_a_server_that_can_nothing_gets_text() -> None:
    assert body(NOTHING, **FULL) == {
        "model": "m",
        "input": [QUESTION],
        "stream": True,
        "instructions": "Be brief.",
        "temperature": 0.2,
        "top_p": 0.9,
        "max_output_tokens": 100,
    }


@pytest.mark.parametrize("name", CAPABILITIES)
def test_each_capability_alone_takes_away_and_never_adds(name: str) -> None:
    request = {
        **FULL,
        "parameters": {**FULL["parameters"], "conversation": "c", "previous_response_id": "r"},
    }
    everything = OPENAI.learned("resume", True)
    full, without = body(everything, **request), body(everything.learned(name, False), **request)
    assert set(without) <= set(full)
    if name not in ("idempotency_key", "input_image", "input_file"):
        assert without != full


def test_nothing_is_stored_unless_asked_for_and_known_to_work() -> None:
    asked = {"parameters": {"store": True}}
    assert body(OPENAI, **asked)["store"] is True
    assert "include" not in body(OPENAI, **asked)
    assert body(UNKNOWN, **asked)["store"] is False
    assert "store" not in body(UNKNOWN.learned("store", False), **asked)


def test_fields_of_ours_cannot_be_overwritten_by_parameters() -> None:
    sent = body(
        OPENAI, parameters={"model": "other", "input": "x", "stream": False, "prompt": {"id": "p"}, "tools": []}
    )
    assert sent["model"] == "m"
    assert sent["input"] == [QUESTION]
    assert sent["stream"] is True
    assert not {"prompt", "tools"} & set(sent)


def test_replayed_items_lose_the_ids_that_a_stateless_server_would_look_up() -> None:
    message = {"type": "message", "id": "msg_1", "role": "assistant", "phase": "final_answer", "content": []}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "add", "arguments": "{}"}
    approval = {"type": "mcp_approval_request", "id": "mcpr_1", "name": "x"}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
    sent = body(OPENAI, message, call, approval, reasoning)["input"]
    assert sent == [
        {"type": "message", "role": "assistant", "phase": "final_answer", "content": []},
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
        approval,
        {"type": "reasoning", "summary": [], "encrypted_content": "sealed"},
    ]
    assert message["id"] == "msg_1"
    stored = body(OPENAI, message, parameters={"store": True})["input"]
    assert stored == [message]


def test_a_call_without_a_call_id_goes_by_its_id() -> None:
    sent = body(UNKNOWN, {"type": "function_call", "id": "fc_9", "name": "add", "arguments": "{}"})["input"]
    assert sent == [{"type": "function_call", "call_id": "fc_9", "name": "add", "arguments": "{}"}]


def test_reasoning_goes_back_only_where_it_can_be_read() -> None:
    bare = {"type": "reasoning", "summary": []}
    thoughts = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    assert body(OPENAI, bare, QUESTION)["input"] == [QUESTION]
    assert body(UNKNOWN, thoughts, QUESTION)["input"] == [thoughts, QUESTION]
    assert body(UNKNOWN.learned("reasoning", False), thoughts, QUESTION)["input"] == [QUESTION]


def test_a_server_without_images_is_told_that_one_is_missing() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto"}
    text = {"type": "input_text", "text": "What is this?"}
    message = {"type": "message", "role": "user", "content": [text, image]}
    output = {"type": "function_call_output", "call_id": "c", "output": [image]}
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    assert body(UNKNOWN, message)["input"] == [message]
    sent = body(UNKNOWN.learned("input_image", False), message, call, output)["input"]
    assert sent[0]["content"][0] == text
    assert [part["type"] for part in (sent[0]["content"][1], sent[2]["output"][0])] == ["input_text", "input_text"]
    assert "image was left out" in sent[0]["content"][1]["text"]


@pytest.mark.parametrize(
    ("choice", "names"),
    [("auto", ["add", "sub"]), ("none", []), ({"type": "function", "name": "sub"}, ["sub"]),
     ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]}, ["add"])],
)  # fmt: skip
def test_a_choice_that_cannot_be_told_is_kept_by_offering_fewer_tools(choice: Any, names: list[str]) -> None:
    capabilities = UNKNOWN.learned("tool_choice", False)
    sent = body(capabilities, tools=(TOOL, {**TOOL, "name": "sub"}), parameters={"tool_choice": choice})
    assert [tool["name"] for tool in sent.get("tools", [])] == names
    assert "tool_choice" not in sent


def test_function_tools_carry_what_the_api_requires() -> None:
    sent = body(OPENAI, tools=({"type": "function", "name": "now"}, {"type": "web_search"}))["tools"]
    assert sent[0] == {
        "type": "function",
        "name": "now",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }
    assert sent[1] == {"type": "web_search"}


def test_labels_are_cut_to_the_limits_of_the_api() -> None:
    metadata = {f"{number:03}" + "k" * 80: "v" * 600 for number in range(20)}
    sent = body(OPENAI, metadata=metadata, prompt_cache_key="c" * 200, safety_identifier="s" * 200)
    assert len(sent["metadata"]) == 16
    assert {(len(name), len(value)) for name, value in sent["metadata"].items()} == {(64, 512)}
    assert len(sent["prompt_cache_key"]) == len(sent["safety_identifier"]) == 64
    assert sent["prompt_cache_key"] != body(OPENAI, prompt_cache_key="c" * 201)["prompt_cache_key"]


def test_a_record_round_trips_and_forgets() -> None:
    record = Capabilities({"store": True, "include": False, "of_a_plugin": True})
    assert Capabilities.from_json(record.to_json()) == record
    assert Capabilities.from_json({"store": None, "include": "yes", "x": 1}) == Capabilities()
    assert Capabilities.from_json(None) == Capabilities()
    assert record.learned("include", None).to_json() == {"store": True, "of_a_plugin": True}


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://shop.openai.azure.com/openai/v1", True),
        ("https://api.openai.com.example.org/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("http://localhost:11434/v1", False),
        ("nonsense", False),
    ],
)
def test_only_the_servers_of_the_protocol_are_believed_to_have_all_of_it(url: str, full: bool) -> None:
    assert Capabilities.for_server(url).has("background") is full
    assert Capabilities.for_server(url, {"background": False}).has("background") is False
