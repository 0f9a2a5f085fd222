"""What this room uses vector stores for: said before one is deleted."""

from chat.models import Assistant, Attachment
from core.models import User
from retrieval.models import VectorStore

# Assistants that are named; the rest is a number.
NAMED = 5


def uses(store: VectorStore, user: User) -> list[str]:
    """Sentences about assistants and conversations, without the names of assistants that `user` may not know."""
    searching = Assistant.objects.filter(archived_at=None, versions__stores=store).distinct()
    known = list(searching.visible_to(user).values_list("name", flat=True)[:NAMED])
    number = searching.count()
    attached = Attachment.objects.filter(document__store=store)
    conversations = attached.order_by().values("item__conversation").distinct().count()
    told = []
    if number:
        names = f" ({', '.join(known)}{' and others' if number > len(known) else ''})" if known else ""
        told.append(f"{_many(number, 'assistant searches', 'assistants search')} it{names}, and will not any more.")
    if conversations:
        told.append(f"{_many(conversations, 'conversation has', 'conversations have')} documents of it attached.")
    return told


def _many(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
