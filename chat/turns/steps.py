"""One step of a turn: asking a model until it answers, and what to do next as a type.

Own retry policy: a retryable failure before any visible text is tried again with jittered, exponentially growing
delays (or the one the server named), and what a server cannot read or finds too long is mended and sent again at once.
Then the version's next model is asked, as where one has no room for what has to go in. After visible text nothing is
repeated.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from django.utils import timezone

from chat import events
from chat.context.assembly import Assembled, assemble
from chat.context.materials import Materials
from chat.context.tokens import items_tokens
from chat.errors import ContextLengthError, InputTooLongError, ProviderError, Repair
from chat.providers.base import Finished, ReasoningDelta, RefusalDelta, ResponseStarted, StreamEvent, TextDelta, Usage
from chat.providers.items import FunctionCall, Item, function_calls
from chat.providers.registry import Providers
from chat.selectors.targets import ModelChoice
from chat.turns import recorder
from chat.turns.call_ids import ids_of, with_own_ids
from chat.turns.job import Claimed
from chat.turns.pictures import are_refused, with_points, without_points
from chat.turns.repairs import Lengths, without_sealed
from chat.turns.upstream import Upstream
from core.bridge import in_database
from core.errors import ParleyError

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
FIRST_DELAY = 0.5
LONGEST_DELAY = 20.0


@dataclass(frozen=True, slots=True)
class Answered:
    """The model has said its last word: `end` is to be stored together with the turn's."""

    incomplete: bool
    end: recorder.End


