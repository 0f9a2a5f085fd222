"""Archives that are being unpacked into a store, and what became of each file in them."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from retrieval.models.documents import Document
from retrieval.models.stores import VectorStore


class Archive(models.Model):
    """A zip archive on its way into a store. Its bytes are gone from the storage once it is done."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting to be unpacked"
        UNPACKING = "unpacking", "Unpacking"
        DONE = "done", "Unpacked"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="archives")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="archives")
    name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    storage_name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    hidden = models.PositiveIntegerField(default=0, help_text="Hidden files, which are left out.")
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_message = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    if TYPE_CHECKING:
        store_id: uuid.UUID
        owner_id: uuid.UUID

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["store", "owner", "sha256"],
                condition=Q(state__in=["queued", "unpacking"]),
                name="archive_unpacked_once",
            ),
            models.CheckConstraint(
                name="archive_state_fits",
                condition=Q(state__in=["queued", "unpacking", "done"], error_code="")
                | Q(state="failed", error_code__gt="", error_message__gt=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_final(self) -> bool:
        return self.state in {self.State.DONE, self.State.FAILED}


class ArchiveEntry(models.Model):
    """One file of an archive. A document that it becomes has its id; another one had the same content already."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        ADDED = "added", "Added"
        DUPLICATE = "duplicate", "There already"
        REFUSED = "refused", "Refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    archive = models.ForeignKey(Archive, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveIntegerField(help_text="In the archive.")
    name = models.CharField(max_length=1000, help_text="With its folders.")
    size = models.PositiveBigIntegerField(help_text="Bytes, as the archive says.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    document = models.ForeignKey(Document, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_message = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["archive", "position"], name="archive_entry_once"),
            models.CheckConstraint(
                name="archive_entry_state_fits",
                condition=Q(state__in=["waiting", "added", "duplicate"], error_code="")
                | Q(state="refused", error_code__gt="", error_message__gt=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name
