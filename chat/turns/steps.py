"""One step of a turn: asking a model until it answers, and what to do next as a type.

Own retry policy: a retryable failure before any visible text is tried again with jittered, exponentially growing
delays (or the one the server named), then the version's next model is asked. After visible text nothing is repeated.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from django.utils import timezone

from chat import events
from chat.context.assembly import Assembled, Materials, assemble
from chat.errors import ProviderError, Repair
from chat.providers.base import Finished, ReasoningDelta, RefusalDelta, StreamEvent, TextDelta
from chat.providers.items import FunctionCall, function_calls, without_reasoning
from chat.providers.registry import Providers
from chat.selectors.targets import ModelChoice
from chat.turns import recorder
from chat.turns.job import Claimed
from core.bridge import in_database

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
FIRST_DELAY = 0.5
LONGEST_DELAY = 20.0


@dataclass(frozen=True, slots=True)
class Answered:
    """The model has said its last word."""

    incomplete: bool


@dataclass(frozen=True, slots=True)
class CallTools:
    """The model wants these calls run and will go on with their outputs. `output` is the step's items verbatim."""

    calls: tuple[FunctionCall, ...]
    output: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """No model answered, or the answer broke off; what was already shown is kept."""

    error: ProviderError


StepOutcome: TypeAlias = Answered | CallTools | Failed
"""What a step ends with: the last thing that `run_step` yields."""


@dataclass(frozen=True, slots=True)
class _Broken:
    """An attempt that gave nothing to keep; `shown` says whether people saw text of it."""

    error: ProviderError
    shown: bool


StepEvent: TypeAlias = events.TurnEvent | StepOutcome


class Step:
    """Runs one step of a claimed turn against the version's models, in order."""

    def __init__(self, claimed: Claimed, providers: Providers, materials: Materials, number: int) -> None:
        self._claimed = claimed
        self._providers = providers
        self._materials = materials
        self._number = number

    async def run(self, models: tuple[ModelChoice, ...]) -> AsyncGenerator[StepEvent, None]:
        """Yield what is to be shown, and the outcome last."""
        broken: _Broken | None = None
        for choice in models:
            async for event in self._ask(choice):
                if not isinstance(event, _Broken):
                    yield event
                    if isinstance(event, Answered | CallTools | Failed):
                        return
                    continue
                broken = event
            if broken is None or broken.shown:
                break
        if broken is not None:
            yield Failed(broken.error)

    async def _ask(self, choice: ModelChoice) -> AsyncGenerator[StepEvent | _Broken, None]:
        """Ask one model, again where that may help; ends with an outcome or `_Broken`."""
        assembled = assemble(self._materials, choice=choice, step=self._number)
        for attempt in range(MAX_ATTEMPTS):
            broken: _Broken | None = None
            async for event in self._attempt(choice, assembled):
                if isinstance(event, _Broken):
                    broken = event
                else:
                    yield event
            if broken is None:
                return
            repaired = _repaired(assembled, broken.error)
            last = attempt == MAX_ATTEMPTS - 1
            if broken.shown or last or not (broken.error.retryable or repaired is not assembled):
                yield broken
                return
            assembled = repaired
            delay = retry_delay(attempt, broken.error.retry_after)
            logger.warning("A model server failed (%s), asking again in %.1f s", broken.error.code, delay)
            yield events.StateChanged("in_progress", "The model server is busy. Trying again…")
            await asyncio.sleep(delay)

    async def _attempt(self, choice: ModelChoice, assembled: Assembled) -> AsyncGenerator[StepEvent | _Broken, None]:
        attempt = await in_database(
            recorder.begin_response, self._claimed, step=self._number, assembled=assembled, choice=choice
        )
        timings = recorder.Timings()
        finished: Finished | None = None
        shown = False
        provider = self._providers.get(choice.target.provider)
        try:
            async with aclosing(provider.stream(assembled.request, choice.target)) as stream:
                async for event in stream:
                    _note_time(timings, event)
                    if isinstance(event, Finished):
                        finished = event
                    elif (visible := _visible(event)) is not None:
                        shown = shown or isinstance(visible, events.TextAdded)
                        yield visible
        except ProviderError as error:
            await in_database(recorder.fail_response, self._claimed, attempt, error)
            yield _Broken(error, shown)
            return
        if finished is None:
            raise RuntimeError("a provider's stream ended without Finished")
        failed = finished.status == "failed"
        await in_database(
            recorder.finish_response, self._claimed, attempt, finished, timings=timings, keep_items=not failed
        )
        yield _Broken(_error_of(finished), shown) if failed else _outcome(finished)


def retry_delay(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait before the next try (attempts count from 0).

    Full jitter on an exponentially growing bound (AWS Architecture Blog, "Exponential Backoff and Jitter"), but never
    less than what the server asked for, and never more than `LONGEST_DELAY`.
    """
    bound = min(LONGEST_DELAY, FIRST_DELAY * 2.0**attempt)
    jittered = bound * (0.5 + random.random() / 2)  # noqa: S311 - nothing secret
    return min(LONGEST_DELAY, max(jittered, retry_after or 0.0))


def _repaired(assembled: Assembled, error: ProviderError) -> Assembled:
    """The request changed so that this error goes away, or the same object where nothing can be done."""
    if error.repair is Repair.STRIP_REASONING:
        stripped = without_reasoning(assembled.request.input)
        if len(stripped) < len(assembled.request.input):
            return replace(assembled, request=replace(assembled.request, input=stripped))
    return assembled


def _note_time(timings: recorder.Timings, event: StreamEvent) -> None:
    if timings.first_event_at is None:
        timings.first_event_at = timezone.now()
    if timings.first_text_at is None and isinstance(event, TextDelta | RefusalDelta):
        timings.first_text_at = timezone.now()


def _visible(event: StreamEvent) -> events.TurnEvent | None:
    if isinstance(event, TextDelta | RefusalDelta):
        return events.TextAdded(event.text)
    if isinstance(event, ReasoningDelta):
        return events.StateChanged("in_progress", "Thinking…")
    return None


def _error_of(finished: Finished) -> ProviderError:
    return finished.error or ProviderError()


def _outcome(finished: Finished) -> StepOutcome:
    calls = function_calls(finished.output)
    if finished.status == "incomplete":
        # a call that was cut off must never run; what was said stands
        return Answered(incomplete=True)
    if calls:
        return CallTools(calls, finished.output)
    return Answered(incomplete=False)
