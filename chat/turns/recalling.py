"""Looks up what is remembered of the person for a turn's question. Nothing here stops a turn: it goes on without."""

import asyncio
import logging
import uuid
from dataclasses import replace

import orjson

from chat.context.facts import NOTHING, LeftOut, Recall, reads_facts, wanted_by
from chat.errors import LostTurnError
from chat.selectors.memory import facts_again, nearest_facts, readable_counts
from chat.turns.afterwards import EMBED_FACTS
from chat.turns.job import Claimed, Job
from core import outbox, statements
from core.bridge import in_database
from core.endpoints import NoModelError, default_model
from core.models import EndpointModel
from retrieval.embeddings import Vectors
from retrieval.errors import EmbeddingError
from retrieval.search import QueryVectors

logger = logging.getLogger(__name__)

# Seconds that an embeddings server may take over a question. Passages wait longer: without them there is no answer.
PATIENCE = 4.0

NOT_EMBEDDED = "not embedded with the present model yet"
BELOW_FLOOR = "too far from the question"
BEYOND_COUNT = "more than the version asks for"
NO_VECTOR = "the question has no vector"
FAILED = "the embeddings server failed"
NO_ANSWER = "the embeddings server gave no answer in time"

_SAVE = """
UPDATE chat_turn SET facts = %(facts)s::jsonb
WHERE id = %(turn)s AND epoch = %(epoch)s AND status = 'in_progress'
"""

# What another turn of the person marks at this moment needs no second mark.
_USED = """
UPDATE chat_fact SET used_at = now()
WHERE id IN (SELECT id FROM chat_fact WHERE id = ANY(%(facts)s) FOR NO KEY UPDATE SKIP LOCKED)
"""


async def recall(job: Job, vectors: QueryVectors) -> Recall:
    """Find the facts nearest to the question, and keep on the turn what was found and what was not, and why.

    Raises `LostTurnError` where the turn is not ours any more.
    """
    if not reads_facts(job.version):
        return NOTHING
    known = await in_database(readable_counts, job.reader)
    found = await _look_up(job, vectors, known) if known else NOTHING
    await in_database(save_recall, job.claimed, found)
    return found


async def still_known(job: Job, found: Recall) -> Recall:
    """What was found without what the person has deleted since: a later step must not carry it."""
    if not found.facts:
        return found
    scores = {fact.id: fact.score for fact in found.facts}
    return replace(found, facts=await in_database(facts_again, job.reader, scores))


async def _look_up(job: Job, vectors: QueryVectors, known: dict[uuid.UUID | None, int]) -> Recall:
    total = sum(known.values())
    try:
        model = await in_database(_present_model)
        async with asyncio.timeout(PATIENCE):
            vector = await vectors.under(model)
    except NoModelError as error:
        return _without(total, error.message, error.code)
    except EmbeddingError as error:
        # its sentence may hold the server's, which is for administrators
        return _without(total, FAILED, error.code)
    except TimeoutError:
        return _without(total, NO_ANSWER, "timeout")
    if vector is None:
        return Recall(left_out=(LeftOut(total, NO_VECTOR),))
    comparable = known.get(model.pk, 0)
    if comparable < total:
        await in_database(_ask_for_vectors, job.claimed.user)
    found = await in_database(_nearest, job, model, vector, comparable) if comparable else NOTHING
    behind = LeftOut(total - comparable, NOT_EMBEDDED)
    return Recall(found.facts, tuple(one for one in (behind, *found.left_out) if one.count))


def _without(total: int, why: str, code: str) -> Recall:
    logger.warning("A turn goes on without facts (%s)", code)
    return Recall(left_out=(LeftOut(total, why),))


def _present_model() -> EndpointModel:
    return default_model(EndpointModel.Purpose.EMBEDDING)


def _nearest(job: Job, model: EndpointModel, vector: Vectors, comparable: int) -> Recall:
    wanted = wanted_by(job.version)
    facts, near = nearest_facts(job.reader, model=model.pk, vector=vector, floor=wanted.floor, limit=wanted.count)
    left_out = (LeftOut(comparable - near, BELOW_FLOOR), LeftOut(near - len(facts), BEYOND_COUNT))
    return Recall(facts, tuple(one for one in left_out if one.count > 0))


def _ask_for_vectors(user: uuid.UUID) -> None:
    outbox.enqueue(kind=EMBED_FACTS, subject=user, owner=user)


def save_recall(claimed: Claimed, found: Recall) -> None:
    """Store what was found, so that a takeover sends the same facts. Raises `LostTurnError`."""
    values = {"turn": claimed.turn, "epoch": claimed.epoch, "facts": orjson.dumps(found.stored()).decode()}
    if not statements.execute(_SAVE, values):
        raise LostTurnError("The turn was taken over.")
    if found.facts:
        statements.execute(_USED, {"facts": [fact.id for fact in found.facts]})
