"""Runs a claimed turn: retrieval, then steps and the calls they ask for until the final answer, bounded in number,
time and tokens.

Everything that a step needs is loaded from rows at its border, so a turn that was taken over goes on here as well.
Writes through the recorder.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from django.conf import settings

from chat import events
from chat.context.facts import Recall
from chat.context.materials import Materials
from chat.context.passages import NumberedPassage
from chat.context.query import make_query
from chat.context.tokens import items_tokens
from chat.errors import TooManyStepsError, TooManyTokensError
from chat.models import AssistantVersion, Turn
from chat.providers.items import FunctionCall, Item, output_text
from chat.providers.registry import Providers
from chat.selectors.toolbox import toolbox_of
from chat.turns import recorder
from chat.turns.budget import TokenBudget, budget_of
from chat.turns.calls import CallRunner
from chat.turns.job import Claimed, Job, load_job
from chat.turns.numbering import Numbering
from chat.turns.recalling import recall, still_known
from chat.turns.repairs import Lengths
from chat.turns.retrieving import NOT_TRIED, Retrieved, all_there_is, may_go_whole, searched
from chat.turns.scope import tool_scope
from chat.turns.steps import Answered, CallTools, Failed, RunState, Step, StepOutcome
from chat.turns.upstream import Upstream
from core.bridge import in_database
from retrieval.search import QueryVectors
from tools.toolbox import Toolbox

_WAITING = events.StateChanged(Turn.Status.IN_PROGRESS, "Waiting for the model…")


class Engine:
    """One run of one claimed turn; `show` is told of everything that people see, as it happens.

    `unsaved_text` is what people have seen but no row holds yet: whoever ends the run early keeps it with
    `passages`, which its citations are checked against.
    """

    def __init__(self, claimed: Claimed, providers: Providers, show: events.Show) -> None:
        self.claimed = claimed
        self.upstream = Upstream(claimed)
        self._providers = providers
        self._show = show
        self._unsaved: list[str] = []
        self._numbering = Numbering()
        self._cited: Mapping[int, uuid.UUID] = {}
        self._state = RunState(self.upstream, Lengths())
        self._until = 0.0

    @property
    def passages(self) -> tuple[NumberedPassage, ...]:
        return self._numbering.shown

    @property
    def unsaved_text(self) -> str:
        return "".join(self._unsaved)

    async def run(self) -> recorder.Outcome:
        """Return what to finish the turn with.

        Raises ParleyError for what the turn fails with beside a provider's failures, and LostTurnError when it was
        taken over.
        """
        self._until = asyncio.get_running_loop().time() + settings.TURN_MAX_SECONDS
        job = await in_database(load_job, self.claimed)
        toolbox = toolbox_of(job.version)
        materials = await self._begin(job, toolbox)
        runner = self._call_runner(job, toolbox)
        calls, resumed = job.open_calls, True
        budget = await in_database(budget_of, job.claimed.turn) if job.next_step else TokenBudget()
        for step in range(job.next_step, settings.TURN_MAX_STEPS):
            if budget.is_used_up:
                raise TooManyTokensError(f"This answer has used up the {budget.limit:,} tokens that one may take.")
            if calls:
                outputs = await self._run_calls(runner, calls, resumed=resumed)
                produced = (*materials.produced, *outputs)
                recalled = await still_known(job, materials.recall)
                materials = replace(materials, produced=produced, found=self._numbering.found, recall=recalled)
                budget.expect(items_tokens(outputs))
            is_last = step == settings.TURN_MAX_STEPS - 1 or budget.is_for_one_more
            outcome = await self._ask(job, replace(materials, is_last=is_last), step)
            if not isinstance(outcome, CallTools):
                return self._final(outcome)
            calls, resumed = outcome.calls, False
            budget.add(outcome.tokens)
            materials = replace(materials, produced=(*materials.produced, *outcome.output))
        raise TooManyStepsError(f"The assistant did not come to an answer within {settings.TURN_MAX_STEPS} steps.")

    async def _begin(self, job: Job, toolbox: Toolbox) -> Materials:
        """Look up what the turn has not yet, show what there is already, and return what its steps are made from."""
        vectors = QueryVectors(make_query(job.question.text, job.past))
        known = asyncio.create_task(_recall(job, vectors))
        found, recalled = await asyncio.gather(self._retrieved(job, toolbox, vectors, known), known)
        self._numbering = Numbering(found.passages)
        self._cited = job.cited
        if self.passages:
            self._show(self._passages_found())
        self._show(_WAITING)
        if job.shown:
            self._show(events.TextReplaced(job.shown))
        return replace(_materials(job, self._numbering, toolbox), retrieval=found.note, recall=recalled)

    async def _retrieved(
        self, job: Job, toolbox: Toolbox, vectors: QueryVectors, known: "asyncio.Task[Recall]"
    ) -> Retrieved:
        if job.passages is not None or not _is_searched_for(job):
            return Retrieved(job.passages or (), job.retrieval)
        self._show(events.StateChanged(Turn.Status.IN_PROGRESS, "Searching the documents…"))
        found = await all_there_is(job, partial(_first_step, job, toolbox, known)) if may_go_whole(job) else NOT_TRIED
        if not found.passages:
            found = await searched(job, vectors, self._providers, found.note)
        if found.passages or found.note:
            await in_database(recorder.save_passages, job.claimed, found)
        return found

    def _passages_found(self) -> events.PassagesFound:
        return events.PassagesFound(tuple(map(self._reference, self.passages)))

    def _reference(self, passage: NumberedPassage) -> dict[str, object]:
        stored = self._cited.get(passage.number)
        return passage.reference() | ({"citation": str(stored)} if stored else {})

    def _call_runner(self, job: Job, toolbox: Toolbox) -> CallRunner:
        scope = partial(in_database, tool_scope, job.version, job.claimed.conversation, job.claimed.user)
        return CallRunner(
            job.claimed, toolbox, scope=scope, wanted=job.wanted, numbering=self._numbering, until=self._until
        )

    async def _run_calls(self, runner: CallRunner, calls: Sequence[FunctionCall], *, resumed: bool) -> tuple[Item, ...]:
        """Run these calls, and return the items of their outputs."""
        known = len(self.passages)
        outputs = await runner.run(calls, self._show, resumed=resumed)
        if len(self.passages) > known:
            self._show(self._passages_found())
        self._show(_WAITING)
        return tuple(output.item for output in outputs)

    async def _ask(self, job: Job, materials: Materials, place: int) -> StepOutcome:
        step = Step(self.claimed, self._providers, materials, place, self._state)
        outcome = await step.run(job.models, self._say)
        if isinstance(outcome, CallTools):
            # stored by now
            self._unsaved.clear()
            if output_text(outcome.output):
                self._show(events.TextAdded("\n\n"))
        return outcome

    def _say(self, event: events.TurnEvent) -> None:
        if isinstance(event, events.TextAdded):
            self._unsaved.append(event.text)
        self._show(event)

    def _final(self, outcome: Answered | Failed) -> recorder.Outcome:
        if isinstance(outcome, Failed):
            return recorder.Outcome(
                Turn.Status.FAILED, error=outcome.error, partial_text=self.unsaved_text, passages=self.passages
            )
        status = Turn.Status.INCOMPLETE if outcome.incomplete else Turn.Status.COMPLETED
        return recorder.Outcome(status, answer=outcome.end)


async def _recall(job: Job, vectors: QueryVectors) -> Recall:
    return job.recall if job.recall is not None else await recall(job, vectors)


def _is_searched_for(job: Job) -> bool:
    """Whether the documents are searched before the model is asked: always, or where it could not do so itself."""
    if job.version.retrieval == AssistantVersion.Retrieval.TOOL:
        return not job.models[0].takes_tools
    return job.version.retrieval == AssistantVersion.Retrieval.AUTO


async def _first_step(job: Job, toolbox: Toolbox, known: "asyncio.Task[Recall]") -> Materials:
    """What the first step is made from, but for its passages."""
    return replace(_materials(job, Numbering(), toolbox), recall=await known)


def _materials(job: Job, numbering: Numbering, toolbox: Toolbox) -> Materials:
    return Materials(
        turn=job.claimed.turn,
        conversation=job.claimed.conversation,
        user=job.claimed.user,
        version=job.version,
        question=job.question.payload,
        depth=job.depth,
        past=job.past,
        summary=job.summary,
        summarised=job.summarised,
        passages=tuple(passage for passage in numbering.shown if not passage.call),
        produced=job.produced,
        found=numbering.found,
        tools=toolbox.definitions,
        pictures=job.pictures,
    )
