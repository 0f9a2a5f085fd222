"""What models were asked beside answering, for what it cost: figures, and no word of what was said."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from chat.models.assistants import Assistant
from chat.models.conversations import Conversation
from core.models import EndpointModel


class BackgroundCall(models.Model):
    """One question to a utility model: for a summary, a title, facts or a search. Each is kept, also one that failed.

    Deleting what it was asked for leaves it without a name: what was spent stays spent. `status` is the response's;
    `error_code` says why nothing came of it, which may be so of a completed one too (it refused).
    """

    class Purpose(models.TextChoices):
        SUMMARY = "summary", "Summary"
        TITLE = "title", "Title"
        FACTS = "facts", "Facts"
        QUESTION = "question", "Search question"

    class Status(models.TextChoices):
        IN_PROGRESS = "in_progress", "In progress"
        COMPLETED = "completed", "Completed"
        INCOMPLETE = "incomplete", "Incomplete"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="background_calls"
    )
    assistant = models.ForeignKey(
        Assistant, null=True, blank=True, on_delete=models.SET_NULL, related_name="background_calls"
    )
    conversation = models.ForeignKey(
        Conversation, null=True, blank=True, on_delete=models.SET_NULL, related_name="background_calls"
    )
    model = models.ForeignKey(EndpointModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    model_name = models.CharField(max_length=200, help_text="As the server named it.")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.IN_PROGRESS)
    error_code = models.CharField(max_length=50, blank=True, default="")
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    cached_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    reasoning_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars.")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        conversation_id: uuid.UUID | None

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="background_call_purpose_known", condition=Q(purpose__in=["summary", "title", "facts", "question"])
            ),
            models.CheckConstraint(
                name="background_call_status_known",
                condition=Q(status__in=["in_progress", "completed", "incomplete", "failed"]),
            ),
            models.CheckConstraint(
                name="background_call_final_has_end",
                condition=Q(status="in_progress", finished_at=None)
                | (~Q(status="in_progress") & Q(finished_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="background_call_failed_has_reason", condition=~Q(status="failed") | ~Q(error_code="")
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="background_call_newest"),
            models.Index(fields=["created_at"], condition=Q(status="in_progress"), name="background_call_running"),
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display().lower()} ({self.status})"

    @property
    def seconds(self) -> float | None:
        """How long it took; None where its end is not known."""
        return (self.finished_at - self.created_at).total_seconds() if self.finished_at else None
