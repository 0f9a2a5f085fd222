"""What was done once for this installation, so that it is not done again after somebody undid it."""

from django.db import models
from django.utils import timezone


class Milestone(models.Model):
    """A thing that the first start does. `details` holds what a later start has to know about it."""

    name = models.CharField(max_length=100, primary_key=True)
    details = models.JSONField(default=dict, blank=True)
    reached_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name
