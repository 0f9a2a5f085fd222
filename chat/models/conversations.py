"""Conversations: a tree of turns with one active branch."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from chat.models.assistants import Assistant
from core.models import Grant
from core.models.grants import VisibleQuerySet
from retrieval.models import VectorStore


class ConversationQuerySet(VisibleQuerySet["Conversation"]):
    owner_field = "user"

    def live(self) -> "ConversationQuerySet":
        return self.filter(deleted_at=None)


class Conversation(models.Model):
    """What one person and one assistant said. The browser makes the id, so that the first send can be repeated."""

    class TitleSource(models.TextChoices):
        FIRST_WORDS = "first_words", "First words"
        MODEL = "model", "Made by a model"
        PERSON = "person", "Given by a person"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    assistant = models.ForeignKey(Assistant, on_delete=models.PROTECT, related_name="conversations")
    title = models.CharField(max_length=200, blank=True, default="")
    title_source = models.CharField(max_length=12, choices=TitleSource.choices, default=TitleSource.FIRST_WORDS)
    active_turn = models.ForeignKey(
        "chat.Turn", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    store = models.OneToOneField(
        VectorStore, null=True, blank=True, on_delete=models.SET_NULL, related_name="conversation"
    )
    uses_memory = models.BooleanField(default=True)
    pinned_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    last_turn_at = models.DateTimeField(default=timezone.now)
    grants = GenericRelation(Grant)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ConversationQuerySet.as_manager()

    if TYPE_CHECKING:
        user_id: uuid.UUID
        assistant_id: uuid.UUID
        store_id: uuid.UUID | None
        active_turn_id: uuid.UUID | None

    class Meta:
        ordering = ["-last_turn_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="conversation_title_source_known",
                condition=Q(title_source__in=["first_words", "model", "person"]),
            )
        ]
        indexes = [
            models.Index(fields=["user", "-last_turn_at", "id"], condition=Q(deleted_at=None), name="conversation_list")
        ]

    def __str__(self) -> str:
        return self.title or "New conversation"

    def get_absolute_url(self) -> str:
        return reverse("chat:conversation", args=[self.pk])
