"""What people do with what is remembered of them: put a fact into their words, delete, switch memory off.

Each is one transaction, and takes its turn with the worker that learns facts. The facts of somebody else answer like
missing ones, whoever asks.
"""

import uuid

from django.db import transaction
from django.utils import timezone

from chat.models import Assistant, Fact, FactReading, Item, MemoryOff
from chat.selectors.facts import assistants_with_memory
from chat.selectors.memory import current_facts
from chat.services.facts.keeping import take_turn
from chat.turns.afterwards import EMBED_FACTS
from core import outbox
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.models import User

MAX_FACT_CHARS = 1000
# Why a message is not read: everything was deleted after it was sent.
FORGOTTEN = "forgotten"


class FactChangedError(ConflictError):
    """The fact was changed since the person saw it. `text` is what it says now."""

    code = "fact_changed"

    def __init__(self, text: str) -> None:
        super().__init__(f"This fact was changed meanwhile, to “{text}”. Save again to replace that.")
        self.text = text


def edit_fact(*, user: User, fact_id: uuid.UUID, text: str, seen: str) -> None:
    """Put a fact into the person's own words; `seen` is what they read before they wrote.

    Raises InvalidInputError for words that cannot be taken, FactChangedError where the fact says neither what was seen
    nor these words, and NotFoundError where it is gone, also because a newer one took its place.
    """
    words = _checked(text)
    with transaction.atomic():
        fact = _locked(user, fact_id)
        if fact.text == words:
            return
        if _one_line(fact.text) != _one_line(seen):
            raise FactChangedError(fact.text)
        fact.text, fact.edited_at = words, timezone.now()
        # the vector is that of the old words
        fact.embedding = fact.embedding_model = None
        fact.save(update_fields=["text", "edited_at", "embedding", "embedding_model", "updated_at"])
        outbox.enqueue(kind=EMBED_FACTS, subject=user.pk, owner=user)


@transaction.atomic
def delete_fact(*, user: User, fact_id: uuid.UUID) -> None:
    """Delete a fact, and with it those that it had replaced. Of two at once, the second finds nothing."""
    _locked(user, fact_id).delete()


@transaction.atomic
def delete_facts(*, user: User, assistant_id: uuid.UUID) -> int:
    """Delete everything that this assistant keeps of the person; returns how many facts that were, replaced ones apart.

    What was said to it so far is not read for facts any more, also where a worker is about to.
    """
    take_turn(user.pk, assistant_id)
    count = current_facts(user).filter(assistant=assistant_id).count()
    Fact.objects.filter(user=user, assistant=assistant_id).delete()
    own = {"conversation__user": user, "conversation__assistant": assistant_id, "role": Item.Role.USER}
    unread = Item.objects.filter(**own, fact_reading=None).values_list("pk", flat=True)
    readings = [FactReading(item_id=item, code=FORGOTTEN) for item in unread]
    FactReading.objects.bulk_create(readings, batch_size=1000, ignore_conflicts=True)
    return count


@transaction.atomic
def switch_memory(*, user: User, assistant_id: uuid.UUID, on: bool) -> None:
    """Let an assistant remember things about the person, or read and write nothing from the next turn on.

    Raises NotFoundError for an assistant that neither remembers for this person nor keeps anything of them.
    """
    # what a worker is just writing is written before it is off, or not at all
    take_turn(user.pk, assistant_id)
    kept = current_facts(user).filter(assistant=assistant_id).values_list("assistant", flat=True)
    if not assistants_with_memory(user, kept[:1]).filter(id=assistant_id).exists():
        raise NotFoundError("There is no such assistant.")
    if on:
        MemoryOff.objects.filter(user=user, assistant=assistant_id).delete()
    else:
        MemoryOff.objects.get_or_create(user=user, assistant=Assistant(id=assistant_id))


def _checked(text: str) -> str:
    words = _one_line(text)
    if not words:
        raise InvalidInputError("Write what should be remembered, or delete the fact.")
    if len(words) > MAX_FACT_CHARS:
        raise InvalidInputError(f"A fact takes at most {MAX_FACT_CHARS:,} characters.")
    return words


def _one_line(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())


def _locked(user: User, fact_id: uuid.UUID) -> Fact:
    """A current fact of this person, which nothing else changes until the transaction ends."""
    known = current_facts(user).filter(id=fact_id)
    if assistant := known.values_list("assistant", flat=True).first():
        take_turn(user.pk, assistant)
    fact = known.select_for_update(of=("self",)).first()
    if fact is None:
        raise NotFoundError("This fact is gone: it was deleted, or a newer one took its place.")
    return fact
