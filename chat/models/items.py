"""Items in the shapes of the Responses API, what people attached to them, and the citations they carry."""

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from chat.models.conversations import Conversation
from chat.models.turns import Response, Turn
from retrieval.models import Document, Revision
from tools.models import ToolCall


class Item(models.Model):
    """A message, reasoning, function call, its output, …

    `payload` is the item as the API has it, verbatim; `text` is what is shown to people, with citation markers
    that could not be verified taken out. `position` orders the items of a turn.
    """

    class Role(models.TextChoices):
        USER = "user", "User"
        ASSISTANT = "assistant", "Assistant"
        SYSTEM = "system", "System"
        DEVELOPER = "developer", "Developer"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="items")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="items")
    response = models.ForeignKey(Response, null=True, blank=True, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    type = models.CharField(max_length=50)
    role = models.CharField(max_length=10, choices=Role.choices, blank=True, default="")
    status = models.CharField(max_length=20, blank=True, default="")
    call_id = models.CharField(max_length=200, blank=True, default="")
    text = models.TextField(blank=True, default="")
    payload = models.JSONField()
    tool_call = models.ForeignKey(ToolCall, null=True, blank=True, on_delete=models.SET_NULL, related_name="items")
    created_at = models.DateTimeField(auto_now_add=True)

    if TYPE_CHECKING:
        conversation_id: uuid.UUID
        turn_id: uuid.UUID

    class Meta:
        ordering = ["turn", "position"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "position"], name="item_position"),
            # every call has exactly one output
            models.UniqueConstraint(
                fields=["turn", "type", "call_id"], condition=~Q(call_id=""), name="item_call_once"
            ),
            models.CheckConstraint(
                name="item_role_known", condition=Q(role__in=["", "user", "assistant", "system", "developer"])
            ),
            models.CheckConstraint(name="item_message_has_role", condition=~Q(type="message") | ~Q(role="")),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.role}".strip()


class Attachment(models.Model):
    """A document that a person sent along with a message. The name stays when the document goes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="attachments")
    document = models.ForeignKey(Document, null=True, blank=True, on_delete=models.SET_NULL, related_name="attachments")
    name = models.CharField(max_length=255)
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["item", "position"], name="attachment_position"),
            models.UniqueConstraint(fields=["item", "document"], name="attachment_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Citation(models.Model):
    """A verified reference from an answer to a passage that was sent.

    `number` is the passage's number in the answer, `position` the offset (code points) of the marker's first use in
    `Item.text`. Where the revision is still there, `revision.text[start:end] == quote`; the quote stays readable
    when it is gone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="citations")
    number = models.PositiveSmallIntegerField()
    position = models.PositiveIntegerField()
    revision = models.ForeignKey(Revision, null=True, blank=True, on_delete=models.SET_NULL, related_name="citations")
    document_name = models.CharField(max_length=255)
    page = models.PositiveIntegerField(null=True, blank=True)
    heading = models.TextField(blank=True, default="")
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    quote = models.TextField()
    support = models.FloatField(help_text="Share of the citing sentence's words found in the quote, 0 to 1.")

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["item", "number"], name="citation_number"),
            models.CheckConstraint(name="citation_span", condition=Q(end__gt=models.F("start"))),
            models.CheckConstraint(name="citation_quoted", condition=~Q(quote="")),
            models.CheckConstraint(name="citation_support", condition=Q(support__gte=0, support__lte=1)),
        ]

    if TYPE_CHECKING:
        revision_id: uuid.UUID | None

    def __str__(self) -> str:
        return f"[{self.number}] {self.document_name}"

    @property
    def is_gone(self) -> bool:
        """Whether its document was deleted, or has other content since; the document should be loaded with it."""
        return self.revision is None or self.revision.document.life != Document.Life.LIVE
