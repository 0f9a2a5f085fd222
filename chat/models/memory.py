"""What is kept of longer talk: summaries of branches and facts about people."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
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
    """Something a person said that is worth keeping, with the message it came from. Deleting deletes."""

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
    item = models.ForeignKey(Item, null=True, blank=True, on_delete=models.SET_NULL, related_name="facts")
    text = models.CharField(max_length=1000)
    embedding_model = models.ForeignKey(
        EndpointModel, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    embedding = HalfVectorField(null=True, blank=True)
    superseded_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(name="fact_not_empty", condition=~Q(text="")),
            models.CheckConstraint(
                name="fact_vector_has_model",
                condition=Q(embedding=None, embedding_model=None)
                | Q(embedding__isnull=False, embedding_model__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["user", "assistant", "-created_at"], name="fact_scope")]

    def __str__(self) -> str:
        return self.text
