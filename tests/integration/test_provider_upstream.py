"""The scripted upstream itself: what tests and benchmarks rely on."""

import asyncio
import base64
import json
import os
import struct
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.responses_server import HOST, ResponsesServer
from tests.upstream.embeddings import embed

PASSAGES = """<passages>
<passage number="1" document="a &amp; b.pdf" page="3" heading="Rent">
The flat is quiet. The rent is 900 euros a month.
</passage>
<passage number="2" document="c.md">
The garden has apple trees.
</passage>
</passages>"""


@pytest.fixture
async def http(upstream: ResponsesServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{HOST}:{upstream.port}") as session:
        yield session


async def ask(http: aiohttp.ClientSession, *texts: str, **fields: Any) -> str:
    items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]} for text in texts]
    async with http.post("/v1/responses", json={"model": "m", "input": items, **fields}) as answer:
        response = await answer.json()
    assert answer.status == 200, response
    return "".join(part["text"] for item in response["output"] for part in item.get("content", []))


def events_of(stream: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]


async def test_the_answer_is_computed_from_the_passages(http: aiohttp.ClientSession) -> None:
    assert await ask(http, PASSAGES, "How much rent is to be paid?") == "The rent is 900 euros a month. [1]"
    assert await ask(http, f"{PASSAGES}\nWhich trees grow there?") == "The garden has apple trees. [2]"
    assert await ask(http, PASSAGES, "Who owns the bicycle?") == "None of the passages answers this question."
    assert await ask(http, "Hello?") == "No passages came with the question: Hello?"


async def test_tools_are_called_as_asked_and_their_outputs_told(http: aiohttp.ClientSession) -> None:
    tools = [
        {"type": "function", "name": "add", "parameters": {}},
        {"type": "function", "name": "now", "parameters": {}},
    ]
    question = {"role": "user", "content": 'call add {"a": 1} and call now {}, but not call rm {}'}
    async with http.post("/v1/responses", json={"model": "m", "input": [question], "tools": tools}) as answer:
        calls = (await answer.json())["output"]
    assert [(call["name"], call["arguments"]) for call in calls] == [("add", '{"a": 1}'), ("now", "{}")]
    outputs = [{"type": "function_call_output", "call_id": call["call_id"], "output": "3"} for call in calls]
    async with http.post(
        "/v1/responses", json={"model": "m", "input": [question, *calls, *outputs], "tools": tools}
    ) as answer:
        response = await answer.json()
    assert response["output"][0]["content"][0]["text"] == "add gave: 3 now gave: 3"


