"""What is kept of longer talk: summaries of branches and facts about people."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from pgvector.django import HalfVectorField

from chat.models.assistants import Assistant
from chat.models.conversations import Conversation
from chat.models.items import Item
from chat.models.turns import Turn
from core.models import EndpointModel


class Summary(models.Model):
    """A model's record of a branch up to and including `turn`. A newer one extends an older one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="summaries")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="summaries")
    previous = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    text = models.TextField()
    tokens = models.PositiveIntegerField()
    model = models.ForeignKey(EndpointModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    suspect = models.BooleanField(default=False, help_text="Says what stands nowhere in what it summarises.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "summaries"
        constraints = [
            models.UniqueConstraint(fields=["turn"], condition=Q(suspect=False), name="summary_one_per_turn"),
            models.CheckConstraint(name="summary_not_empty", condition=~Q(text="")),
        ]
        indexes = [models.Index(fields=["conversation", "-created_at"], name="summary_latest")]

    def __str__(self) -> str:
        return f"summary of {self.conversation_id}"


class SummaryFailure(models.Model):
    """Why the branch that ends in `turn` got no new summary; the former one stays."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="summary_failures")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="summary_failures")
    code = models.CharField(max_length=50)
    message = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(name="summary_failure_has_reason", condition=Q(code__gt="", message__gt=""))
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Fact(models.Model):
    """Something a person said that is worth keeping, with the message it came from. Deleting deletes.

    One with a conversation holds in that conversation, one without in all that the person has with the assistant. A
    newer one that says otherwise takes its place (`superseded_by`); what it has replaced goes when it goes. `embedding`
    is of unit length and that of `text`; empty while a worker has not made it, or not with the present model.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="facts")
    assistant = models.ForeignKey(Assistant, on_delete=models.CASCADE, related_name="facts")
    conversation = models.ForeignKey(
        Conversation,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="facts",
        help_text="Empty: holds in every conversation with this assistant.",
    )
    item = models.ForeignKey(
        Item,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="facts",
        help_text="The message it came from.",
    )
    text = models.CharField(max_length=1000)
    embedding_model = models.ForeignKey(
        EndpointModel, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    embedding = HalfVectorField(null=True, blank=True)
    # the older ones go with the one that replaced them, or deleting it would bring them back
    superseded_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="replaced")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    edited_at = models.DateTimeField(null=True, blank=True, help_text="When the person put it into other words.")
    used_at = models.DateTimeField(null=True, blank=True, help_text="When a request last carried it.")

    if TYPE_CHECKING:
        user_id: uuid.UUID
        assistant_id: uuid.UUID
        conversation_id: uuid.UUID | None
        item_id: uuid.UUID | None
        superseded_by_id: uuid.UUID | None

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(name="fact_not_empty", condition=~Q(text="")),
            models.CheckConstraint(
                name="fact_vector_has_model",
                condition=Q(embedding=None, embedding_model=None)
                | Q(embedding__isnull=False, embedding_model__isnull=False),
            ),
            models.CheckConstraint(
                name="fact_superseded_by_another", condition=Q(superseded_by=None) | ~Q(superseded_by=F("id"))
            ),
        ]
        indexes = [models.Index(fields=["user", "assistant", "-created_at"], name="fact_scope")]

    def __str__(self) -> str:
        return self.text


class FactReading(models.Model):
    """That a message was read for facts: it is never read again, so that what a person deletes does not come back.

    `code` says why nothing could be learnt from it; empty where it was read.
    """

    item = models.OneToOneField(Item, primary_key=True, on_delete=models.CASCADE, related_name="fact_reading")
    code = models.CharField(max_length=50, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"reading of {self.pk}"


class MemoryOff(models.Model):
    """A person wants no memory with an assistant: while the row is there, no fact is read or written."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memories_off")
    assistant = models.ForeignKey(Assistant, on_delete=models.CASCADE, related_name="memories_off")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "memory switched off"
        verbose_name_plural = "memories switched off"
        constraints = [models.UniqueConstraint(fields=["user", "assistant"], name="memory_off_once")]

    def __str__(self) -> str:
        return f"no memory of {self.user_id} with {self.assistant_id}"
