"""The rolling summary of a branch: made by a worker after a turn, never in its way.

What has left the near half of the window is folded into the summary before it, by the version's utility model. A
summary belongs to the turn it reaches, so that a branch that leaves before it falls back to an older one. One that
failed, was refused or says what was never said (`chat.services.grounding`) leaves the old one; `SummaryFailure` and the
log say why. The ceiling of requests holds without any.
"""

import logging
import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from chat.context.history import SummaryAndWindow, strategy_of
from chat.context.tokens import items_tokens, text_tokens
from chat.errors import clean_reason
from chat.models import Conversation, Summary, SummaryFailure, Turn
from chat.selectors.branches import PastTurn, branch_ids, latest_summary, past_turns
from chat.selectors.targets import ModelChoice
from chat.services.asking import utility_model
from chat.services.summary_writing import Written, read_limit, transcript, write_summary
from chat.turns.afterwards import SUMMARISE
from core import outbox
from core.errors import ParleyError

logger = logging.getLogger(__name__)

# Turns beyond the near half of the window before they are worth a call, where the window can hold so many.
MIN_TURNS = 4
MAX_TURNS = 400
# Turns after a failure before the next try: a model that cannot do it would be asked at every turn.
WAIT_TURNS = 3

SUSPECT = "summary_suspect"
EXHAUSTED = "summary_worker_ended"


@dataclass(frozen=True, slots=True)
class _Task:
    """What to fold into `former`; `more` says that there is more than one call can read."""

    turn: Turn
    former: Summary | None
    turns: list[PastTurn]
    more: bool


def summarise(turn_id: uuid.UUID) -> Summary | None:
    """Extend the summary of the branch that ends in this turn, where enough has gone by; returns the new one.

    Raises ParleyError when there is none for a reason of the model or its server: for the caller to try again where it
    is retryable, and to tell by `summary_failed` where not.
    """
    turn = _turn(turn_id)
    choice = utility_model(turn.version) if turn is not None else None
    task = _task(turn, choice) if turn is not None and choice is not None else None
    if task is None or choice is None:
        return None
    former = task.former.text if task.former else ""
    written = write_summary(choice, former=former, turns=task.turns, conversation=task.turn.conversation)
    return _store(task, written, choice)


def summary_failed(turn_id: uuid.UUID, error: ParleyError | None) -> None:
    """Say in the log and on the conversation's page in the admin that a summary was not made; the old one stays.

    Without an `error` the workers that had it ended.
    """
    turn = Turn.objects.filter(id=turn_id).first()
    code = error.code if error else EXHAUSTED
    message = error.message if error else "The workers that were to write it ended."
    with transaction.atomic():
        if turn is not None and _live(turn.conversation_id):
            _tell(turn, code=code, message=message)


def _turn(turn_id: uuid.UUID) -> Turn | None:
    related = ("conversation", "version__model__endpoint", "version__utility_model__endpoint")
    return Turn.objects.select_related(*related).filter(id=turn_id, conversation__deleted_at=None).first()


def _task(turn: Turn, choice: ModelChoice) -> _Task | None:
    """What there is to summarise on the branch that ends in this turn; None while it is too little."""
    strategy = strategy_of(turn.version)
    if not isinstance(strategy, SummaryAndWindow):
        return None
    ids = branch_ids(turn.id, limit=MAX_TURNS)
    former = latest_summary(ids)
    start = ids.index(former.turn_id) + 1 if former else 0
    if _failed_lately(ids[start:]):
        return None
    gone = _gone_by(past_turns(ids[start:]), strategy)
    chosen = _readable(gone, choice)
    return _Task(turn, former, chosen, more=len(chosen) < len(gone)) if chosen else None


def _failed_lately(ids: list[uuid.UUID]) -> bool:
    return SummaryFailure.objects.filter(turn__in=ids[-WAIT_TURNS:]).exists()


def _gone_by(turns: list[PastTurn], strategy: SummaryAndWindow) -> list[PastTurn]:
    """The oldest turns beyond the near half of the window; none while they are few and the window still holds all."""
    near, tokens, all_tokens = 0, 0, 0
    counting = True
    for turn in reversed(turns):
        cost = items_tokens(turn.items)
        all_tokens += cost
        counting = counting and near < strategy.turns // 2 and tokens + cost <= strategy.tokens // 2
        if counting:
            near, tokens = near + 1, tokens + cost
    gone = turns[: len(turns) - near]
    enough = min(MIN_TURNS, strategy.turns - strategy.turns // 2)
    return gone if len(gone) >= enough or all_tokens > strategy.tokens else []


def _readable(turns: list[PastTurn], choice: ModelChoice) -> list[PastTurn]:
    """As many of the oldest as one call reads; one at least, whose texts are then cut."""
    limit, read = read_limit(choice), 0
    for count, turn in enumerate(turns):
        read += text_tokens(transcript(turn.user_text, turn.answer_text))
        if count and read > limit:
            return turns[:count]
    return turns


def _store(task: _Task, written: Written, choice: ModelChoice) -> Summary | None:
    values = {
        "conversation_id": task.turn.conversation_id,
        "turn_id": task.turns[-1].id,
        "previous": task.former,
        "text": written.text,
        "tokens": text_tokens(written.text),
        "model": choice.row,
    }
    try:
        with transaction.atomic():
            if not _live(task.turn.conversation_id) or _changed(task.turns):
                return None
            summary = Summary.objects.create(**values, suspect=bool(written.unfounded))
            if written.unfounded:
                words = ", ".join(map(str, written.unfounded[:10]))
                _tell(task.turn, code=SUSPECT, message=f"Nothing that it summarises says {words}.")
                return None
            if task.more:
                owner = task.turn.conversation.user_id
                outbox.enqueue(kind=SUMMARISE, subject=task.turn.id, owner=owner)
    except IntegrityError:
        logger.info("The summary up to turn %s was made elsewhere", task.turns[-1].id)
        return None
    return summary


def _changed(turns: list[PastTurn]) -> bool:
    """Whether something of what was summarised has gone meanwhile."""
    return past_turns(turn.id for turn in turns) != turns


def _live(conversation: uuid.UUID) -> bool:
    """Lock the conversation; one that was deleted meanwhile gets nothing any more."""
    return Conversation.objects.live().select_for_update().filter(id=conversation).exists()


def _tell(turn: Turn, *, code: str, message: str) -> None:
    # the words of a conversation belong into the database, not into the log
    logger.warning("No new summary up to turn %s, the former one stays (%s)", turn.id, code)
    SummaryFailure.objects.create(
        conversation_id=turn.conversation_id, turn=turn, code=code[:50], message=clean_reason(message)
    )
