"""Changes of how a whole store is indexed: with another embedding model, or in chunks of another size."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from core.models import EndpointModel
from retrieval.models.stores import VectorStore

_PER_MILLION = Decimal(1_000_000)
# Chunks that must be done before their speed says anything of the rest.
TELLING = 200


class Reindexing(models.Model):
    """One store on its way to another embedding model (`model`) or to chunks of another size (`chunking`).

    planned → running → switching → done; or failed {code, message}, from where a person goes on or cancels it; or
    cancelled. Of a store one at most is open. `switching`: searches use the new vectors, the former are kept for those
    that had begun. It has no meaning for chunks, of which each document is swapped by itself.

    `done` and `total` count chunks, or documents where chunks change. `after` is the last chunk that was looked at,
    `switched_in` PostgreSQL's number of the transaction that switched (`retrieval.search.fusion`). `tokens` are those
    embedded so far by our count, `price` US dollars per million of them; `seconds` is the time that workers took.
    It goes with a model that is deleted: then nothing is indexed with that model any more.
    """

    class Kind(models.TextChoices):
        MODEL = "model", "Another embedding model"
        CHUNKING = "chunking", "Chunks of another size"

    class State(models.TextChoices):
        PLANNED = "planned", "Waiting"
        RUNNING = "running", "Indexing"
        SWITCHING = "switching", "Switched, clearing up"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    WORKING = (State.PLANNED, State.RUNNING)
    OPEN = (*WORKING, State.SWITCHING, State.FAILED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="reindexings")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    from_model = models.ForeignKey(EndpointModel, on_delete=models.CASCADE, related_name="+")
    to_model = models.ForeignKey(EndpointModel, on_delete=models.CASCADE, related_name="+")
    chunk_tokens = models.PositiveIntegerField(null=True, blank=True)
    chunk_overlap = models.PositiveIntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_message = models.CharField(max_length=500, blank=True, default="")
    retries = models.PositiveSmallIntegerField(default=0, help_text="Tries since the last that went well.")
    strides = models.PositiveSmallIntegerField(default=0, help_text="Begun since the last that came to an end.")
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    price = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    seconds = models.FloatField(default=0.0)
    after = models.PositiveBigIntegerField(default=0)
    switched_in = models.BigIntegerField(null=True, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    served_at = models.DateTimeField(default=timezone.now, help_text="The store served longest ago is next.")
    started_at = models.DateTimeField(null=True, blank=True)
    switched_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        store_id: uuid.UUID
        from_model_id: uuid.UUID
        to_model_id: uuid.UUID

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["store"],
                condition=Q(state__in=["planned", "running", "switching", "failed"]),
                name="reindexing_one_open",
            ),
            models.CheckConstraint(
                name="reindexing_state_known",
                condition=Q(state__in=["planned", "running", "switching", "done", "failed", "cancelled"]),
            ),
            models.CheckConstraint(
                name="reindexing_kind",
                condition=(Q(kind="model", chunk_tokens=None, chunk_overlap=None) & ~Q(from_model=F("to_model")))
                | Q(
                    kind="chunking",
                    from_model=F("to_model"),
                    chunk_tokens__isnull=False,
                    chunk_tokens__gte=32,
                    chunk_overlap__isnull=False,
                    chunk_overlap__lt=F("chunk_tokens"),
                ),
            ),
            models.CheckConstraint(
                name="reindexing_failed_has_reason",
                condition=Q(state="failed", error_code__gt="", error_message__gt="")
                | (~Q(state="failed") & Q(error_code="")),
            ),
            models.CheckConstraint(
                name="reindexing_switched",
                condition=~Q(state="switching") | Q(kind="model", switched_at__isnull=False, switched_in__isnull=False),
            ),
            models.CheckConstraint(
                name="reindexing_finished",
                condition=Q(state__in=["done", "cancelled"], finished_at__isnull=False)
                | (~Q(state__in=["done", "cancelled"]) & Q(finished_at=None)),
            ),
        ]
        indexes = [
            models.Index(
                fields=["to_model", "due_at"],
                condition=Q(state__in=["planned", "running", "switching"]),
                name="reindexing_working",
            ),
            models.Index(fields=["store"], condition=Q(state="switching"), name="reindexing_switching"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.store}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def cost(self) -> Decimal | None:
        """US dollars so far; None where the model has no price."""
        return None if self.price is None else self.price * self.tokens / _PER_MILLION

    @property
    def remaining(self) -> timedelta | None:
        """What it will take at the speed so far; None where that is not known yet."""
        if self.done < min(TELLING, self.total) or not self.seconds or not self.done:
            return None
        return timedelta(seconds=self.seconds / self.done * max(self.total - self.done, 0))
