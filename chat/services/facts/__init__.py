"""Facts about people: learnt by a worker from what they say, kept once, embedded, and replaced by newer ones."""

from chat.services.facts.learning import learn_facts
from chat.services.facts.vectors import embed_facts

__all__ = ["embed_facts", "learn_facts"]
