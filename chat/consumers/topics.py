"""What a socket can subscribe to, who may, and the frames that rows become."""

import uuid
from dataclasses import dataclass

from django.template.loader import render_to_string

from chat.models import Conversation, Turn
from chat.realtime import hints
from chat.rendering.pages import conversation_entry
from chat.rendering.protocol import ConversationChanged, ConversationMemory, DocumentChanged, ReindexingChanged
from core import statements
from core.errors import InvalidInputError, NotFoundError
from core.models import User
from retrieval.models import Document, Reindexing, VectorStore
from retrieval.realtime import store_group
from retrieval.selectors import document_view, last_reindexing

# Documents of a topic that are sent when it is subscribed to.
MAX_DOCUMENTS = 100
ON_THEIR_WAY = frozenset(set(Document.State.values) - {Document.State.READY, Document.State.FAILED})
# What a store that was indexed anew stays in.
INDEXED = frozenset({Reindexing.State.DONE, Reindexing.State.CANCELLED})


_ENTRY = """
SELECT
    title, last_turn_at,
    EXISTS (SELECT FROM chat_turn WHERE conversation_id = %(conversation)s AND status <> ALL(%(final)s))
FROM chat_conversation
WHERE id = %(conversation)s AND user_id = %(user)s AND deleted_at IS NULL
"""


_OWN = "SELECT id FROM chat_conversation WHERE id = ANY(%(ids)s) AND user_id = %(user)s AND deleted_at IS NULL"


@dataclass(frozen=True, slots=True)
class Topic:
    """`conversation` and `library` (a vector store) have an id, `feed` has none."""

    kind: str
    id: uuid.UUID | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


def parse(name: str) -> Topic:
    """Raises InvalidInputError for what is no topic."""
    kind, _, identity = name.partition(":")
    if kind == "feed" and not identity:
        return Topic(kind)
    if kind in {"conversation", "library"}:
        try:
            return Topic(kind, uuid.UUID(identity))
        except ValueError:
            pass
    raise InvalidInputError(f"There is no topic {name!r}.")


def _is_allowed(user: User, topic: Topic) -> bool:
    if topic.id is None:
        return topic.kind == "feed"
    if topic.kind == "conversation":
        return Conversation.objects.live().filter(id=topic.id, user=user).exists()
    return VectorStore.objects.visible_to(user).filter(id=topic.id).exists()


def authorise(user: User, topic: Topic) -> None:
    """Ask the database; raises NotFoundError for what is foreign or missing alike."""
    if not _is_allowed(user, topic):
        raise NotFoundError("There is no such topic.")


def refused(user: User, topics: list[Topic]) -> list[str]:
    """Return the names of the topics that this person may not watch any more."""
    conversations = [topic.id for topic in topics if topic.kind == "conversation"]
    own = {row[0] for row in statements.rows(_OWN, {"user": user.pk, "ids": conversations})} if conversations else set()
    return [
        topic.name
        for topic in topics
        if not (topic.id in own if topic.kind == "conversation" else _is_allowed(user, topic))
    ]


def groups(user: User, topic: Topic) -> list[str]:
    """Return the channel groups whose hints concern this topic."""
    if topic.id is None:
        return [hints.feed_group(user.pk)]
    if topic.kind == "library":
        return [store_group(topic.id)]
    store = Conversation.objects.filter(id=topic.id).values_list("store", flat=True).first()
    return [hints.conversation_group(topic.id)] + ([store_group(store)] if store else [])


def document_frame(user: User, document_id: uuid.UUID) -> DocumentChanged | None:
    """Return the frame of a document that this person may see, else None."""
    document = Document.objects.visible_to(user).live().select_related("file__picture").filter(id=document_id).first()
    return _document_frame(document) if document else None


def document_frames(user: User, topic: Topic) -> list[DocumentChanged]:
    """Return the frames of the documents of a topic that are still on their way."""
    store = topic.id
    if topic.kind == "conversation" and topic.id is not None:
        store = Conversation.objects.filter(id=topic.id, user=user).values_list("store", flat=True).first()
    if store is None:
        return []
    unfinished = Document.objects.visible_to(user).live().filter(store=store).select_related("file__picture")
    return [_document_frame(document) for document in unfinished.order_by("-created_at")[:MAX_DOCUMENTS]]


def _document_frame(document: Document) -> DocumentChanged:
    view = document_view(document)
    return {
        "type": "document.changed",
        "document": str(document.pk),
        "store": str(document.store_id),
        "state": document.state,
        "html": render_to_string("retrieval/_partials/document.html", {"document": view}),
    }


def reindexing_frame(user: User, store_id: uuid.UUID) -> ReindexingChanged | None:
    """Return how far a store that this person may see is on its way to another index; None where it never was."""
    last = last_reindexing(user, store_id)
    if last is None:
        return None
    html = render_to_string("retrieval/_partials/reindexing.html", {"last": last})
    return {"type": "reindexing.changed", "store": str(store_id), "state": last.state, "html": html}


def conversation_frame(user: User, conversation_id: uuid.UUID) -> ConversationChanged | None:
    values = {"conversation": conversation_id, "user": user.pk, "final": list(Turn.FINAL)}
    row = statements.row(_ENTRY, values)
    if row is None:
        return None
    title, last_turn_at, running = row
    conversation = Conversation(id=conversation_id, title=title, last_turn_at=last_turn_at)
    entry = conversation_entry(conversation, running=running)
    html = render_to_string("chat/_partials/conversation_entry.html", {"entry": entry})
    return {"type": "conversation.changed", "conversation": str(conversation_id), "html": html}


def memory_frame(user: User, conversation_id: uuid.UUID) -> ConversationMemory | None:
    """Return whether a conversation of this person uses memory, as a frame; None where there is no such one."""
    own = Conversation.objects.live().filter(id=conversation_id, user=user).values_list("uses_memory", flat=True)
    uses = own.first()
    if uses is None:
        return None
    return {"type": "conversation.memory", "conversation": str(conversation_id), "uses_memory": uses}
