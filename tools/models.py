"""The audit of tool calls: one row per call, whatever happened."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class ToolCall(models.Model):
    """One call of a tool. Turns and conversations are known by id only: this room knows nothing of chat.

    A row changes while its call is pending; a database trigger refuses every change after `finished_at` is set,
    and the application's role may not delete.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting for approval"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        DENIED = "denied", "Denied"
        EXPIRED = "expired", "Expired"
        UNKNOWN = "unknown", "Effect unknown"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    conversation = models.UUIDField()
    turn = models.UUIDField()
    call_id = models.CharField(max_length=200)
    tool = models.CharField(max_length=100)
    tool_version = models.CharField(max_length=50, blank=True, default="")
    policy = models.CharField(max_length=10, default="auto")
    status = models.CharField(max_length=10, choices=Status.choices)
    arguments = models.JSONField(default=dict)
    code_sha256 = models.CharField(max_length=64, blank=True, default="")
    idempotency_key = models.CharField(max_length=64, unique=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True, default="")
    exit_code = models.IntegerField(null=True, blank=True)
    resources = models.JSONField(default=dict, blank=True, help_text="What it used: seconds of CPU, bytes of memory.")
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "call_id"], name="tool_call_once"),
            models.CheckConstraint(
                name="tool_call_end",
                condition=Q(status__in=["waiting", "running"], finished_at=None)
                | Q(
                    status__in=["succeeded", "failed", "denied", "expired", "unknown"],
                    finished_at__isnull=False,
                ),
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="tool_call_latest"),
            models.Index(fields=["tool", "-created_at"], name="tool_call_by_tool"),
        ]

    def __str__(self) -> str:
        return f"{self.tool} ({self.status})"
