"""A real browser that loses its network at any token of an answer, and comes back."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.conf import settings
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from chat.models import Item
from core.bridge import in_database
from tests.browser.conftest import ARGUMENTS, chromium
from tests.chaos.evidence import Point
from tests.chaos.stage import SUBJECT, Stage, make_stage
from tests.chaos.tally import Fault, Report, Tallied
from tests.chaos.webs import web_processes
from tests.chaos.wire import Wire, wire
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(3600)]
# Pieces of the answer, roughly; it takes a tenth of a second for each.
TOKENS = 60
AWAY = 3.0
# A dead connection is found after 25 s of silence and 10 s without an answer (`static/js/lib/socket.js`).
RECOVERED_WITHIN = 45_000

_COPIED = "document.querySelector('parley-turn template[data-markdown]').content.textContent"
_SHOWN = "document.querySelector('parley-turn [data-answer]').innerHTML"


@pytest.fixture
async def stage(transactional_db: None, upstream: ResponsesServer) -> Stage:
    stage = await in_database(make_stage, upstream)
    stage.scripts = {Point.MID_TEXT: {"delay": 0.1}}
    return stage


@asynccontextmanager
async def _context() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            yield await browser.new_context()
        finally:
            await browser.close()


async def _ask(page: Page, stage: Stage, address: str) -> str:
    """Send a message in a new conversation; returns it."""
    text = f"{SUBJECT}, {Point.MID_TEXT}? ({uuid.uuid4().hex[:8]})"
    await page.goto(address)
    await page.get_by_role("textbox").fill(text)
    await page.keyboard.press("Enter")
    await expect(page.locator("parley-turn")).to_have_count(1)
    return text


async def _lose(how: str, page: Page, way: Wire) -> bool:
    """Be away for a while; whether the page really heard nothing meanwhile."""
    if how == "offline":
        await page.context.set_offline(True)
    elif how == "cut":
        way.cut()
    else:
        way.hang()
    await asyncio.sleep(0.3)
    before = await page.evaluate(_SHOWN)
    await asyncio.sleep(AWAY)
    heard = await page.evaluate(_SHOWN) != before
    if how in {"dead", "changed"}:
        way.renew()
    else:
        way.mend()
    if how == "changed":
        # as browsers do when another network takes over
        await page.evaluate("dispatchEvent(new Event('online'))")
    await page.context.set_offline(False)
    return not heard


def _stored(question: str) -> str:
    turn = Item.objects.get(role=Item.Role.USER, text=question).turn
    return turn.items.get(role=Item.Role.ASSISTANT).text


@pytest.mark.parametrize("how", ["offline", "cut", "hanging", "changed", "dead"])
async def test_network_lost_at_any_token(
    how: str, stage: Stage, tmp_path: Path, times: int, tallied: Tallied, report: Report
) -> None:
    """Dead connections are found by their silence only, which takes its time: there are fewer of those rounds."""
    tally, recovered = tallied(f"browser's network {how}"), []
    times = max(1, times // 4) if how == "dead" else times
    async with (
        web_processes(tmp_path, 1) as (web,),
        wire(web.port) as way,
        _context() as context,
    ):
        address = f"http://127.0.0.1:{way.port}/"
        cookie = {"name": settings.SESSION_COOKIE_NAME, "value": stage.session, "url": address}
        await context.add_cookies([cookie])  # type: ignore[list-item]
        for _ in range(times + 5):
            page = await context.new_page()
            token = random.randrange(TOKENS)  # noqa: S311 - nothing secret
            question = await _ask(page, stage, address)
            while stage.deltas(question) < token:
                await asyncio.sleep(0.01)
            running = not stage.has_answered(question)
            lost = await _lose(how, page, way)
            tally.landed(Point.MID_TEXT, Point.MID_TEXT if running and lost else f"{running=}, {lost=}")
            begun = time.monotonic()
            ended = page.locator("parley-turn[data-status=completed]")
            try:
                await expect(ended).to_have_count(1, timeout=RECOVERED_WITHIN)
            except AssertionError as error:
                tally.blame([Fault("unfinished", Point.MID_TEXT, f"token {token}: {error}")])
                continue
            recovered.append(time.monotonic() - begun)
            copied, shown = await page.evaluate(_COPIED), await page.evaluate(_SHOWN)
            if copied != await in_database(_stored, question):
                tally.blame([Fault("differing", Point.MID_TEXT, f"token {token}: the page holds {copied!r}")])
            await page.reload()
            if shown != await page.evaluate(_SHOWN):
                tally.blame([Fault("differing", Point.MID_TEXT, f"token {token}: a reload shows another answer")])
            await page.close()
            if tally.has_landed([Point.MID_TEXT], times):
                break
    report(f"shown to its end up to {max(recovered, default=0):.1f} s after the network was back")
    tally.assert_clean([Point.MID_TEXT], times)
