"""The files of an assistant's own: a store that all of its versions search and that its editors look after."""

from django.db import transaction

from chat.models import Assistant
from core.models import Grant
from core.models.grants import Role
from retrieval import services as documents
from retrieval.models import VectorStore


@transaction.atomic
def own_store(*, assistant: Assistant) -> VectorStore:
    """Return the assistant's own store; make it where there is none yet. Raises NoModelError.

    Who may edit the assistant by a grant may edit the store; its owner gets a grant on the store itself.
    """
    locked = Assistant.objects.select_for_update(of=("self",)).select_related("store").get(pk=assistant.pk)
    if locked.store is None or locked.store.deleted_at is not None:
        locked.store = documents.create_assistant_store(name=f"Files of {locked.name}", governor=locked.pk)
        locked.save(update_fields=["store", "updated_at"])
        follow_owner(assistant=locked)
    return locked.store


@transaction.atomic
def follow_owner(*, assistant: Assistant) -> None:
    """Let whoever owns the assistant now, and no former owner, be owner of its store."""
    if assistant.store is None:
        return
    assistant.store.grants.exclude(user=assistant.owner).delete()
    if assistant.owner is not None and not assistant.store.grants.exists():
        Grant.objects.create(target=assistant.store, user=assistant.owner, role=Role.OWNER)
