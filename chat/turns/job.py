"""What a process needs to run a turn, loaded from rows: the same for a new turn and for one taken over."""

import uuid
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from chat.context.passages import NumberedPassage, restore
from chat.errors import LostTurnError
from chat.models import AssistantVersion, Item, Response, Summary, Turn
from chat.providers.items import FunctionCall, function_calls
from chat.selectors.branches import PastTurn, branch_ids, latest_summary, past_turns
from chat.selectors.targets import ModelChoice, model_choices
from retrieval.models import VectorStore

# Responses whose items were saved with them. A turn that was not ended has no cancelled one but its server's doing.
_SAVED = (Response.Status.COMPLETED, Response.Status.INCOMPLETE, Response.Status.CANCELLED)
# Turns that are looked at for context at most; no window is longer.
MAX_PAST_TURNS = 400


@dataclass(frozen=True, slots=True)
class Claimed:
    """A turn that this process owns under an epoch."""

    turn: uuid.UUID
    epoch: int
    conversation: uuid.UUID
    user: uuid.UUID


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed turn with everything its steps are made from.

    `produced` holds the items that earlier steps of this turn saved, `open_calls` those calls among them that have no
    output yet, `next_step` the number of the step to do. `answered` says with which status the turn ends where its
    last answer was saved and only its end was not.
    """

    claimed: Claimed
    version: AssistantVersion
    models: tuple[ModelChoice, ...]
    question: Item
    past: tuple[PastTurn, ...]
    summary: Summary | None
    produced: tuple[dict[str, object], ...]
    passages: tuple[NumberedPassage, ...] | None
    open_calls: tuple[FunctionCall, ...]
    next_step: int
    answered: Turn.Status | None

    @property
    def scope(self) -> QuerySet[VectorStore]:
        return turn_scope(self.version, self.claimed.conversation, self.claimed.user)


def turn_scope(version: AssistantVersion, conversation: uuid.UUID, user: uuid.UUID) -> QuerySet[VectorStore]:
    """The stores that a turn may search: those of the assistant's version, and the conversation's own files.

    Access to the assistant is what allows the first, so it is asked when the turn is made; being the conversation's
    person allows the second.
    """
    return VectorStore.objects.filter(
        Q(assistant_versions=version) | Q(conversation=conversation, conversation__user=user)
    ).distinct()


def load_job(claimed: Claimed) -> Job:
    """Load a claimed turn; raises `LostTurnError` where it is not ours any more."""
    turn = (
        Turn.objects.select_related("version__model__endpoint", "input_item")
        .filter(id=claimed.turn, epoch=claimed.epoch, status=Turn.Status.IN_PROGRESS)
        .first()
    )
    if turn is None or turn.input_item is None:
        raise LostTurnError("The turn is not ours.")
    ids = branch_ids(turn.parent_id, limit=MAX_PAST_TURNS) if turn.parent_id else []
    produced = tuple(turn.items.exclude(role=Item.Role.USER).order_by("position").values_list("payload", flat=True))
    last = turn.responses.filter(status__in=_SAVED).order_by("step", "attempt").last()
    return Job(
        claimed=claimed,
        version=turn.version,
        models=tuple(model_choices(turn.version)),
        question=turn.input_item,
        past=tuple(past_turns(ids)),
        summary=latest_summary(ids) if ids else None,
        produced=produced,
        open_calls=_open_calls(produced),
        passages=tuple(restore(turn.passages)) if turn.passages else None,
        next_step=last.step + 1 if last else 0,
        answered=_answered(last) if last else None,
    )


def _open_calls(produced: tuple[dict[str, object], ...]) -> tuple[FunctionCall, ...]:
    done = {item.get("call_id") for item in produced if item.get("type") == "function_call_output"}
    return tuple(call for call in function_calls(produced) if call.call_id not in done)


def _answered(last: Response) -> Turn.Status | None:
    """How a turn ends whose last response is this one; None where it goes on with calls."""
    if last.status == Response.Status.INCOMPLETE:
        return Turn.Status.INCOMPLETE
    return None if last.items.filter(type="function_call").exists() else Turn.Status.COMPLETED
