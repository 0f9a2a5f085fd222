"""What a process needs to run a turn, loaded from rows: the same for a new turn and for one taken over."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import orjson
from django.db.models import Max, Q, QuerySet

from chat.context.continuing import going_on
from chat.context.facts import Recall, restored_left_out, restored_scores
from chat.context.history import strategy_of
from chat.context.passages import NumberedPassage, restore
from chat.context.query import DENSE_TURNS
from chat.errors import LostTurnError
from chat.models import AssistantVersion, Citation, Item, Response, Summary
from chat.providers.items import FunctionCall, open_calls
from chat.selectors.answers import answer_parts, answer_text
from chat.selectors.branches import PastTurn, branch_ids, latest_summary, past_turns
from chat.selectors.memory import Reader, facts_again
from chat.selectors.pictures import AttachedPicture, pictures_of, with_pictures
from chat.selectors.targets import PREPARED_STAMP, ModelChoice, Prepared, prepared
from core import statements
from retrieval.models import VectorStore
from retrieval.search import Filter, besides_conversations, parse_filter

# Responses whose items were saved with them. A turn that was not ended has no cancelled one but its server's doing.
_SAVED = (Response.Status.COMPLETED, Response.Status.INCOMPLETE, Response.Status.CANCELLED)
# Turns that a summary is looked for in; a newer one is made every few turns.
SUMMARY_REACH = 400
# Strategies that a summary stands for what is older.
SUMMARISED = frozenset({AssistantVersion.Strategy.SUMMARY, AssistantVersion.Strategy.HYBRID})


@dataclass(frozen=True, slots=True)
class Claimed:
    """A turn that this process owns under an epoch."""

    turn: uuid.UUID
    epoch: int
    conversation: uuid.UUID
    user: uuid.UUID


@dataclass(frozen=True, slots=True)
class Question:
    """What the person wrote, and the item as the API has it."""

    text: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed turn with everything its steps are made from.

    `produced` holds the items that earlier steps of this turn saved, behind those of the answer that it continues;
    `shown` is what people see of them. `cited` are the citations of the answer that it continues, by number.
    `open_calls` are those calls among them that have no output yet, `next_step` is the number of the step to do. (A
    last answer is stored together with the turn's end.) `depth` is how many turns are before it on its branch, `past`
    those of them that its strategy or the search can use, `summarised` how many of them `summary` covers.
    `passages` and `recall` are None where they were not looked up yet. `pictures` are those that the question and
    `past` refer to, by reference.
    """

    claimed: Claimed
    version: AssistantVersion
    models: tuple[ModelChoice, ...]
    question: Question
    pictures: Mapping[str, AttachedPicture]
    depth: int
    past: tuple[PastTurn, ...]
    summary: Summary | None
    summarised: int
    produced: tuple[dict[str, object], ...]
    shown: str
    cited: Mapping[int, uuid.UUID]
    passages: tuple[NumberedPassage, ...] | None
    recall: Recall | None
    retrieval: dict[str, Any]
    open_calls: tuple[FunctionCall, ...]
    next_step: int

    @property
    def reader(self) -> Reader:
        return Reader(self.version.pk, self.claimed.conversation)

    @property
    def scope(self) -> QuerySet[VectorStore]:
        return turn_scope(self.version, self.claimed.conversation, self.claimed.user)

    @property
    def wanted(self) -> Filter | None:
        """Which documents of its scope the turn may draw on; None is all. A conversation's own files always count."""
        chosen = self.version.retrieval_parameters.get("filter")
        return besides_conversations(parse_filter(chosen)) if chosen else None


def turn_scope(version: AssistantVersion, conversation: uuid.UUID, user: uuid.UUID) -> QuerySet[VectorStore]:
    """The stores that a turn may search: the assistant's own, those of its version, and the conversation's own files.

    Access to the assistant is what allows the first two, so it is asked when the turn is made; being the conversation's
    person allows the last.
    """
    return VectorStore.objects.filter(
        Q(assistant_versions=version)
        | Q(assistant=version.assistant_id)
        | Q(conversation=conversation, conversation__user=user)
    ).distinct()


_CLAIMED = f"""
SELECT turn.parent_id, turn.depth, turn.passages, turn.facts, turn.retrieval, turn.version_id, turn.continues_id,
    asked.text, asked.payload, conversation.store_id IS NOT NULL, {PREPARED_STAMP}
FROM chat_turn turn
JOIN chat_item asked ON asked.id = turn.input_item_id
JOIN chat_conversation conversation ON conversation.id = turn.conversation_id
WHERE turn.id = %(turn)s AND turn.epoch = %(epoch)s AND turn.status = 'in_progress'
"""  # noqa: S608 - both parts are ours