async def test_a_schema_is_answered_in_json(http: aiohttp.ClientSession) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["x"]}}},
    }
    text = await ask(http, "About moons", text={"format": {"type": "json_schema", "name": "t", "schema": schema}})
    assert json.loads(text) == {"title": "About moons", "tags": ["x"]}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": []},
        {"model": "m", "input": "x", "max_tokens": 5},
        {"input": "x"},
        {"model": "m", "input": []},
        {"model": "m", "input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
        {"model": "m", "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        {"model": "m", "input": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
        {"model": "m", "input": "x", "previous_response_id": "resp_unknown"},
        {"model": "m", "input": "x", "tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)
async def test_requests_that_the_api_refuses_are_refused(http: aiohttp.ClientSession, body: dict[str, Any]) -> None:
    async with http.post("/v1/responses", json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"]


async def test_scripts_of_a_request_go_before_those_that_wait(
    http: aiohttp.ClientSession, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "for blue", "when_model": "blue"}, {"text": "waiting"}, {"text": "always", "always": True})
    upstream.compute(lambda body: {"text": "computed"} if "compute" in str(body["input"]) else None)
    assert await ask(http, 'Please [[script {"text": "marked"}]]') == "marked"
    assert await ask(http, "compute") == "computed"
    assert await ask(http, "x") == "waiting"
    assert [await ask(http, "x"), await ask(http, "x")] == ["always", "always"]
    assert await ask(http, "x", model="blue-1") == "for blue"


async def test_a_script_with_a_typing_error_is_refused(http: aiohttp.ClientSession, upstream: ResponsesServer) -> None:
    with pytest.raises(ValueError, match="texts"):
        upstream.script({"texts": "x"})
    async with http.post("/_script", json={"fault": "explode"}) as answer:
        assert answer.status == 400


async def test_a_background_stream_is_resumed_and_cancelled(
    http: aiohttp.ClientSession, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "a b c d e f", "delay": 0.02}, {"text": "x " * 20_000, "delay": 0.05})
    body = {"model": "m", "input": "x", "background": True, "store": True}
    async with http.post("/v1/responses", json={**body, "stream": True}) as answer:
        first = await answer.content.readuntil(b"\n\n")
    response_id = events_of(first.decode())[0]["response"]["id"]
    async with http.get(f"/v1/responses/{response_id}?stream=true&starting_after=3") as answer:
        events = events_of(await answer.text())
    assert [event["sequence_number"] for event in events] == list(range(4, 4 + len(events)))
    assert events[-1]["response"]["status"] == "completed"
    async with http.post("/v1/responses", json=body) as answer:
        response_id = (await answer.json())["id"]
    async with http.post(f"/v1/responses/{response_id}/cancel") as answer:
        assert (await answer.json())["status"] == "cancelled"
    async with http.get(f"/v1/responses/{response_id}?stream=true") as answer:
        assert "response.completed" not in await answer.text()


async def test_a_foreground_stream_cannot_be_resumed_or_cancelled(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/responses", json={"model": "m", "input": "x"}) as answer:
        response_id = (await answer.json())["id"]
    async with http.get(f"/v1/responses/{response_id}?stream=true") as answer:
        assert answer.status == 404
    async with http.post(f"/v1/responses/{response_id}/cancel") as answer:
        assert answer.status == 400


async def test_embeddings_are_near_for_shared_words(http: aiohttp.ClientSession) -> None:
    texts = ["The rent of the flat", "rents of flats", "apple trees", ""]
    async with http.post("/v1/embeddings", json={"model": "e", "input": texts, "dimensions": 64}) as answer:
        rows = [row["embedding"] for row in (await answer.json())["data"]]
    near, far = (sum(a * b for a, b in zip(rows[0], rows[other], strict=True)) for other in (1, 2))
    assert near > 0.5 > far
    assert {len(row) for row in rows} == {64}
    assert all(abs(sum(value * value for value in row) - 1) < 1e-9 for row in rows)
    async with http.post(
        "/v1/embeddings", json={"model": "e", "input": texts[0], "encoding_format": "base64"}
    ) as answer:
        packed = (await answer.json())["data"][0]["embedding"]
    assert struct.unpack("<256f", base64.b64decode(packed)) == pytest.approx(embed(texts[0], 256), abs=1e-6)


async def test_embeddings_fail_as_scripted(http: aiohttp.ClientSession, upstream: ResponsesServer) -> None:
    upstream.script({"endpoint": "embeddings", "status": 503, "body": {"error": {"message": "busy"}}})
    async with http.post("/v1/embeddings", json={"model": "e", "input": "x"}) as answer:
        assert answer.status == 503
    async with http.post("/v1/embeddings", json={"model": "e", "input": "x"}) as answer:
        assert answer.status == 200


async def test_it_runs_as_a_program_and_tells_what_it_saw() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.responses_server", "--print-port", "--key", "sk-right", "--models", "a,b"),
        stdout=asyncio.subprocess.PIPE,
        # nobody who starts it has to have settings of ours
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 20))
        async with aiohttp.ClientSession(f"http://{HOST}:{port}") as http:
            async with http.get("/v1/models", headers={"authorization": "Bearer sk-right"}) as answer:
                assert [row["id"] for row in (await answer.json())["data"]] == ["a", "b"]
            async with http.post("/_script", json=[{"text": "scripted"}]):
                pass
            wrong = {"authorization": "Bearer sk-other"}
            async with http.post("/v1/responses", json={"model": "a", "input": "x"}, headers=wrong) as answer:
                assert answer.status == 401
            async with http.get("/_log") as answer:
                log = await answer.json()
            async with http.post("/_reset"):
                pass
            async with http.get("/_log") as answer:
                assert await answer.json() == []
    finally:
        process.terminate()
        await process.wait()
    assert [(entry["path"], entry["status"]) for entry in log] == [("/v1/models", 200), ("/v1/responses", 401)]
    assert log[1]["body"] == {"model": "a", "input": "x"}
    assert log[1]["headers"]["authorization"] == "Bearer sk-other"
    assert log[0]["received"] <= log[0]["finished"] <= log[1]["received"]
