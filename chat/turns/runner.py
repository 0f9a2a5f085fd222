"""Owns the turns of one web process: claims them, runs each as a task, and brings every one into a final state.

Closing a tab stops nothing. Only a stop that somebody asked for, the deadline, or the end of the process does; the
last leaves the turn to another process, which takes it over when the heartbeat has gone quiet. Where PostgreSQL goes
away the turn is let go of, and taken again from its rows.
"""

import asyncio
import logging
import uuid
from contextlib import suppress
from functools import partial

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError

from chat import events
from chat.errors import InternalError, LostTurnError, TurnAbandonedError, TurnDeadlineError
from chat.models import Turn
from chat.providers.registry import Providers
from chat.realtime import hints
from chat.realtime.hub import LOST, Hub
from chat.realtime.live import LiveTurn
from chat.turns import recorder
from chat.turns.claims import claim_turns, stopped
from chat.turns.engine import Engine
from chat.turns.job import Claimed
from core.bridge import in_database
from core.errors import ParleyError
from core.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

# Seconds between two looks for turns that nobody told us of, and for stops.
SWEEP_INTERVAL = 1.0
MAX_RUNNING = 500
# Seconds between two tries to write a turn's end while PostgreSQL is away.
FINISH_INTERVAL = 1.0
# Times that a turn is taken. One that ends its processes, or finds no database time and again, must not go on for ever.
MAX_CLAIMS = 10
# SQLSTATE classes of a server that goes, comes or gives up on a transaction for reasons that pass: connection
# exceptions, operator intervention (not 57014, a statement that was cancelled) and transaction rollbacks.
_PASSING = ("08", "57P", "40")


