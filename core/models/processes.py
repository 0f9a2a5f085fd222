"""Processes that own running turns; one row each, refreshed every second (see `core.heartbeat`)."""

import uuid

from django.db import models
from django.utils import timezone


class Process(models.Model):
    """A living web or worker process. One that was not seen for five seconds is considered dead."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=20)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    draining = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["seen_at"], name="process_seen")]
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.kind} {self.host}:{self.pid}"
