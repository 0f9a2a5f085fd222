"""The chat's background work."""

from chat.services.summaries import summarise
from chat.turns.recorder import SUMMARISE
from core import outbox


def _summarise(claim: outbox.Claim) -> None:
    summarise(claim.subject)


outbox.register(SUMMARISE, _summarise)