class Runner:
    """One per web process. `start`, then `wake` whenever a turn was queued, then `stop`."""

    def __init__(self, hub: Hub, providers: Providers) -> None:
        self._hub = hub
        self._providers = providers
        self._heartbeat = Heartbeat("web")
        self._tasks: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._stopping: set[uuid.UUID] = set()
        self._ending: set[uuid.UUID] = set()
        self._cancelling: set[asyncio.Task[None]] = set()
        self._draining = False
        self._awake = asyncio.Event()
        self._sweep: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def id(self) -> uuid.UUID:
        return self._heartbeat.id

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await in_database(self._heartbeat.start)
        self._awake.set()
        self._begin_sweep()

    async def stop(self, *, drain: float = 20.0) -> None:
        """Take nothing new, give running turns `drain` seconds, then leave the rest to other processes."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=drain)
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.wait({self._sweep})
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*self._cancelling, return_exceptions=True)
        await in_database(self._heartbeat.stop)
        await self._providers.aclose()

    @property
    def has_room(self) -> bool:
        return not self._draining and len(self._tasks) < MAX_RUNNING

    def begin(self, claimed: Claimed) -> None:
        """Run a turn that was taken as it was stored. May be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin, claimed)

    def wake(self) -> None:
        """Look for queued turns now. May be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._awake.set)

    def stop_turn(self, turn: uuid.UUID) -> None:
        """End a running turn of this process now; its stop must already stand in its row."""
        task = self._tasks.get(turn)
        if task is not None and turn not in self._stopping and turn not in self._ending:
            self._stopping.add(turn)
            task.cancel()

    def _begin_sweep(self) -> None:
        self._sweep = asyncio.create_task(self._look(), name="turn sweep")
        self._sweep.add_done_callback(self._sweep_ended)

    def _sweep_ended(self, sweep: "asyncio.Task[None]") -> None:
        """Nobody else looks for the turns of this process: a sweep that a fault of ours ended is begun again."""
        if not sweep.cancelled() and (error := sweep.exception()) is not None:
            logger.error("The look for turns failed", exc_info=error)
            self._begin_sweep()

    async def _look(self) -> None:
        while True:
            # not `wait_for`: in Python 3.11 it swallows a cancellation that comes together with the event
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_INTERVAL):
                    await self._awake.wait()
            self._awake.clear()
            try:
                if not self._draining:
                    await self._claim()
                for turn in await in_database(stopped, self.id) if self._tasks else ():
                    self.stop_turn(turn)
            except Error as error:
                logger.warning("The database cannot be asked for turns: %s", error)

    async def _claim(self) -> None:
        room = MAX_RUNNING - len(self._tasks)
        if room <= 0:
            return
        for claimed in await in_database(claim_turns, self.id, running=set(self._tasks), limit=room):
            self._begin(claimed)

    def _begin(self, claimed: Claimed) -> None:
        task = asyncio.create_task(self._run(claimed), name=f"turn {claimed.turn}")
        self._tasks[claimed.turn] = task
        task.add_done_callback(partial(self._forget, claimed.turn))

    def _forget(self, turn: uuid.UUID, task: "asyncio.Task[None]") -> None:
        del self._tasks[turn]
        self._stopping.discard(turn)
        self._ending.discard(turn)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The task of turn %s ended without its end", turn, exc_info=error)

    async def _run(self, claimed: Claimed) -> None:
        try:
            async with self._hub.running(claimed.turn, claimed.epoch) as live:
                _tell(claimed, "running")
                outcome = await self._outcome(claimed, live)
                # a stop that comes now must not undo the end that was reached
                self._ending.add(claimed.turn)
                ended = outcome is not None and await self._finish(claimed, outcome)
                live.apply(events.Ended(outcome.status if outcome and ended else LOST))
        finally:
            _tell(claimed, "ended")
            # the entry in the person's list says that it runs from its creation on
            hints.send_soon(hints.feed_group(claimed.user), hints.of_conversation(claimed.conversation))

    async def _outcome(self, claimed: Claimed, live: LiveTurn) -> recorder.Outcome | None:
        """Run the engine to its outcome; None where the turn is left to another process."""
        engine = Engine(claimed, self._providers, live.apply)
        error: ParleyError
        if claimed.epoch > MAX_CLAIMS:
            error = TurnAbandonedError("This answer was interrupted too often and was given up.")
            return recorder.Outcome(Turn.Status.FAILED, error=error)
        try:
            async with asyncio.timeout(settings.TURN_MAX_SECONDS):
                return await engine.run()
        except asyncio.CancelledError:
            if claimed.turn not in self._stopping:
                return None
            self._end_upstream(engine)
            return _cut_short(engine, Turn.Status.CANCELLED)
        except TimeoutError:
            self._end_upstream(engine)
            error = TurnDeadlineError("This answer took too long and was ended.")
        except LostTurnError:
            logger.warning("Turn %s was taken over", claimed.turn)
            return None
        except ParleyError as failure:
            error = failure
        except Exception as failure:
            if _passes(failure):
                logger.warning("Turn %s is taken again when the database is back: %s", claimed.turn, failure)
                return None
            logger.exception("Turn %s failed", claimed.turn)
            error = InternalError("Something went wrong on our side. Your message is stored; try again.")
        return _cut_short(engine, Turn.Status.FAILED, error)

    def _end_upstream(self, engine: Engine) -> None:
        """Tell the server too, where its response would go on; nobody waits for that."""
        task = asyncio.create_task(engine.upstream.cancel(), name=f"end of turn {engine.claimed.turn} upstream")
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _finish(self, claimed: Claimed, outcome: recorder.Outcome) -> bool:
        """Write the end; while PostgreSQL is away try again. False where the turn is not ours any more."""
        while True:
            try:
                if await in_database(recorder.finish_turn, claimed, outcome):
                    self._awake.set()
            except LostTurnError:
                return False
            except (OperationalError, InterfaceError) as error:
                logger.warning("The end of turn %s cannot be written yet: %s", claimed.turn, error)
                await asyncio.sleep(FINISH_INTERVAL)
            else:
                return True


def _tell(claimed: Claimed, what: str) -> None:
    """Hint to watchers, most of all to those in other processes."""
    hint = hints.of_turn(claimed.conversation, claimed.turn, claimed.epoch, what)
    hints.send_soon(hints.conversation_group(claimed.conversation), hint)


def _passes(error: Exception) -> bool:
    """Whether the database is away or gave up on a transaction, so that the same may succeed later."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(_PASSING)


def _cut_short(engine: Engine, status: Turn.Status, error: ParleyError | None = None) -> recorder.Outcome:
    return recorder.Outcome(status, error=error, partial_text=engine.unsaved_text, passages=engine.passages)