@dataclass(frozen=True, slots=True)
class CallTools:
    """The model wants these calls run and will go on with their outputs.

    `output` is the step's items verbatim, but for ids of calls that could not be used; `tokens` is what the step used,
    as the server counted, or as we do where it does not say.
    """

    calls: tuple[FunctionCall, ...]
    output: tuple[dict[str, object], ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No model answered, or the answer broke off; what was already shown is kept."""

    error: ParleyError


_THINKING = events.StateChanged("in_progress", "Thinking…")

StepOutcome: TypeAlias = Answered | CallTools | Failed
"""What a step ends with."""


@dataclass(frozen=True, slots=True)
class _Broken:
    """An attempt that gave nothing to keep; `shown` says whether people saw text of it."""

    error: ProviderError
    shown: bool


@dataclass(frozen=True, slots=True)
class RunState:
    """What the steps of one run of a turn know of each other's requests."""

    upstream: Upstream
    lengths: Lengths


class Step:
    """Runs one step of a claimed turn against the version's models, in order."""

    def __init__(
        self, claimed: Claimed, providers: Providers, materials: Materials, number: int, state: RunState
    ) -> None:
        self._claimed = claimed
        self._providers = providers
        self._upstream, self._lengths = state.upstream, state.lengths
        self._materials = materials
        self._number = number

    async def run(self, models: tuple[ModelChoice, ...], show: events.Show) -> StepOutcome:
        """Ask until there is an outcome; `show` is told of what people see of it."""
        failures: list[ProviderError] = []
        # by the model with the most room: it says best how much is too much
        too_long: tuple[int, InputTooLongError] | None = None
        for choice in models:
            try:
                outcome = await self._ask(choice, show)
            except InputTooLongError as error:
                room = choice.row.context_window
                too_long = too_long if too_long and too_long[0] >= room else (room, error)
                continue
            if not isinstance(outcome, _Broken):
                return outcome
            if outcome.shown:
                return Failed(outcome.error)
            failures.append(outcome.error)
        return Failed(_worth_telling(failures, too_long and too_long[1]))

    async def _ask(self, choice: ModelChoice, show: events.Show) -> Answered | CallTools | _Broken:
        """Ask one model, again where that may help. Raises `InputTooLongError` where it has no room."""
        choice = self._lengths.of(choice)
        assembled = assemble(self._materials, choice=choice, step=self._number)
        attempt = 0
        while True:
            outcome = await self._attempt(choice, assembled, show)
            if not isinstance(outcome, _Broken):
                return outcome
            error = outcome.error
            if isinstance(error, ContextLengthError):
                await self._lengths.refused(choice, error, assembled)
            if outcome.shown or attempt == MAX_ATTEMPTS - 1:
                return outcome
            attempt += 1
            repaired = self._repaired(choice, assembled, error)
            if repaired is not None:
                logger.warning("A request was refused (%s), asking again with less", error.code)
                key = f"{assembled.request.idempotency_key}-{attempt}"
                assembled = replace(repaired, request=replace(repaired.request, idempotency_key=key))
            elif error.retryable:
                delay = retry_delay(attempt - 1, error.retry_after)
                logger.warning("A model server failed (%s), asking again in %.1f s", error.code, delay)
                show(events.StateChanged("in_progress", "The model server is busy. Trying again…"))
                await asyncio.sleep(delay)
            else:
                return outcome

    def _repaired(self, choice: ModelChoice, assembled: Assembled, error: ProviderError) -> Assembled | None:
        """The request changed so that this error may go away; None where nothing can be done.

        Raises `InputTooLongError` where what has to go in is too long by what the turn has learned.
        """
        if error.repair is Repair.STRIP_REASONING:
            stripped = without_sealed(assembled)
            return stripped if stripped is not assembled else None
        if error.repair is Repair.SHORTEN:
            shorter = assemble(self._materials, choice=self._lengths.of(choice), step=self._number)
            return shorter if shorter.tokens < assembled.tokens else None
        return without_points(assembled, self._materials.pictures) if are_refused(error, choice) else None

    async def _attempt(
        self, choice: ModelChoice, assembled: Assembled, show: events.Show
    ) -> Answered | CallTools | _Broken:
        provider = self._providers.get(choice.target.provider)
        assembled = await with_points(assembled, choice, self._materials.pictures)
        request = await self._upstream.with_left_behind(assembled.request, choice, self._number)
        try:
            body = provider.prepare(request, choice.target)
        except ProviderError as error:
            return _Broken(error, shown=False)
        attempt = await self._begin(choice, replace(assembled, request=request), body)
        timings = recorder.Timings()
        finished: Finished | None = None
        shown = False
        last: events.TurnEvent | None = None
        try:
            async with aclosing(provider.stream(request, choice.target, body=body)) as stream:
                async for event in stream:
                    _note_time(timings, event)
                    if isinstance(event, ResponseStarted | Finished):
                        await self._upstream.note(event, attempt, provider)
                    if isinstance(event, Finished):
                        finished = event
                    elif (visible := _visible(event)) is not None and (visible is not last):
                        shown = shown or isinstance(visible, events.TextAdded)
                        show(visible)
                        last = visible
        except ProviderError as error:
            await in_database(recorder.fail_response, self._claimed, attempt, error)
            return _Broken(error, shown)
        if finished is None:
            raise RuntimeError("a provider's stream ended without Finished")
        failed = finished.status == "failed"
        self._lengths.note(choice, finished.usage, assembled)
        finished = replace(finished, output=self._with_own_ids(finished.output))
        end = recorder.End(attempt, finished, timings)
        outcome = _Broken(_error_of(finished), shown) if failed else _outcome(end, assembled)
        if not isinstance(outcome, Answered):
            await in_database(recorder.finish_response, self._claimed, end, keep_items=not failed)
        return outcome

    async def _begin(self, choice: ModelChoice, assembled: Assembled, body: bytes) -> recorder.Attempt:
        return await in_database(
            recorder.begin_response, self._claimed, step=self._number, assembled=assembled, choice=choice, body=body
        )

    def _with_own_ids(self, output: Sequence[Item]) -> tuple[Item, ...]:
        return with_own_ids(output, taken=ids_of(self._materials.produced), step=self._number)


def retry_delay(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait before the next try (attempts count from 0).

    Full jitter on an exponentially growing bound (AWS Architecture Blog, "Exponential Backoff and Jitter"), but never
    less than what the server asked for, and never more than `LONGEST_DELAY`.
    """
    bound = min(LONGEST_DELAY, FIRST_DELAY * 2.0**attempt)
    jittered = bound * (0.5 + random.random() / 2)  # noqa: S311 - nothing secret
    return min(LONGEST_DELAY, max(jittered, retry_after or 0.0))


def _worth_telling(failures: Sequence[ProviderError], too_long: InputTooLongError | None) -> ParleyError:
    """What people are told of all models' failures: the last that says more than that it was too long."""
    other = [error for error in failures if not isinstance(error, ContextLengthError)]
    if other:
        return other[-1]
    return too_long or (failures[-1] if failures else ProviderError())


def _note_time(timings: recorder.Timings, event: StreamEvent) -> None:
    if timings.first_event_at is None:
        timings.first_event_at = timezone.now()
    if timings.first_text_at is None and isinstance(event, TextDelta | RefusalDelta):
        timings.first_text_at = timezone.now()


def _visible(event: StreamEvent) -> events.TurnEvent | None:
    if isinstance(event, TextDelta | RefusalDelta):
        return events.TextAdded(event.text)
    if isinstance(event, ReasoningDelta):
        return _THINKING
    return None


def _error_of(finished: Finished) -> ProviderError:
    return finished.error or ProviderError()


def _outcome(end: recorder.End, assembled: Assembled) -> Answered | CallTools:
    finished = end.finished
    calls = function_calls(finished.output)
    if finished.status == "incomplete":
        # a call that was cut off must never run; what was said stands
        return Answered(incomplete=True, end=end)
    if calls:
        return CallTools(calls, finished.output, _tokens(finished, assembled))
    return Answered(incomplete=False, end=end)


def _tokens(finished: Finished, assembled: Assembled) -> int:
    usage = finished.usage or Usage()
    sent = usage.input_tokens if usage.input_tokens is not None else assembled.tokens
    said = usage.output_tokens if usage.output_tokens is not None else items_tokens(finished.output)
    return sent + said
