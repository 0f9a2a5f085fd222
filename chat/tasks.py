"""The chat's background work."""

import logging
import uuid

from chat.services.probing import probe_endpoint
from chat.services.summaries import summarise, summary_failed
from chat.services.titles import make_title
from chat.turns.afterwards import SUMMARISE, TITLE
from core import outbox
from core.errors import ParleyError
from core.probing import PROBE

logger = logging.getLogger(__name__)

ATTEMPTS = 3


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


def _probe(claim: outbox.Claim) -> None:
    probe_endpoint(claim.subject)


outbox.register(SUMMARISE, _summarise, on_exhausted=_no_worker_ends, max_attempts=ATTEMPTS)
outbox.register(TITLE, _title, on_exhausted=_keep_first_words, max_attempts=ATTEMPTS)
outbox.register(PROBE, _probe)
