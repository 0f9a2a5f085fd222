"""Documents, their states, and the revisions that offsets refer to."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Func, Q
from django.db.models.lookups import Exact
from django.urls import reverse

from core.models.grants import Role, VisibleQuerySet
from retrieval.models.files import File
from retrieval.models.stores import VectorStore


class DocumentQuerySet(models.QuerySet["Document"]):
    """Documents take their rights from their store."""

    def visible_to(self, user: object, role: Role = Role.READER) -> "DocumentQuerySet":
        stores: VisibleQuerySet[VectorStore] = VectorStore.objects.visible_to(user, role)  # type: ignore[arg-type]
        return self.filter(store__in=stores)

    def live(self) -> "DocumentQuerySet":
        return self.filter(life=Document.Life.LIVE)

    def wanted(self) -> "DocumentQuerySet":
        """Those that are worth reading: in use, or to be used in the place of one that is."""
        return self.filter(life__in=[Document.Life.LIVE, Document.Life.PENDING])


class Document(models.Model):
    """A file in a vector store. `state` says how far it is, `life` whether it counts.

    A pending one is read to take the place of the one that it `replaces`, which answers until then; it is shown
    nowhere. What becomes of it stands in the `notice` of the other.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        EXTRACTING = "extracting", "Reading"
        CHUNKING = "chunking", "Splitting"
        EMBEDDING = "embedding", "Indexing"
        READY = "ready", "Ready"
        FAILED = "failed", "Failed"

    class Life(models.TextChoices):
        PENDING = "pending", "Not yet in use"
        LIVE = "live", "In use"
        REPLACED = "replaced", "Replaced"
        DELETING = "deleting", "Being deleted"

    class Notice(models.TextChoices):
        NONE = "", "Nothing"
        RUNNING = "running", "Being read"
        FAILED = "failed", "Failed"
        RETRYABLE = "retryable", "Failed; another try may help"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="documents")
    # not PROTECT: the file may go together with its documents
    file = models.ForeignKey(File, on_delete=models.RESTRICT, related_name="documents")
    sha256 = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    life = models.CharField(max_length=10, choices=Life.choices, default=Life.LIVE)
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_message = models.CharField(max_length=500, blank=True, default="")
    error_retryable = models.BooleanField(default=False)
    progress_done = models.PositiveIntegerField(default=0, help_text="Pages or chunks done in this state.")
    progress_total = models.PositiveIntegerField(default=0)
    # not SET_NULL: a document that is ready would be without one for as long as it takes to delete it
    revision = models.OneToOneField(
        "retrieval.Revision", null=True, blank=True, on_delete=models.RESTRICT, related_name="current_for"
    )
    replaces = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replacements")
    notice_kind = models.CharField(max_length=10, choices=Notice.choices, default=Notice.NONE, blank=True)
    notice = models.CharField(
        max_length=1000, blank=True, default="", help_text="What becomes of what is to take its place."
    )
    attributes = models.JSONField(default=dict, blank=True, help_text="For filters.")
    language = models.CharField(max_length=20, blank=True, default="")
    page_count = models.PositiveIntegerField(default=0)
    chunk_count = models.PositiveIntegerField(default=0)
    token_count = models.PositiveIntegerField(default=0)
    # what its chunks were made with, by which those of former settings are known
    chunk_tokens = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    chunk_overlap = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="documents"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    ready_at = models.DateTimeField(null=True, blank=True)

    objects = DocumentQuerySet.as_manager()

    if TYPE_CHECKING:
        store_id: uuid.UUID
        file_id: uuid.UUID
        uploaded_by_id: uuid.UUID | None
        revision_id: uuid.UUID | None
        replaces_id: uuid.UUID | None

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["store", "sha256"], condition=Q(life="live"), name="document_once_per_store"
            ),
            models.CheckConstraint(
                name="document_failed_has_reason",
                condition=Q(state="failed", error_code__gt="", error_message__gt="")
                | (~Q(state="failed") & Q(error_code="")),
            ),
            models.CheckConstraint(
                name="document_ready_has_revision",
                condition=~Q(state="ready", life="live") | Q(revision__isnull=False),
            ),
            models.CheckConstraint(
                name="document_state_known",
                condition=Q(state__in=["queued", "extracting", "chunking", "embedding", "ready", "failed"]),
            ),
            models.CheckConstraint(
                name="document_life_known", condition=Q(life__in=["pending", "live", "replaced", "deleting"])
            ),
            # replaced twice at once, one of the two is read
            models.UniqueConstraint(fields=["replaces"], condition=Q(life="pending"), name="document_pending_once"),
            models.CheckConstraint(
                name="document_notice_of_a_kind",
                condition=Q(notice_kind="", notice="")
                | Q(notice_kind__in=["running", "failed", "retryable"]) & ~Q(notice=""),
            ),
            models.CheckConstraint(
                name="document_attributes_object",
                condition=Exact(Func("attributes", function="jsonb_typeof", output_field=models.TextField()), "object"),
            ),
        ]
        indexes = [
            models.Index(fields=["store", "-created_at", "id"], name="document_of_store"),
            models.Index(fields=["state"], condition=~Q(state__in=["ready", "failed"]), name="document_unfinished"),
            # the few that search leaves out until their chunks are gone
            models.Index(fields=["store"], condition=~Q(life="live"), name="document_leaving"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("retrieval:document", args=[self.pk])

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in {self.State.READY, self.State.FAILED}


class Revision(models.Model):
    """The extracted text of a document's content. Every offset counts its Unicode code points.

    `pages` is a list of [start, end) spans (one per page, empty for formats without pages), `headings` a list of
    [offset, level, title].
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="revisions")
    title = models.CharField(max_length=200, blank=True, default="", help_text="As the file itself says it.")
    text = models.TextField()
    pages = models.JSONField(default=list, blank=True)
    headings = models.JSONField(default=list, blank=True)
    extractor = models.CharField(max_length=100)
    warnings = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    if TYPE_CHECKING:
        document_id: uuid.UUID

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"revision of {self.document_id}"
