"""Probing over HTTP: servers that differ, what is found out about each, and that this decides what is sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chat.providers.base import Capabilities, Finished, Request, Target
from chat.providers.openai import OpenAIProvider
from chat.providers.openai.probing import Finding, Outcome, Report, probe
from chat.providers.openai.probing.command import main
from tests.responses_server import ResponsesServer
from tests.upstream.servers import KINDS
from tests.waiting import PATIENCE

KEY = "sk-proj-0123456789abcdefghij"
S, R, IGNORED, U = Outcome.SUPPORTED, Outcome.REFUSED, Outcome.IGNORED, Outcome.UNKNOWN
NOTHING_KEPT = {"store": IGNORED, "previous_response_id": R, "background": IGNORED, "starting_after": IGNORED}
UNLABELLED = dict.fromkeys(("prompt_cache_key", "safety_identifier", "metadata"), IGNORED)
UNSET = dict.fromkeys(("verbosity", "truncation", "service_tier"), IGNORED)
NO_KEYS = {"idempotency_key": IGNORED}
DIFFERENCES: dict[str, dict[str, Outcome]] = {
    "openai": NO_KEYS,
    "gateway": {},
    "ollama": {
        **NOTHING_KEPT,
        **UNLABELLED,
        **UNSET,
        **NO_KEYS,
        "previous_response_id": IGNORED,
        "starting_after": R,
        "tool_choice": IGNORED,
        "parallel_tool_calls": IGNORED,
        "include": U,
        "input_tokens": R,
    },
    "llama.cpp": {
        **NOTHING_KEPT,
        **UNLABELLED,
        **UNSET,
        **NO_KEYS,
        "include": U,
        "input_file": R,
        "input_tokens": R,
    },
    "vllm": {**NOTHING_KEPT, **UNLABELLED, **NO_KEYS, "metadata": S, "background": R, "input_tokens": R},
    "openrouter": {
        **NOTHING_KEPT,
        **NO_KEYS,
        "store": R,
        "previous_response_id": IGNORED,
        "background": R,
        "input_tokens": R,
    },
}
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
OTHER = {**TOOL, "name": "population"}


@pytest.fixture
def target(upstream: ResponsesServer) -> Target:
    return Target(base_url=upstream.base_url, api_key=KEY, model="scripted")


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider()
    yield provider
    await provider.aclose()


def outcomes(report: Report) -> dict[str, Outcome]:
    return {finding.name: finding.outcome for finding in report.findings}


def finding(report: Report, name: str) -> Finding:
    return next(one for one in report.findings if one.name == name)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_server_is_found_out(target: Target, upstream: ResponsesServer, kind: str) -> None:
    upstream.play(kind)
    report = await probe(target)
    found = outcomes(report)
    assert found == {**dict.fromkeys(found, S), **DIFFERENCES[kind]}
    assert report.is_usable
    assert report.flaws == ()
    assert len(upstream.entries) <= 30
    assert all(entry.body["max_output_tokens"] <= 5000 for entry in upstream.requests)


async def test_a_refusal_is_told_in_the_servers_words(target: Target, upstream: ResponsesServer) -> None:
    upstream.play("openrouter")
    report = await probe(target)
    assert finding(report, "store").said == "store has to be false: this gateway keeps nothing."
    assert finding(report, "store").said in report.table()
    assert "supported" in report.table()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_record_decides_what_is_sent(
    target: Target, provider: OpenAIProvider, upstream: ResponsesServer, kind: str
) -> None:
    upstream.play(kind)
    record = (await probe(target)).capabilities.to_json()
    known = Capabilities.for_server(target.base_url, record)
    asked = Request(
        input=({"type": "message", "role": "user", "content": "Hello?"},),
        tools=(TOOL, OTHER),
        parameters={
            "tool_choice": {"type": "function", "name": "population"},
            "store": True,
            "service_tier": "flex",
            "verbosity": "high",
        },
        prompt_cache_key="k",
        safety_identifier="s",
        metadata={"turn": "1"},
    )
    where = Target(base_url=target.base_url, api_key=KEY, model="scripted", capabilities=known)
    finished = [event async for event in provider.stream(asked, where)][-1]
    assert isinstance(finished, Finished)
    assert finished.status == "completed"
    body = upstream.requests[-1].body
    found = {**dict.fromkeys(DIFFERENCES[kind]), **DIFFERENCES[kind]}
    for name in ("prompt_cache_key", "safety_identifier", "metadata"):
        assert (name in body) is (found.get(name, S) is S)
    assert body.get("service_tier") == ("flex" if found.get("service_tier", S) is S else None)
    assert body["text"] == {"verbosity": "high"}
    assert body.get("store") is (True if kind in ("openai", "gateway") else None)
    assert "background" not in body
    chosen = "tool_choice" in body
    assert chosen is (kind != "ollama")
    assert [tool["name"] for tool in body["tools"]] == (["weather", "population"] if chosen else ["population"])


@pytest.mark.parametrize(
    ("script", "outcome", "said"),
    [
        ({"status": 401, "body": {"error": {"message": f"{KEY} is no key"}}}, U, "[key] is no key"),
        ({"status": 404, "body": {"error": {"message": "no such path"}}}, R, "no such path"),
        ({"status": 503, "body": {"error": {"message": "busy"}}}, U, "busy"),
        ({"body": "<html></html>", "headers": {"content-type": "text/html"}}, R, ""),
        ({"text": "one two", "fault": "eof", "after": 1}, U, ""),
        ({"body": {"object": "chat.completion", "choices": []}}, R, ""),
        ({"fault": "hang", "at_headers": True}, U, ""),
    ],
)
async def test_a_server_without_streamed_text_is_asked_no_further(
    target: Target, upstream: ResponsesServer, script: dict[str, Any], outcome: Outcome, said: str
) -> None:
    upstream.script({**script, "always": True})
    report = await probe(target, request_seconds=0.5 if "hang" in script.values() else PATIENCE)
    assert not report.is_usable
    assert finding(report, "streaming").outcome is outcome
    assert said in finding(report, "streaming").said
    assert {one.outcome for one in report.findings if one.name not in ("streaming", "usage")} == {U}
    assert report.capabilities.allows("tools"), "nothing was learnt"
    assert len(upstream.requests) <= 2
    assert KEY not in report.table() + json.dumps(report.to_json())


async def test_what_a_model_refuses_or_cannot_judge_is_told_apart(
    target: Target, provider: OpenAIProvider, upstream: ResponsesServer
) -> None:
    upstream.play("openai")

    def picky(body: Any) -> dict[str, Any] | None:
        if "verbosity" in (body.get("text") or {}):
            return {"status": 400, "body": {"error": {"message": "This model knows no verbosity."}}}
        return {"status": 500, "body": {}} if body.get("service_tier") == "parley-probe" else {"text": "ready"}

    upstream.compute(picky)
    report = await probe(target, request_seconds=5)
    found = {name: finding(report, name).outcome for name in ("verbosity", "truncation", "service_tier")}
    assert found == {"verbosity": R, "truncation": S, "service_tier": U}
    assert finding(report, "verbosity").said == "This model knows no verbosity."
    where = Target(base_url=target.base_url, api_key=KEY, model="scripted", capabilities=report.capabilities)
    hello = {"type": "message", "role": "user", "content": "Hello?"}
    request = Request(input=(hello,), parameters={"verbosity": "low", "service_tier": "flex"})
    assert [event async for event in provider.stream(request, where)][-1].status == "completed"
    assert upstream.requests[-1].body.keys() & {"text", "service_tier"} == set()


async def test_a_passing_failure_is_tried_once_more(target: Target, upstream: ResponsesServer) -> None:
    upstream.play("openai")
    busy = {"status": 429, "headers": {"retry-after": "0"}, "body": {}}
    upstream.compute(lambda body: None)
    upstream.script(busy, {"text": "ready"}, {"status": 400, "body": {"error": {"message": "no store"}}})
    report = await probe(target)
    assert finding(report, "streaming").outcome is S
    assert finding(report, "store").said == "no store"


async def test_all_requests_together_have_a_limit_of_time(target: Target, upstream: ResponsesServer) -> None:
    upstream.script({"text": "ready"}, {"fault": "hang", "at_headers": True, "always": True})
    async with asyncio.timeout(PATIENCE):
        report = await probe(target, total_seconds=3.0)
    assert report.is_usable
    assert finding(report, "tools").said == "not asked: the time was up"


def test_the_terminal_gets_a_table_a_file_and_a_status(
    upstream: ResponsesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.json"
    monkeypatch.setenv("API_KEY", KEY)
    words = ["probe", "--base-url", f"{upstream.base_url}/", "--model", "scripted", "--json", str(file)]
    monkeypatch.setattr("sys.argv", words)
    upstream.play("vllm")
    assert main() == 0
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    printed = capsys.readouterr().out
    assert "previous_response_id" in printed
    written = json.loads(file.read_text())
    assert written["capabilities"]["background"] is False
    assert written["findings"]["background"]["outcome"] == "refused"
    monkeypatch.setenv("API_KEY", "sk-wrong")
    assert main() == 1
    assert KEY not in printed + file.read_text()
