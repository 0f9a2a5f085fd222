"""Vector stores: sets of documents that are searched together."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse

from core.models import EndpointModel, Grant
from core.models.grants import VisibleQuerySet


class VectorStoreQuerySet(VisibleQuerySet["VectorStore"]):
    owner_field = "owner"


class VectorStore(models.Model):
    """A set of documents with one embedding model and one way of chunking.

    A `conversation` store holds what was dropped into one chat and is listed nowhere else.
    """

    class Kind(models.TextChoices):
        LIBRARY = "library", "Library"
        CONVERSATION = "conversation", "Files of a conversation"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.LIBRARY)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="vector_stores",
    )
    embedding_model = models.ForeignKey(
        EndpointModel,
        on_delete=models.PROTECT,
        related_name="vector_stores",
        limit_choices_to={"purpose": "embedding"},
    )
    chunk_tokens = models.PositiveIntegerField(
        default=240,
        validators=[MinValueValidator(32), MaxValueValidator(4096)],
        help_text="Tokens per chunk at most.",
    )
    chunk_overlap = models.PositiveIntegerField(default=28, help_text="Tokens shared by neighbouring chunks.")
    dense_share = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Weight of meaning against words: 0 is words only, 1 is meaning only. Empty: what suits the model.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    grants = GenericRelation(Grant)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = VectorStoreQuerySet.as_manager()

    if TYPE_CHECKING:
        owner_id: uuid.UUID | None

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(
                name="store_chunking_sound",
                condition=Q(chunk_tokens__gte=32, chunk_overlap__lt=models.F("chunk_tokens")),
            ),
            models.CheckConstraint(name="store_dense_share", condition=Q(dense_share__gte=0, dense_share__lte=1)),
            models.CheckConstraint(name="store_kind_known", condition=Q(kind__in=["library", "conversation"])),
        ]
        indexes = [models.Index(fields=["owner", "kind", "name"], name="store_owner")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("retrieval:store", args=[self.pk])
