"""`kill -9` of the web process with turns at every point: another process finishes each, and nothing is said twice.

The fixed part of `make chaos`, which does the same many times and breaks the servers too.
"""

import asyncio
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chat.models import Turn
from chat.turns import process
from chat.turns.runner import MAX_CLAIMS
from core.bridge import in_database
from tests import factories
from tests.backends import database_url
from tests.chaos.evidence import turn_row
from tests.chaos.rounds import ENVIRONMENT, POINTS, kill_web, until_all_landed
from tests.chaos.stage import Stage, make_stage
from tests.chaos.tally import Tally
from tests.chaos.tools import workshop
from tests.chaos.webs import web_processes
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


async def test_killed_at_every_point(transactional_db: None, tmp_path: Path, upstream: ResponsesServer) -> None:
    tally = Tally("web killed")
    async with workshop() as tools, web_processes(tmp_path, 1, **ENVIRONMENT) as (web,):
        stage = await in_database(make_stage, upstream, tools)
        await until_all_landed(tally, 1, lambda _: kill_web(stage, database_url(), tally, web))
    tally.assert_clean(POINTS, 1)


def left_behind(stage: Stage, *, owner: uuid.UUID, epoch: int = 1) -> Turn:
    """A turn in progress."""
    conversation = factories.conversation(stage.person, stage.assistant)
    return factories.turn(conversation, text="left? (behind)", status="in_progress", owner=owner, epoch=epoch)


async def ended(turn: Turn) -> Turn:
    async with asyncio.timeout(PATIENCE):
        while not (found := await in_database(turn_row, str(turn.id))).is_final:
            await asyncio.sleep(0.05)
    return found


async def test_a_turn_that_its_living_owner_does_not_run_is_taken_again(
    transactional_db: None, upstream: ResponsesServer
) -> None:
    stage = await in_database(make_stage, upstream)
    async with running_turns():
        owner = process.owner()
        assert owner is not None
        turn = await in_database(left_behind, stage, owner=owner)
        found = await ended(turn)
    assert (found.status, found.epoch) == ("completed", 2)
    assert len(upstream.requests) == 1


async def test_a_look_for_turns_that_a_fault_of_ours_ends_is_not_the_last(
    transactional_db: None, upstream: ResponsesServer, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await in_database(make_stage, upstream)
    turn = await in_database(left_behind, stage, owner=uuid.uuid4())
    seconds = settings.FILES_WAIT_SECONDS
    del settings.FILES_WAIT_SECONDS
    async with running_turns():
        async with asyncio.timeout(30):
            while "The look for turns failed" not in caplog.text:
                await asyncio.sleep(0.05)
        settings.FILES_WAIT_SECONDS = seconds
        found = await ended(turn)
    assert (found.status, found.epoch) == ("completed", 2)


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
