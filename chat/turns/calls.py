"""Runs the calls of a step, several at a time, and gives each its one output, in the order of the calls.

A call that cannot be run gets an output that says why. Nothing is ever run twice that must not be: what the rows say
about a call of a former owner decides (see `chat.turns.call_rows`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from chat import events
from chat.providers.items import FunctionCall
from chat.turns.call_rows import Output, begin_call, called, end_call, save_outputs
from chat.turns.job import Claimed
from chat.turns.numbering import Numbering
from core.bridge import in_database
from retrieval.models import VectorStore
from retrieval.search import Filter
from tools.audit import Ended, failed, rows_of, stored_output, succeeded
from tools.base import Context, Policy
from tools.errors import CallNotRunError, EffectUnknownError, InvalidArgumentsError, ToolError
from tools.models import ToolCall
from tools.running import parse_arguments, run_tool
from tools.toolbox import Attached, Toolbox

# Seconds that a call gets at least where the turn's time is nearly over.
SHORTEST = 0.01

_slots: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]" = WeakKeyDictionary()


class CallRunner:
    """Runs the calls of one run of a turn; `until` is the turn's deadline on the event loop's clock."""

    def __init__(
        self,
        claimed: Claimed,
        toolbox: Toolbox,
        *,
        scope: "Callable[[], Awaitable[QuerySet[VectorStore]]]",
        wanted: Filter | None,
        numbering: Numbering,
        until: float,
    ) -> None:
        self._claimed = claimed
        self._toolbox = toolbox
        self._scope = scope
        self._wanted = wanted
        self._numbering = numbering
        self._until = until

    async def run(self, calls: Sequence[FunctionCall], show: events.Show, *, resumed: bool) -> tuple[Output, ...]:
        """Run the calls, store their outputs, and return them in the order of the calls.

        `resumed` says that a former owner may have begun them. Cancelling this cancels the tools that run. Raises
        LostTurnError where the turn was taken over.
        """
        ids = [call.call_id for call in calls]
        known = await in_database(rows_of, self._claimed.turn, ids) if resumed else {}
        tasks = [
            asyncio.create_task(self._one(call, place, known.get(call.call_id), show))
            for place, call in enumerate(calls)
        ]
        try:
            outputs = tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await in_database(save_outputs, self._claimed, outputs)
        return outputs

    async def _one(self, call: FunctionCall, place: int, known: ToolCall | None, show: events.Show) -> Output:
        if known is not None and known.finished_at is not None:
            return Output(call.call_id, stored_output(known), known.id)
        attached = self._toolbox.named(call.name)
        try:
            _refuse(call, place, known, attached)
            attached = self._toolbox.allowed(call.name)
            arguments = parse_arguments(attached.tool, call.arguments)
        except ToolError as error:
            return await self._end(call, failed(error), attached)
        async with _slot():
            await in_database(begin_call, self._claimed, call, attached.tool)
            show(events.CallStarted(call.call_id, call.name))
            seconds = max(SHORTEST, min(attached.tool.limits.seconds, self._until - _now()))
            context = self._context(call, attached, seconds)
            ended: Ended
            try:
                ended = succeeded(await run_tool(attached.tool, arguments, context, seconds=seconds))
            except ToolError as error:
                ended = failed(error)
        output = await self._end(call, ended, attached)
        show(events.CallFinished(call.call_id, call.name, str(ended.status)))
        return output

    async def _end(self, call: FunctionCall, ended: Ended, attached: Attached | None) -> Output:
        policy = attached.policy if attached else Policy.AUTO
        found = self._numbering.show(call.call_id) if ended.status == ToolCall.Status.SUCCEEDED else ()
        return await in_database(end_call, self._claimed, call, ended, policy=policy, passages=found)

    def _context(self, call: FunctionCall, attached: Attached, seconds: float) -> Context:
        return Context(
            user=self._claimed.user,
            conversation=self._claimed.conversation,
            turn=self._claimed.turn,
            call_id=call.call_id,
            idempotency_key=called(self._claimed, call).idempotency_key,
            deadline=timezone.now() + timedelta(seconds=seconds),
            config=attached.config,
            scope=self._scope,
            wanted=self._wanted,
            cite=partial(self._numbering.cite, call.call_id),
        )


def _refuse(call: FunctionCall, place: int, known: ToolCall | None, attached: Attached | None) -> None:
    """Raise what keeps this call from being run, whatever its tool."""
    if known is not None and (attached is None or not attached.tool.repeatable):
        raise EffectUnknownError(
            f"It is unknown whether {call.name} ran: the process that ran it ended. It was not run again. Find out, or "
            "tell the user."
        )
    if not call.complete:
        raise InvalidArgumentsError(f"The call of {call.name} was cut off and not run. Call it again.")
    if place >= settings.STEP_MAX_CALLS:
        raise CallNotRunError(
            f"Only the first {settings.STEP_MAX_CALLS} calls at a time are run. Call {call.name} again now."
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _slot() -> asyncio.Semaphore:
    """The places for running tools in this process."""
    return _slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(settings.TOOLS_MAX_RUNNING))
