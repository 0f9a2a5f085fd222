"""`kill -9` of the web process with turns at every point: another process finishes each, and nothing is said twice.

The fixed part of `make chaos`, which does the same many times and breaks the servers too.
"""

import asyncio
import uuid
from functools import partial
from pathlib import Path

import pytest

from chat.models import Item, Response, Turn
from chat.turns.item_rows import append_items
from chat.turns.runner import MAX_CLAIMS
from core.bridge import in_database
from core.models import Process
from tests import factories
from tests.chaos.browser import browser
from tests.chaos.rounds import Figures, assert_all_whole, kill_at_every_point
from tests.chaos.stage import Stage, make_stage, turn_row
from tests.chaos.webs import web_processes
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)


async def test_killed_at_every_point(transactional_db: None, tmp_path: Path, upstream: ResponsesServer) -> None:
    stage = await in_database(make_stage, upstream)
    figures = Figures()
    async with web_processes(tmp_path, 1) as (first,), browser([first.port], stage.session) as tab:
        asked = asyncio.create_task(kill_at_every_point(stage, tab, first, figures))
        while first.is_running and not asked.done():
            await asyncio.sleep(0.05)
        first.begin()
        await first.answers()
        await assert_all_whole(stage, tab, await asked)
    assert {"mid text: answer not saved", "answer saved: answer saved, end not", "queued: queued"} <= set(
        figures.landed
    )


def left_behind(stage: Stage, *, owner: uuid.UUID, epoch: int = 1, answer: str = "") -> Turn:
    """A turn in progress; with `answer` its last response is saved, and only its end is missing."""
    conversation = factories.conversation(stage.person, stage.assistant)
    turn = factories.turn(conversation, text="left? (behind)", status="in_progress", owner=owner, epoch=epoch)
    if answer:
        response = Response.objects.create(
            turn=turn, step=0, attempt=0, epoch=epoch, model_name="m", status="completed", idempotency_key="k"
        )
        payload = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]}
        append_items(turn, response.id, [payload], passages=())
    return turn


async def ended(turn: Turn) -> Turn:
    async with asyncio.timeout(10):
        while not (found := await in_database(turn_row, str(turn.id))).is_final:
            await asyncio.sleep(0.05)
    return found


def answers_of(turn: Turn) -> list[str]:
    return list(Item.objects.filter(turn=turn, role="assistant").values_list("text", flat=True))


async def test_an_answer_that_was_saved_is_not_asked_for_again(
    transactional_db: None, upstream: ResponsesServer
) -> None:
    stage = await in_database(make_stage, upstream)
    turn = await in_database(left_behind, stage, owner=uuid.uuid4(), answer="Said.")
    async with running_turns():
        assert (await ended(turn)).status == "completed"
    assert await in_database(answers_of, turn) == ["Said."]
    assert upstream.requests == []


async def test_a_turn_that_its_living_owner_does_not_run_is_taken_again(
    transactional_db: None, upstream: ResponsesServer
) -> None:
    stage = await in_database(make_stage, upstream)
    async with running_turns():
        owner = await in_database(lambda: Process.objects.get().id)
        turn = await in_database(left_behind, stage, owner=owner)
        found = await ended(turn)
    assert (found.status, found.epoch) == ("completed", 2)
    assert len(upstream.requests) == 1


async def test_a_turn_that_is_taken_time_and_again_is_given_up(
    transactional_db: None, upstream: ResponsesServer
) -> None:
    stage = await in_database(make_stage, upstream)
    turn = await in_database(left_behind, stage, owner=uuid.uuid4(), epoch=MAX_CLAIMS)
    async with running_turns():
        found = await ended(turn)
    assert (found.status, found.error_code, found.error_retryable) == ("failed", "turn_abandoned", True)
    assert upstream.requests == []


async def test_a_page_that_comes_back_is_told_of_what_ended_meanwhile(
    transactional_db: None, upstream: ResponsesServer
) -> None:
    stage = await in_database(make_stage, upstream)
    own = await in_database(factories.conversation, stage.person, stage.assistant)
    done = await in_database(partial(factories.turn, own, answer="Done."))
    foreign = await in_database(partial(factories.conversation, await in_database(factories.user), stage.assistant))
    hidden = await in_database(partial(factories.turn, foreign, answer="Secret."))
    async with running_turns(), tab_of(stage.person) as tab:
        await tab.send(type="subscribe", topic=f"conversation:{own.id}", live=[hidden.id, done.id])
        final = await tab.until("turn.final")
        await tab.send(type="ping", ref="r")
        await tab.until("pong")
    assert final["turn"] == str(done.id)
    assert set(tab.page.final) == {str(done.id)}