def load_job(claimed: Claimed) -> Job:
    """Load a claimed turn; raises `LostTurnError` where it is not ours any more."""
    row = statements.row(_CLAIMED, {"turn": claimed.turn, "epoch": claimed.epoch})
    if row is None:
        raise LostTurnError("The turn is not ours.")
    parent, depth, passages, facts, retrieval, version, continues, text, payload, has_files, stamp = row
    ready = prepared(version, stamp)
    past, summary, after = _history(ready, parent)
    pictures = pictures_of([claimed.turn, *(turn.id for turn in past)]) if has_files else {}
    # who takes a turn first finds it as it was asked
    saved, next_step = _earlier(claimed.turn) if claimed.epoch > 1 else ([], 0)
    produced = tuple(item.payload for item in saved)
    earlier = answer_parts(claimed.turn) if continues else []
    references = orjson.loads(passages)
    return Job(
        claimed=claimed,
        version=ready.version,
        models=ready.models,
        question=Question(text, with_pictures(orjson.loads(payload), pictures.get(claimed.turn, ()))),
        pictures={picture.reference: picture for attached in pictures.values() for picture in attached},
        depth=depth,
        past=tuple(_illustrated(turn, pictures.get(turn.id, ())) for turn in past),
        summary=summary,
        summarised=depth - after if summary else 0,
        produced=(*going_on(earlier), *produced) if earlier else produced,
        shown=_shown(earlier, saved),
        cited=_cited(earlier) if earlier else {},
        open_calls=open_calls(produced),
        passages=tuple(restore(references)) if references else None,
        recall=_recalled(facts, Reader(version, claimed.conversation)),
        retrieval=orjson.loads(retrieval) if retrieval else {},
        next_step=next_step,
    )


def _history(ready: Prepared, parent: uuid.UUID | None) -> tuple[tuple[PastTurn, ...], Summary | None, int]:
    """The turns before this one that can be of use, the summary, and how many turns came after what it covers."""
    if parent is None:
        return (), None, 0
    window = max(choice.row.context_window for choice in ready.models)
    reach = max(strategy_of(ready.version).reach(window), DENSE_TURNS - 1)
    has_summary = ready.version.strategy in SUMMARISED
    ids = branch_ids(parent, limit=max(reach, SUMMARY_REACH) if has_summary else reach)
    summary = latest_summary(ids) if has_summary else None
    after = len(ids) - 1 - ids.index(summary.turn_id) if summary else 0
    return tuple(past_turns(ids[-reach:])), summary, after


def _illustrated(turn: PastTurn, pictures: Sequence[AttachedPicture]) -> PastTurn:
    if not pictures or not turn.items or turn.items[0].get("role") != Item.Role.USER:
        return turn
    return replace(turn, items=(with_pictures(turn.items[0], pictures), *turn.items[1:]))


def _recalled(stored: str | None, reader: Reader) -> Recall | None:
    """What the turn has looked up of facts already, but for those that were deleted since; None where it has not."""
    if stored is None:
        return None
    found = orjson.loads(stored)
    return Recall(facts_again(reader, restored_scores(found)), restored_left_out(found))


def _shown(earlier: Sequence[Sequence[Item]], saved: Sequence[Item]) -> str:
    """The answer so far; what a step adds to saved ones stands apart, what continues an answer does not."""
    own = answer_text([saved])
    return answer_text(earlier) + (f"{own}\n\n" if own else "")


def _cited(earlier: Sequence[Sequence[Item]]) -> dict[int, uuid.UUID]:
    """The citations of these parts of an answer; where several have the same number, that of the first."""
    order = {item.pk: place for place, item in enumerate(chain.from_iterable(earlier))}
    rows = Citation.objects.filter(item__in=order).values_list("item_id", "number", "id")
    return {number: citation for _item, number, citation in sorted(rows, key=lambda row: order[row[0]], reverse=True)}


def _earlier(turn: uuid.UUID) -> tuple[list[Item], int]:
    """The items that former owners of the turn saved, and the number of the step that follows them."""
    items = Item.objects.filter(turn=turn).exclude(role=Item.Role.USER).order_by("position")
    last = Response.objects.filter(turn=turn, status__in=_SAVED).aggregate(last=Max("step"))["last"]
    return list(items), 0 if last is None else last + 1
