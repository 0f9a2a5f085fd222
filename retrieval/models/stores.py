"""Vector stores: sets of documents that are searched together."""

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.fields import GenericRelation
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from core.models import EndpointModel, Grant, Invitation, User
from core.models.grants import Role, VisibleQuerySet

MAX_KEEP_DAYS = 3650
# Days before a store expires in which its page says so.
NOTICE_DAYS = 7


def governed_by(user: User, role: Role) -> models.QuerySet[Grant, Any]:
    """The ids of whatever `user` has `role` or more on by a grant, as a subquery: ids are unique among all models."""
    subject = Q(user=user) | Q(everyone=True) | Q(group__in=user.groups.order_by().values("pk"))
    roles = [Role.OWNER] if role == Role.OWNER else [Role.EDITOR, Role.OWNER]
    return Grant.objects.filter(subject, role__in=roles).values("object_id")


class VectorStoreQuerySet(VisibleQuerySet["VectorStore"]):
    owner_field = "owner"

    def visible_to(self, user: User | AnonymousUser, role: Role = Role.READER) -> "VectorStoreQuerySet":
        """The rule of `VisibleQuerySet`, and that who may edit the governor of a store may do as much with the store.

        What is being deleted is gone for everybody, one that expired is not.
        """
        granted = super().visible_to(user, role)
        if isinstance(user, User) and user.is_active and not user.is_superuser:
            granted |= self.filter(governor__in=governed_by(user, Role.OWNER if role == Role.OWNER else Role.EDITOR))
        return cast("VectorStoreQuerySet", granted.filter(deleted_at=None))


class VectorStore(models.Model):
    """A set of documents with one embedding model and one way of chunking.

    A `conversation` store holds what was dropped into one chat, an `assistant` store what belongs to one assistant:
    they are listed nowhere else.
    """

    class Kind(models.TextChoices):
        LIBRARY = "library", "Library"
        CONVERSATION = "conversation", "Files of a conversation"
        ASSISTANT = "assistant", "Files of an assistant"

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
    governor = models.UUIDField(
        null=True,
        blank=True,
        db_index=True,
        editable=False,
        help_text="Of an assistant's store: the assistant. Who may edit it may edit the store; who may use it may not.",
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
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on nothing searches it. It is deleted some days later."
    )
    keep_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_KEEP_DAYS)],
        help_text="It expires so many days after it was last searched or added to. Empty: at the date above, or never.",
    )
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    offered_to = models.EmailField(
        blank=True,
        default="",
        editable=False,
        help_text="Whom its owner wants to give it to; they have not taken it yet.",
    )
    grants = GenericRelation(Grant)
    invitations = GenericRelation(Invitation)
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
            models.CheckConstraint(
                name="store_keep_days",
                condition=Q(keep_days=None) | Q(keep_days__range=(1, MAX_KEEP_DAYS), expires_at__isnull=False),
                violation_error_message="One that expires after its last use has a date at any time.",
            ),
            models.CheckConstraint(
                name="store_kind_known", condition=Q(kind__in=["library", "conversation", "assistant"])
            ),
            models.CheckConstraint(
                name="store_governor",
                condition=Q(kind="assistant", governor__isnull=False, owner=None)
                | (~Q(kind="assistant") & Q(governor=None)),
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "kind", "name"], name="store_owner"),
            models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="store_expiry"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("retrieval:store", args=[self.pk])

    @property
    def is_expired(self) -> bool:
        """Whether nothing searches it any more."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def expires_soon(self) -> bool:
        """Whether that will be so within a week."""
        week = timezone.now() + timedelta(days=NOTICE_DAYS)
        return self.expires_at is not None and not self.is_expired and self.expires_at <= week

    @property
    def goes_at(self) -> datetime | None:
        """When it is deleted."""
        return self.expires_at and self.expires_at + timedelta(days=settings.EXPIRED_STORES_DAYS)
