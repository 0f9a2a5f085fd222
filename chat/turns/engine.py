"""Runs a claimed turn: retrieval, then steps until the final answer, bounded in number.

Everything that a step needs is loaded from rows at its border, so a turn that was taken over goes on here as well.
Yields events for the watchers and the turn's outcome last; writes through the recorder.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from django.conf import settings

from chat import events
from chat.context.assembly import Materials
from chat.context.passages import NumberedPassage, number
from chat.context.query import make_query
from chat.errors import TooManyStepsError
from chat.models import AssistantVersion, Turn
from chat.providers.items import FunctionCall, output_text
from chat.providers.registry import Providers
from chat.turns import recorder
from chat.turns.job import Claimed, Job, load_job
from chat.turns.steps import Answered, CallTools, Failed, Step, StepOutcome
from core.bridge import in_database
from retrieval.search import retrieve


class Engine:
    """One run of one claimed turn.

    `unsaved_text` is what people have seen but no row holds yet: whoever ends the run early keeps it with
    `passages`, which its citations are checked against.
    """

    def __init__(self, claimed: Claimed, providers: Providers) -> None:
        self.claimed = claimed
        self.passages: tuple[NumberedPassage, ...] = ()
        self._providers = providers
        self._unsaved: list[str] = []

    @property
    def unsaved_text(self) -> str:
        return "".join(self._unsaved)

    async def run(self) -> AsyncGenerator[events.TurnEvent | recorder.Outcome, None]:
        """Yield the turn's events, and at the end the `Outcome` to finish it with.

        Raises ParleyError for what the turn fails with beside a provider's failures, and LostTurnError when it was
        taken over.
        """
        job = await in_database(load_job, self.claimed)
        if job.answered:
            yield recorder.Outcome(job.answered)
            return
        async with aclosing(self._steps(job)) as happenings:
            async for event in happenings:
                yield event

    async def _steps(self, job: Job) -> AsyncGenerator[events.TurnEvent | recorder.Outcome, None]:
        if job.passages is None and job.version.retrieval == AssistantVersion.Retrieval.AUTO:
            yield events.StateChanged(Turn.Status.IN_PROGRESS, "Searching the documents…")
            job = await self._with_passages(job)
        self.passages = job.passages or ()
        if self.passages:
            yield events.PassagesFound(tuple(passage.reference() for passage in self.passages))
        yield events.StateChanged(Turn.Status.IN_PROGRESS, "Waiting for the model…")
        if shown := output_text(job.produced):
            yield events.TextReplaced(shown + "\n\n")
        materials = await self._with_outputs(_materials(job), job.open_calls)
        for step in range(job.next_step, settings.TURN_MAX_STEPS):
            outcome: StepOutcome | None = None
            async for event in Step(self.claimed, self._providers, materials, step).run(job.models):
                if isinstance(event, Answered | CallTools | Failed):
                    outcome = event
                    continue
                if isinstance(event, events.TextAdded):
                    self._unsaved.append(event.text)
                yield event
            if not isinstance(outcome, CallTools):
                yield self._final(outcome)
                return
            self._unsaved.clear()
            materials = replace(materials, produced=(*materials.produced, *outcome.output))
            materials = await self._with_outputs(materials, outcome.calls)
            if output_text(outcome.output):
                yield events.TextAdded("\n\n")
        raise TooManyStepsError(f"The assistant did not come to an answer within {settings.TURN_MAX_STEPS} steps.")

    async def _with_passages(self, job: Job) -> Job:
        query = make_query(job.question.text, job.past)
        passages = tuple(number(await retrieve(query, scope=job.scope, limit=job.version.passages)))
        if passages:
            await in_database(recorder.save_passages, job.claimed, passages)
        return replace(job, passages=passages)

    async def _with_outputs(self, materials: Materials, calls: Sequence[FunctionCall]) -> Materials:
        """Give each of these calls its one output."""
        if not calls:
            return materials
        outputs = [_refused(call) for call in calls]
        await in_database(recorder.save_outputs, self.claimed, outputs)
        return replace(materials, produced=(*materials.produced, *outputs))

    def _final(self, outcome: StepOutcome | None) -> recorder.Outcome:
        if isinstance(outcome, Failed):
            return recorder.Outcome(
                Turn.Status.FAILED, error=outcome.error, partial_text=self.unsaved_text, passages=self.passages
            )
        if isinstance(outcome, Answered) and outcome.incomplete:
            return recorder.Outcome(Turn.Status.INCOMPLETE)
        return recorder.Outcome(Turn.Status.COMPLETED)


def _materials(job: Job) -> Materials:
    return Materials(
        turn=job.claimed.turn,
        conversation=job.claimed.conversation,
        user=job.claimed.user,
        version=job.version,
        question=job.question.payload,
        past=job.past,
        summary=job.summary,
        passages=job.passages or (),
        produced=job.produced,
    )


def _refused(call: FunctionCall) -> dict[str, Any]:
    """The output of a call of a tool that this assistant does not have: an error that the model can act on."""
    error = {"error": {"code": "unknown_tool", "message": f"There is no tool named {call.name!r}."}}
    return {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(error)}
