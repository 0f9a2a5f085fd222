"""Answers that their server generates in its background: taken up after `kill -9`, and ended with a stop."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from chat.models import Assistant, Item, Response, SentRequest, Turn
from core.bridge import in_database
from core.models import EndpointModel, User
from tests import factories
from tests.chaos.browser import browser
from tests.chaos.webs import web_processes
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.stored import until_stored
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

RESUMES = dict.fromkeys(("resume", "store", "background", "starting_after"), True)
ANSWER = " ".join(f"word{number}" for number in range(40))


def make_assistant(person: User, upstream: ResponsesServer, capabilities: dict[str, bool]) -> Assistant:
    endpoint = factories.responses_endpoint(upstream.base_url, capabilities=capabilities)
    model = factories.chat_model(endpoint=endpoint, name="scripted")
    return factories.assistant(owner=person, model=model, retrieval="off")


def sent(upstream: ResponsesServer, method: str, ending: str = "") -> int:
    return sum(entry.method == method and entry.path.endswith(ending) for entry in upstream.entries)


def upstream_ids(turn: str) -> list[str]:
    return list(Response.objects.filter(turn=turn).order_by("attempt").values_list("upstream_id", flat=True))


def taken_up(turn: str) -> list[str | None]:
    rows = SentRequest.objects.filter(response__turn=turn).order_by("response__attempt")
    return [row.manifest.get("takes_up") for row in rows]


def status(turn: str) -> str:
    return str(Turn.objects.get(id=turn).status)


def ended(turn: str) -> bool:
    return Turn.objects.get(id=turn).is_final


def answers(turn: str) -> list[str]:
    return list(Item.objects.filter(turn=turn, role="assistant").values_list("text", flat=True))


async def test_what_a_killed_process_asked_for_is_taken_up_and_not_asked_again(
    person: User, tmp_path: Path, upstream: ResponsesServer
) -> None:
    assistant = await in_database(make_assistant, person, upstream, RESUMES)
    session = await in_database(factories.session_of, person)
    upstream.script({"text": ANSWER, "delay": 0.25})
    async with web_processes(tmp_path, 1) as (web,), browser([web.port], session) as tab:
        turn = await tab.stored(await tab.post("Count", uuid.uuid4(), assistant.id))
        await until_stored(lambda: any(upstream_ids(turn)))
        web.kill()
        assert await in_database(status, turn) == "in_progress"
        web.begin()
        await web.answers()
        assert (await tab.final(turn))["status"] == "completed"
    assert await in_database(answers, turn) == [ANSWER]
    assert sent(upstream, "POST", "/responses") == 1
    assert sent(upstream, "GET") == 1
    first, second = await in_database(upstream_ids, turn)
    assert first == second
    assert await in_database(taken_up, turn) == [None, first]


def left_behind(person: User, assistant: Assistant) -> str:
    """A turn whose owner is gone, with a response that it had asked for."""
    conversation = factories.conversation(person, assistant)
    turn = factories.turn(conversation, text="Count", status="in_progress", owner=uuid.uuid4(), epoch=1)
    model = EndpointModel.objects.get(name="scripted")
    Response.objects.create(
        turn=turn, step=0, attempt=0, epoch=1, model=model, status="in_progress", upstream_id="resp_left"
    )
    return str(turn.id)


@pytest.mark.parametrize(
    ("kept", "follows"),
    [
        ({"body": {"id": "resp_left", "object": "response", "status": "failed", "output": []}}, 1),
        ({"status": 404}, 1),
        ({"status": 503}, 2),
    ],
)
async def test_a_response_that_failed_or_was_forgotten_is_asked_for_anew(
    person: User, upstream: ResponsesServer, kept: dict[str, Any], follows: int
) -> None:
    assistant = await in_database(make_assistant, person, upstream, RESUMES)
    upstream.script({"endpoint": "retrieve", **kept}, {"text": ANSWER})
    turn = await in_database(left_behind, person, assistant)
    async with running_turns():
        await until_stored(lambda: ended(turn))
    assert await in_database(status, turn) == "completed"
    assert await in_database(answers, turn) == [ANSWER]
    assert sent(upstream, "GET", "/resp_left") == follows
    assert sent(upstream, "POST", "/responses") == 1


@pytest.mark.parametrize("capabilities", [RESUMES, {}])
async def test_a_stop_ends_the_response_at_its_server(
    person: User, upstream: ResponsesServer, capabilities: dict[str, bool]
) -> None:
    assistant = await in_database(make_assistant, person, upstream, capabilities)
    upstream.script({"text": ANSWER, "delay": 0.1})
    async with running_turns(), tab_of(person) as tab:
        created = await tab.ask("Count", uuid.uuid4(), assistant=assistant.id)
        await tab.growing()
        await tab.send(type="turn.stop", turn=created["turn"])
        assert (await tab.until("turn.final"))["status"] == "cancelled"
        await until(lambda: sent(upstream, "POST", "/cancel") if capabilities else upstream.requests[0].disconnected)
    assert sent(upstream, "POST", "/cancel") == bool(capabilities)
