"""Learns facts from one message, after its turn: reads it once, checks what comes, and keeps it.

By a worker, never in a turn's way. A message is read once, so what a person deletes does not come back from it.
"""

import logging
import uuid

from django.db import transaction

from chat.context.facts import one_line
from chat.models import BackgroundCall, Fact, FactReading, Item, Turn
from chat.selectors.branches import past_turns
from chat.selectors.memory import Reader, RecalledFact, nearest_facts, remembers
from chat.services.asking import utility_model
from chat.services.facts.keeping import Learnt, keep, take_turn
from chat.services.facts.reading import Message, NotedFact, read_message
from chat.services.facts.vectors import present_model
from chat.services.facts.words import MAX_CHARS, is_founded, is_secret, own_words
from chat.services.summary_writing import bounded
from chat.turns.costs import Occasion
from core.models import EndpointModel
from retrieval.ingestion.embedding import embed_texts

logger = logging.getLogger(__name__)

# Known facts that the model gets to see: those nearest to the message.
NEAR_FACTS = 10
# Tokens of the message that they are looked for with.
QUERY_TOKENS = 500

UNREADABLE = "unreadable"


def learn_facts(turn_id: uuid.UUID) -> list[Fact]:
    """Keep what the message of this turn says of its person; returns the new facts.

    Nothing where memory is off, the message was read before, or the version has no model to ask. Raises ParleyError
    where a server is the reason that nothing was learnt; the message then counts as not read.
    """
    turn = _turn(turn_id)
    if turn is None or turn.input_item is None or not _may_read(turn):
        return []
    choice = utility_model(turn.version)
    if choice is None:
        return []
    model, words = present_model(), own_words(turn.input_item.text)
    if not words:
        return _close(turn, [], model)
    known = _known(turn, words, model)
    occasion = Occasion.of(turn.conversation, BackgroundCall.Purpose.FACTS)
    noted = read_message(Message(words, _before(turn), known), choice, occasion)
    if noted is None:
        logger.warning("Nothing was learnt from the message of turn %s (%s)", turn.pk, UNREADABLE)
        return _close(turn, [], model, code=UNREADABLE)
    return _close(turn, _learnt(noted, words, known, model), model)


def _turn(turn_id: uuid.UUID) -> Turn | None:
    related = ("conversation", "input_item", "version__model__endpoint", "version__utility_model__endpoint")
    return Turn.objects.select_related(*related).filter(id=turn_id, withdrawn_at=None).first()


def _may_read(turn: Turn) -> bool:
    unread = not FactReading.objects.filter(item=turn.input_item_id).exists()
    return unread and remembers(version=turn.version_id, conversation=turn.conversation_id)


def _known(turn: Turn, words: str, model: EndpointModel) -> tuple[RecalledFact, ...]:
    (vector,) = embed_texts(model, [bounded(words, QUERY_TOKENS)])
    reader = Reader(turn.version_id, turn.conversation_id)
    return nearest_facts(reader, model=model.pk, vector=vector, floor=-1.0, limit=NEAR_FACTS)[0]


def _before(turn: Turn) -> str:
    """What the assistant had said when the message was written."""
    former = past_turns([turn.parent_id]) if turn.parent_id else []
    return former[0].answer_text if former else ""


def _learnt(noted: list[NotedFact], words: str, known: tuple[RecalledFact, ...], model: EndpointModel) -> list[Learnt]:
    """What of it may be kept."""
    facts = [fact for fact in noted if _is_fit(fact, words)]
    if not facts:
        return []
    texts = [one_line(fact.text) for fact in facts]
    return [
        Learnt(text, fact.scope == "conversation", _replaced(fact.replaces, known), vector)
        for fact, text, vector in zip(facts, texts, embed_texts(model, texts), strict=True)
    ]


def _is_fit(fact: NotedFact, words: str) -> bool:
    text = one_line(fact.text)
    fit = len(text) <= MAX_CHARS and not is_secret(f"{text}\n{fact.quote}") and is_founded(text, fact.quote, words)
    if not fit:
        # its words belong into the database or nowhere
        logger.info("A fact was thrown away: too long, a secret, or not what the message says")
    return fit


def _replaced(number: int, known: tuple[RecalledFact, ...]) -> uuid.UUID | None:
    return known[number - 1].id if 1 <= number <= len(known) else None


@transaction.atomic
def _close(turn: Turn, learnt: list[Learnt], model: EndpointModel, *, code: str = "") -> list[Fact]:
    """Mark the message as read, and keep what was learnt: both or neither, and only where it is still wanted."""
    conversation = turn.conversation
    take_turn(conversation.user_id, conversation.assistant_id)
    # locked, so that the message does not go while facts are made of it
    message = Item.objects.select_for_update(of=("self",), no_key=True).filter(answered_by=turn).first()
    if message is None or not _may_read(turn):
        return []
    FactReading.objects.create(item=message, code=code)
    return keep(turn, learnt, model)
