"""`kill -9` of the web process with turns at every point: another process finishes each, and nothing is said twice.

The fixed part of `make chaos`, which does the same many times and breaks the servers too.
"""

import asyncio
from pathlib import Path

import pytest

from core.bridge import in_database
from tests.chaos.browser import browser
from tests.chaos.rounds import Figures, assert_all_whole, kill_at_every_point
from tests.chaos.stage import make_stage
from tests.chaos.webs import web_processes
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)


async def test_killed_at_every_point(
    transactional_db: None, tmp_path: Path, upstream: ResponsesServer, capsys: pytest.CaptureFixture[str]
) -> None:
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
