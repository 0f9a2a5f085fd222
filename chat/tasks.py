"""The chat's background work."""

import logging
import uuid

from chat.services.facts import embed_facts, learn_facts
from chat.services.probing import probe_endpoint
from chat.services.summaries import summarise, summary_failed
from chat.services.titles import make_title
from chat.turns.afterwards import EMBED_FACTS, LEARN_FACTS, SUMMARISE, TITLE
from core import outbox
from core.errors import ParleyError
from core.probing import PROBE

logger = logging.getLogger(__name__)

ATTEMPTS = 3
# Where a server that is away for a minute is waited for.
PATIENT_ATTEMPTS = 6


def _summarise(claim: outbox.Claim) -> None:
    try:
        summarise(claim.subject)
    except ParleyError as error:
        if error.retryable and claim.attempt < ATTEMPTS:
            raise
        summary_failed(claim.subject, error)


def _no_worker_ends(turn: uuid.UUID) -> None:
    summary_failed(turn, None)


def _title(claim: outbox.Claim) -> None:
    try:
        make_title(claim.subject)
    except ParleyError as error:
        if error.retryable and claim.attempt < ATTEMPTS:
            raise
        logger.warning("Conversation %s keeps its first words as title (%s)", claim.subject, error.code)


def _keep_first_words(conversation: uuid.UUID) -> None:
    logger.warning("Conversation %s keeps its first words as title: the workers ended", conversation)


def _learn_facts(claim: outbox.Claim) -> None:
    try:
        learn_facts(claim.subject)
    except ParleyError as error:
        if error.retryable and claim.attempt < PATIENT_ATTEMPTS:
            raise
        logger.warning("Nothing was learnt from the message of turn %s (%s)", claim.subject, error.code)


def _learn_nothing(turn: uuid.UUID) -> None:
    logger.warning("Nothing was learnt from the message of turn %s: the workers ended", turn)


def _embed_facts(claim: outbox.Claim) -> None:
    try:
        embed_facts(claim.subject)
    except ParleyError as error:
        if error.retryable and claim.attempt < PATIENT_ATTEMPTS:
            raise
        # the next turn that misses them asks again
        logger.warning("Facts of %s stay without vectors (%s)", claim.subject, error.code)


def _leave_without_vectors(user: uuid.UUID) -> None:
    logger.warning("Facts of %s stay without vectors: the workers ended", user)


def _probe(claim: outbox.Claim) -> None:
    probe_endpoint(claim.subject)


outbox.register(SUMMARISE, _summarise, on_exhausted=_no_worker_ends, max_attempts=ATTEMPTS)
outbox.register(TITLE, _title, on_exhausted=_keep_first_words, max_attempts=ATTEMPTS)
outbox.register(LEARN_FACTS, _learn_facts, on_exhausted=_learn_nothing, max_attempts=PATIENT_ATTEMPTS)
outbox.register(EMBED_FACTS, _embed_facts, on_exhausted=_leave_without_vectors, max_attempts=PATIENT_ATTEMPTS)
outbox.register(PROBE, _probe)
