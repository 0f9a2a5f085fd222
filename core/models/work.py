"""The outbox: background work as rows, written in the transaction that makes it necessary."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Work(models.Model):
    """One piece of background work.

    It is `waiting` until a worker claims it under a lease; `fence` rises with every claim, and what a worker
    writes counts only while its fence is the row's. Finished work is deleted; `failed` rows stay to be looked at.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=100)
    subject = models.UUIDField(help_text="The row that the work is about.")
    arguments = models.JSONField(default=dict, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    # a process of the version before this one makes rows without it
    weight = models.PositiveBigIntegerField(default=0, db_default=0, help_text="The room it takes in a group.")
    attempts = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveBigIntegerField(default=0)
    run_after = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "work"
        constraints = [
            # asked for twice before it began is once; asked for while it runs is once more
            models.UniqueConstraint(fields=["kind", "subject"], condition=Q(state="waiting"), name="work_waits_once"),
            models.CheckConstraint(name="work_state_known", condition=Q(state__in=["waiting", "running", "failed"])),
            models.CheckConstraint(
                name="work_lease_while_running",
                condition=Q(state="running", lease_until__isnull=False)
                | (~Q(state="running") & Q(lease_until__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(fields=["run_after"], condition=Q(state="waiting"), name="work_waiting"),
            models.Index(fields=["lease_until"], condition=Q(state="running"), name="work_running"),
            models.Index(fields=["owner"], condition=Q(state="running"), name="work_running_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} ({self.state})"
