"""The runner of this process, if it has one: web processes start it with their event loop and stop it with it."""

import asyncio
import uuid
from contextlib import suppress
from typing import Any

from chat.providers.registry import Providers
from chat.realtime import hints
from chat.realtime.hub import hub
from chat.turns.job import Claimed
from chat.turns.runner import Runner
from tools.registry import installed

_runner: Runner | None = None
_listener: asyncio.Task[None] | None = None


async def start() -> None:
    """Open the hub and begin to run turns on this event loop."""
    global _runner, _listener
    installed()  # a wrong setting ends the start, not somebody's turn
    await hub.open()
    runner = Runner(hub, Providers())
    await runner.start()
    _runner = runner
    _listener = asyncio.create_task(hints.listen(hints.RUNNERS, _heard), name="runner hints")


async def stop() -> None:
    """Drain the runner and close what it used."""
    global _runner, _listener
    if _listener is not None:
        _listener.cancel()
        with suppress(asyncio.CancelledError):
            await _listener
    if _runner is not None:
        await _runner.stop()
    await hub.close()
    _runner = _listener = None


def owner() -> uuid.UUID | None:
    """Who runs turns in this process, where there is somebody and room for one more."""
    return _runner.id if _runner is not None and _runner.has_room else None


def begin(claimed: Claimed) -> None:
    """Run a turn that was stored as one of `owner`. May be called from any thread."""
    if _runner is not None:
        _runner.begin(claimed)


async def turn_queued() -> None:
    """Look for queued turns: here if this process runs turns, else in those that do."""
    if _runner is not None:
        _runner.wake()
    else:
        await hints.send(hints.RUNNERS, {"type": "turn.queued"})


async def turn_stopped(turn: uuid.UUID) -> None:
    """End a turn whose stop stands in its row, wherever it runs."""
    if _runner is not None and hub.local(turn) is not None:
        _runner.stop_turn(turn)
    else:
        await hints.send(hints.RUNNERS, {"type": "turn.stop", "turn": str(turn)})


def _heard(message: dict[str, Any]) -> None:
    if _runner is None:
        return
    if message["type"] == "turn.stop":
        _runner.stop_turn(uuid.UUID(message["turn"]))
    else:
        _runner.wake()
