"""`kill -9` of the web process around tools: what ran is not run again, and what nobody knows is said to be unknown."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chat.models import Assistant, Item
from core.bridge import in_database
from core.models import User
from tests import factories
from tests import tools as samples
from tests.backends import database_url
from tests.chaos.browser import Browser, browser
from tests.chaos.evidence import turn_row
from tests.chaos.holds import Holds
from tests.chaos.webs import web_processes
from tests.responses_server import ResponsesServer
from tests.stored import until_stored
from tests.waiting import PATIENCE
from tools.models import ToolCall

pytestmark = pytest.mark.django_db(transaction=True)


def make_assistant(person: User, upstream: ResponsesServer) -> Assistant:
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
    tools = [{"name": name} for name in samples.NAMES]
    return factories.assistant(owner=person, model=model, retrieval="off", tools=tools)


def calls_of(question: str) -> list[dict[str, Any]]:
    """What the model asks for. The question names the tool that is in its work when the kill comes."""
    tool, mark = question.split(" ")
    if mark == "unsaved":
        return [{"name": tool, "call_id": "one", "arguments": {"mark": mark, "seconds": 3}}]
    return [
        {"name": tool, "call_id": "slow", "arguments": {"mark": mark, "seconds": 60}},
        {"name": "act", "call_id": "fast", "arguments": {"mark": f"{mark}-fast", "seconds": 0}},
    ]


def answer(body: Mapping[str, Any]) -> dict[str, Any]:
    told = [item["output"] for item in body["input"] if item["type"] == "function_call_output"]
    question = str(body["input"][0]["content"][-1]["text"])
    if told:
        return {"text": f"{len(told)} outputs."}
    return {"text": "Let me see.", "calls": calls_of(question)}


def has_come_to(turn: str, wanted: dict[str, str]) -> bool:
    return statuses(turn) == wanted


def statuses(turn: str) -> dict[str, str]:
    return dict(ToolCall.objects.filter(turn=turn).values_list("call_id", "status"))


def items(turn: str) -> list[tuple[str, str]]:
    return list(Item.objects.filter(turn=turn).order_by("position").values_list("type", "call_id"))


def output(turn: str, call_id: str) -> dict[str, Any]:
    item = Item.objects.get(turn=turn, type="function_call_output", call_id=call_id)
    return dict(json.loads(item.payload["output"]))


async def ask(tab: Browser, assistant: Assistant, question: str) -> str:
    return await tab.stored(await tab.post(question, uuid.uuid4(), assistant.id))


async def test_killed_around_tools(transactional_db: None, tmp_path: Path, upstream: ResponsesServer) -> None:
    person = await in_database(factories.user)
    assistant = await in_database(make_assistant, person, upstream)
    upstream.compute(answer)
    session = await in_database(factories.session_of, person)
    holds = Holds(database_url())
    environment = {"TOOLS": ",".join(samples.PATHS), samples.FOLDER: str(tmp_path)}
    async with web_processes(tmp_path, 1, **environment) as (web,), browser([web.port], session) as tab:
        middle = {tool: await ask(tab, assistant, f"{tool} {tool}") for tool in ("look", "act")}
        for turn in middle.values():
            await until_stored(partial(has_come_to, turn, {"slow": "running", "fast": "succeeded"}))
        unsaved = await ask(tab, assistant, "act unsaved")
        await until_stored(partial(samples.effects, tmp_path, "unsaved"))
        await holds.row("the end of the tool", table="chat_turn", row=unsaved)
        try:
            async with asyncio.timeout(PATIENCE):
                while not await holds.waiting(web.application):  # then it has ended, and its end is about to be written
                    await asyncio.sleep(0.02)
            web.kill()
        finally:
            await holds.release_all()
        landed = {name: await in_database(statuses, turn) for name, turn in {**middle, "unsaved": unsaved}.items()}
        assert landed == {
            "look": {"slow": "running", "fast": "succeeded"},
            "act": {"slow": "running", "fast": "succeeded"},
            "unsaved": {"one": "running"},
        }
        await web.start()
        for turn in (*middle.values(), unsaved):
            assert (await tab.final(turn))["status"] == "completed"
    for name, turn in middle.items():
        assert await in_database(items, turn) == [
            ("message", ""), ("message", ""), ("function_call", "slow"), ("function_call", "fast"),
            ("function_call_output", "slow"), ("function_call_output", "fast"), ("message", ""),
        ], name  # fmt: skip
        assert await in_database(output, turn, "fast") == {"done": f"{name}-fast"}
        assert len(samples.effects(tmp_path, f"{name}-fast")) == 1, "it had ended and was stored"
    assert await in_database(statuses, middle["look"]) == {"slow": "succeeded", "fast": "succeeded"}
    assert len(set(samples.effects(tmp_path, "look"))) == 1
    assert len(samples.effects(tmp_path, "look")) == 2, "what may be repeated was run again, under the same key"
    assert await in_database(statuses, middle["act"]) == {"slow": "unknown", "fast": "succeeded"}
    assert (await in_database(output, middle["act"], "slow"))["error"]["code"] == "effect_unknown"
    assert len(samples.effects(tmp_path, "act")) == 1
    assert await in_database(statuses, unsaved) == {"one": "unknown"}
    assert len(samples.effects(tmp_path, "unsaved")) == 1, "it ran, nobody knew, and it was not run again"
    assert (await in_database(turn_row, unsaved)).epoch == 2
    assert "1 outputs." in "".join(item.text for item in await in_database(messages, unsaved))


def messages(turn: str) -> list[Item]:
    return list(Item.objects.filter(turn=turn, type="message"))
