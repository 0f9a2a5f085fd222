"""Uploaded files: blobs with a type of our own finding and a storage name of our own making, and pictures of them."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class File(models.Model):
    """The bytes a person uploaded, once per person and content. Names people gave live on documents.

    What a person put into somebody else's store stays there when the person goes, as nobody's. A trigger asks for a
    file to be removed as soon as a document of it is gone: it is, where there is no other.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="files"
    )
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    mime_type = models.CharField(max_length=100, help_text="Found from the content.")
    storage_name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "sha256"], name="file_once_per_owner"),
            models.CheckConstraint(name="file_sha256_hex", condition=Q(sha256__regex=r"^[0-9a-f]{64}$")),
            models.CheckConstraint(name="file_not_empty", condition=Q(size__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.mime_type}, {self.size} bytes"


class Picture(models.Model):
    """A file that is a picture, as we made it anew for models and pages (`retrieval.pictures`); sides are in points.

    Its bytes are kept beside the file's, a small one too. The file itself is never shown.
    """

    file = models.OneToOneField(File, primary_key=True, on_delete=models.CASCADE, related_name="picture")
    mime_type = models.CharField(max_length=100)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    size = models.PositiveIntegerField(help_text="Bytes.")
    small_width = models.PositiveIntegerField()
    small_height = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="picture_type_known", condition=Q(mime_type__in=["image/png", "image/jpeg"])),
            models.CheckConstraint(
                name="picture_has_points",
                condition=Q(width__gt=0, height__gt=0, size__gt=0, small_width__gt=0, small_height__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.width} × {self.height}"
