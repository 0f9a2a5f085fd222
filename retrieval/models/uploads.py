"""Uploads that come in parts: what was promised, what is stored of it, and what it became."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from retrieval.models.archives import Archive
from retrieval.models.documents import Document
from retrieval.models.stores import VectorStore


class Upload(models.Model):
    """One file on its way into a store. `received` is how many bytes are stored: the offset of the next part.

    `client_id` is the browser's or script's name for it, so that a repeated beginning is the same upload. A document
    that it becomes has the upload's own id; another one had the same content already. An archive is unpacked instead.
    """

    class State(models.TextChoices):
        RECEIVING = "receiving", "Receiving"
        RECEIVED = "received", "Received"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads")
    client_id = models.UUIDField()
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="uploads")
    name = models.CharField(max_length=255)
    path = models.CharField(max_length=1000, blank=True, default="", help_text="With the folders it came from.")
    size = models.PositiveBigIntegerField(help_text="Bytes that were announced.")
    received = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, default="", help_text="As announced; may be unknown.")
    modified = models.BigIntegerField(null=True, blank=True, help_text="The file's own time, in milliseconds.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RECEIVING)
    document = models.ForeignKey(Document, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    archive = models.ForeignKey(Archive, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_message = models.CharField(max_length=500, blank=True, default="")
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    if TYPE_CHECKING:
        store_id: uuid.UUID
        owner_id: uuid.UUID
        document_id: uuid.UUID | None
        archive_id: uuid.UUID | None

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "client_id"], name="upload_once"),
            models.CheckConstraint(name="upload_not_empty", condition=Q(size__gt=0)),
            models.CheckConstraint(
                name="upload_state_fits",
                condition=Q(state="receiving", received__lt=F("size"))
                | Q(state__in=["received", "done"], received=F("size"))
                | Q(state="refused", error_code__gt="", error_message__gt=""),
            ),
        ]
        indexes = [models.Index(fields=["store", "owner"], condition=Q(state="receiving"), name="upload_unfinished")]

    def __str__(self) -> str:
        return f"{self.name}, {self.received} of {self.size} bytes"


class UploadPart(models.Model):
    """Bytes `start` to `start + size` of an upload, in the storage. They are put together when all are there."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    start = models.PositiveBigIntegerField()
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    storage_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["start"]
        constraints = [
            models.UniqueConstraint(fields=["upload", "start"], name="upload_part_once"),
            models.CheckConstraint(name="upload_part_not_empty", condition=Q(size__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.size} bytes from {self.start}"
