"""Viewers who are being brought up to date when the process of the turn, their own process, or Redis is killed."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.bridge import in_database
from tests.chaos.browser import PHONE, Browser, browser
from tests.chaos.evidence import Point, owner_pid
from tests.chaos.rawsocket import RawSocket
from tests.chaos.servers import own_servers
from tests.chaos.stage import Asked, Stage, make_stage
from tests.chaos.tally import Tallied
from tests.chaos.verdict import judge
from tests.chaos.webs import Web, web_processes
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(1800)]
AWAY = 2.0
# Characters of an answer whose snapshot no system takes off a process's hands at once.
LARGE = 1_000_000


@pytest.fixture
async def stage(transactional_db: None, upstream: ResponsesServer) -> Stage:
    stage = await in_database(make_stage, upstream)
    stage.scripts = {Point.REPLAY: {"delay": 0.15}, Point.SNAPSHOT: {"delay": 0.15, "words": 1}}
    return stage


async def _ask(stage: Stage, tab: Browser, webs: list[Web], point: Point) -> tuple[Asked, Web, Web]:
    """Ask until the answer is well under way; returns the process that runs it, and the other one."""
    asked = await stage.ask(tab, point)
    asked.turn = await tab.stored(asked.client_id)
    await tab.shows(asked.turn, 8)
    pid = await in_database(owner_pid, asked.turn)
    owner, other = sorted(webs, key=lambda web: web.pid != pid)
    return asked, owner, other


async def _watch(reader: Browser, asked: Asked) -> None:
    """Subscribe, and return at the moment when that is confirmed."""
    await reader.watch(asked.conversation, asked.turn)
    await reader.until(lambda: any(frame["type"] == "subscribed" for frame in reader.frames))


def _where(reader: Browser, asked: Asked) -> str:
    """Whether a viewer still shows less than the one who saw the answer from its beginning."""
    behind = len(reader.page.text(asked.turn)) < len(asked.tab.page.text(asked.turn))
    return Point.REPLAY if behind and asked.turn not in reader.page.final else "caught up"


@pytest.mark.parametrize("whose", ["viewer's", "owner's"])
async def test_web_killed_during_replay(whose: str, stage: Stage, tmp_path: Path, times: int, tallied: Tallied) -> None:
    tally = tallied(f"web killed, the {whose}")
    async with web_processes(tmp_path) as webs:
        for _ in range(2 * times + 5):
            ports = [web.port for web in webs]
            async with browser(ports, stage.session) as writer:
                asked, owner, other = await _ask(stage, writer, webs, Point.REPLAY)
                async with browser([other.port, owner.port], stage.session, user_agent=PHONE) as reader:
                    victim = other if whose == "viewer's" else owner
                    await _watch(reader, asked)
                    victim.freeze()
                    await asyncio.sleep(0.05)
                    tally.landed(Point.REPLAY, _where(reader, asked))
                    victim.kill()
                    victim.begin()
                    await victim.answers()
                    tally.blame(await judge(stage, [asked], port=victim.port, watchers=[reader]))
            if tally.has_landed([Point.REPLAY], times):
                break
    tally.assert_clean([Point.REPLAY], times)


async def test_redis_killed_during_replay(stage: Stage, tmp_path: Path, times: int, tallied: Tallied) -> None:
    tally = tallied("Redis killed")
    with own_servers() as servers:
        await servers.start("redis")
        async with web_processes(tmp_path, 2, **servers.redis_environment) as webs:
            for _ in range(2 * times + 5):
                async with browser([web.port for web in webs], stage.session) as writer:
                    asked, owner, other = await _ask(stage, writer, webs, Point.REPLAY)
                    async with browser([other.port, owner.port], stage.session, user_agent=PHONE) as reader:
                        await _watch(reader, asked)
                        other.freeze()
                        await asyncio.sleep(0.05)
                        tally.landed(Point.REPLAY, _where(reader, asked))
                        await servers.end("redis", signal.SIGKILL)
                        other.thaw()
                        await asyncio.sleep(AWAY)
                        await servers.start("redis")
                        tally.blame(await judge(stage, [asked], port=other.port, watchers=[reader]))
                if tally.has_landed([Point.REPLAY], times):
                    break
    tally.assert_clean([Point.REPLAY], times)


def _large_answer() -> str:
    """A beginning that is sent at once, and a tail that takes some seconds."""
    paragraph = " ".join(f"{number:0>60}" for number in range(30))
    return "\n\n".join([paragraph] * (LARGE // len(paragraph)))


async def test_web_killed_while_a_snapshot_is_sent(stage: Stage, tmp_path: Path, times: int, tallied: Tallied) -> None:
    """A tab that begins in the middle of a long answer has got a part of it when the process is killed."""
    tally = tallied("web killed")
    beginning, tail = _large_answer(), [f"word{number} " for number in range(60)]
    stage.texts = {Point.SNAPSHOT: beginning + "\n\n" + "".join(tail)}
    stage.scripts = {Point.SNAPSHOT: {"deltas": [beginning + "\n\n", *tail], "delay": 0.25}}
    async with web_processes(tmp_path) as webs, AsyncExitStack() as opened:
        for _ in range(2 * times + 5):
            async with browser([web.port for web in webs], stage.session) as writer:
                asked, owner, other = await _ask(stage, writer, webs, Point.SNAPSHOT)
                raw = await RawSocket.open(owner.port, stage.session)
                opened.callback(raw.close)
                await raw.send(type="subscribe", topic=f"conversation:{asked.conversation}")
                length = await raw.large_frame(LARGE)
                taken = await raw.take(5000)
                owner.freeze()
                owner.kill()
                # what had left the process still comes
                taken += await raw.take(length - taken)
                tally.landed(Point.SNAPSHOT, Point.SNAPSHOT if 0 < taken < length else f"{taken} of {length} sent")
                owner.begin()
                async with browser([other.port], stage.session, user_agent=PHONE) as reader:
                    await _watch(reader, asked)
                    await owner.answers()
                    tally.blame(await judge(stage, [asked], port=owner.port, watchers=[reader]))
            if tally.has_landed([Point.SNAPSHOT], times):
                break
    tally.assert_clean([Point.SNAPSHOT], times)
