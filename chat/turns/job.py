"""What a process needs to run a turn, loaded from rows: the same for a new turn and for one taken over."""

import uuid
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from chat.context.passages import NumberedPassage, restore
from chat.errors import LostTurnError
from chat.models import AssistantVersion, Item, Summary, Turn
from chat.selectors.branches import PastTurn, branch_ids, latest_summary, past_turns
from chat.selectors.targets import ModelChoice, model_choices
from retrieval.models import VectorStore

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

    `produced` holds the items that earlier steps of this turn saved, `next_step` the number of the step to do.
    """

    claimed: Claimed
    version: AssistantVersion
    models: tuple[ModelChoice, ...]
    question: Item
    past: tuple[PastTurn, ...]
    summary: Summary | None
    produced: tuple[dict[str, object], ...]
    passages: tuple[NumberedPassage, ...] | None
    next_step: int

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
    own = list(turn.items.exclude(role=Item.Role.USER).order_by("position"))
    steps = [
        item.response.step for item in turn.items.exclude(response=None).select_related("response") if item.response
    ]
    return Job(
        claimed=claimed,
        version=turn.version,
        models=tuple(model_choices(turn.version)),
        question=turn.input_item,
        past=tuple(past_turns(ids)),
        summary=latest_summary(ids) if ids else None,
        produced=tuple(item.payload for item in own),
        passages=tuple(restore(turn.passages)) if turn.passages else None,
        next_step=max(steps, default=-1) + 1,
    )
