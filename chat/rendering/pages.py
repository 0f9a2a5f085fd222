"""What the pages around a conversation show: the list of conversations, the assistants to choose from."""

import uuid
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode

from chat.models import Assistant, Conversation, Turn
from chat.rendering.pictures import Sight
from chat.rendering.shapes import COLOURS, AssistantCard, ConversationEntry, TurnView
from chat.rendering.turns import turn_views
from chat.selectors.branches import branch_ids
from chat.selectors.shown import shown_turns
from chat.selectors.targets import chat_model
from core.endpoints import NoModelError, default_model
from core.models import Endpoint, EndpointModel, User

ENTRIES = 30
TURNS = 20
# Turns of a page that leads to an earlier message.
MAX_TURNS = 500


@dataclass(frozen=True, slots=True)
class Entries:
    """A page of the list of conversations; `more_url` leads to the next one, or is None."""

    entries: list[ConversationEntry]
    more_url: str | None


def conversation_entry(
    conversation: Conversation, *, running: bool, current: uuid.UUID | None = None
) -> ConversationEntry:
    return ConversationEntry(
        id=conversation.id,
        title=str(conversation),
        url=conversation.get_absolute_url(),
        running=running,
        updated_at=conversation.last_turn_at,
        current=conversation.id == current,
    )


def conversation_entries(user: User, *, before: str = "", current: uuid.UUID | None = None) -> Entries:
    """Return a page of the person's conversations, the latest first, from the place that `before` names."""
    rows = Conversation.objects.live().filter(user=user, active_turn__isnull=False, archived_at=None)
    running = Turn.objects.filter(conversation=OuterRef("pk")).exclude(status__in=Turn.FINAL)
    if moment := _moment(before):
        rows = rows.filter(last_turn_at__lt=moment)
    found: list[Any] = list(rows.annotate(running=Exists(running)).order_by("-last_turn_at", "id")[: ENTRIES + 1])
    more_url = None
    if len(found) > ENTRIES:
        last = found[ENTRIES - 1].last_turn_at.isoformat()
        more_url = f"{reverse('chat:conversations')}?{urlencode({'before': last})}"
    entries = [conversation_entry(row, running=row.running, current=current) for row in found[:ENTRIES]]
    return Entries(entries, more_url)


def _moment(text: str) -> datetime | None:
    try:
        return parse_datetime(text) if text else None
    except ValueError:
        return None


def assistants_of(user: User) -> QuerySet[Assistant]:
    """The assistants that this person can start a conversation with."""
    assistants: QuerySet[Assistant] = Assistant.objects.usable().visible_to(user)
    return assistants.select_related("published_version__model__endpoint").distinct()


def assistant_card(
    assistant: Assistant, *, off: Collection[uuid.UUID] = (), sight: Sight | None = None
) -> AssistantCard:
    """`off` are the assistants with which the person wants no memory. Without `sight` pictures are not asked about."""
    version = assistant.published_version
    remembers = version is not None and version.remembers
    return AssistantCard(
        id=assistant.id,
        name=assistant.name,
        description=assistant.description,
        starters=tuple(str(starter) for starter in version.starters) if version else (),
        colour=COLOURS[zlib.crc32(assistant.id.bytes) % len(COLOURS)],
        memory=("off" if assistant.id in off else "on") if remembers else "",
        sees_pictures=sight.of(version) if sight and version else True,
    )


@dataclass(frozen=True, slots=True)
class Branch:
    """The last turns of the active branch, oldest first; `older_url` leads to those before them, or is None."""

    turns: list[TurnView]
    older_url: str | None


def branch(conversation: Conversation, *, leaf: uuid.UUID | None, back_to: uuid.UUID | None = None) -> Branch:
    """Return a page of the branch that ends in `leaf`, `leaf` included; a longer one where it has to reach `back_to`.

    A turn that is further back than `MAX_TURNS` is not reached.
    """
    if leaf is None:
        return Branch([], None)
    ids = branch_ids(leaf, limit=(MAX_TURNS if back_to else TURNS) + 1)
    first = max(0, len(ids) - TURNS)
    if back_to in ids[1:first]:
        first = ids.index(back_to)
    older_url = None
    if first:
        older_url = f"{reverse('chat:older', args=[conversation.pk])}?{urlencode({'leaf': str(ids[first - 1])})}"
    return Branch(turn_views(shown_turns(ids[first:])), older_url)


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person must know at a glance (`short`), and the whole of it for whoever asks (`sentences`)."""

    short: str
    sentences: tuple[str, ...] = ()


EXTRACTIVE_NOTICE = Notice(
    "Without a model, answers are quotations.",
    (
        "No model is configured: answers are passages quoted from the documents, word for word.",
        "An administrator can connect a model server.",
    ),
)
HASHING_NOTICE = Notice(
    "Documents are searched by words only.",
    ("No embeddings server is configured: documents are searched by their words, not by their meaning.",),
)


def provider_notice(assistant: Assistant | None) -> Notice | None:
    """Say plainly what answers where no model, or no embedder, is set up. None where both are."""
    notices: list[Notice] = []
    try:
        version = assistant.published_version if assistant else None
        model = chat_model(version) if version else default_model(EndpointModel.Purpose.CHAT)
        if model.endpoint.provider == Endpoint.Provider.EXTRACTIVE:
            notices.append(EXTRACTIVE_NOTICE)
        if default_model(EndpointModel.Purpose.EMBEDDING).endpoint.provider == Endpoint.Provider.HASHING:
            notices.append(HASHING_NOTICE)
    except NoModelError as error:
        notices.append(Notice(error.message))
    if not notices:
        return None
    return Notice(notices[0].short, tuple(sentence for notice in notices for sentence in notice.sentences))
