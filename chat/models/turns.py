"""Turns and the responses they are made of: who works on them, how far they are, what they cost."""

import hashlib
import uuid
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.db.models import Q

from chat.models.assistants import AssistantVersion
from chat.models.conversations import Conversation
from core.models import EndpointModel
from retrieval.pictures.addresses import url_of

_NONE: Mapping[str, str] = MappingProxyType({})


class Turn(models.Model):
    """A user message up to the final answer.

    A running turn is owned by a process (`owner`, an id of `core.Process`); `epoch` rises with every claim and
    fences the writes of a former owner. Siblings share a parent; a regenerated turn shares the user's item too.
    One that `continues` a sibling shares the user's item as well, and its answer begins with that turn's.
    `withdrawn_at` says that the person took the message back before it was answered: no branch leads through it.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", "Waiting"
        IN_PROGRESS = "in_progress", "Answering"
        REQUIRES_ACTION = "requires_action", "Waiting for you"
        COMPLETED = "completed", "Done"
        INCOMPLETE = "incomplete", "Cut short"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Stopped"

    FINAL = (Status.COMPLETED, Status.INCOMPLETE, Status.FAILED, Status.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    depth = models.PositiveIntegerField(default=0)
    continues = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="continuations", editable=False
    )
    client_id = models.UUIDField()
    version = models.ForeignKey(AssistantVersion, on_delete=models.PROTECT, related_name="turns")
    # not PROTECT: the item may go together with its turn
    input_item = models.ForeignKey(
        "chat.Item", null=True, blank=True, on_delete=models.RESTRICT, related_name="answered_by"
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    owner = models.UUIDField(null=True, blank=True)
    epoch = models.PositiveIntegerField(default=0)
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    passages = models.JSONField(default=list, blank=True, help_text="What retrieval put before the model, numbered.")
    retrieval = models.JSONField(
        null=True, blank=True, help_text="How it came by that, where the version has set anything about it."
    )
    facts = models.JSONField(null=True, blank=True, help_text="What was looked up of facts; empty: nothing was.")
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_message = models.CharField(max_length=500, blank=True, default="")
    error_retryable = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    first_text_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    cached_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    reasoning_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars.")

    if TYPE_CHECKING:
        conversation_id: uuid.UUID
        parent_id: uuid.UUID | None
        continues_id: uuid.UUID | None
        version_id: uuid.UUID
        input_item_id: uuid.UUID | None

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "client_id"], name="turn_once_per_client_id"),
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(status__in=["in_progress", "requires_action"]),
                name="turn_one_running",
            ),
            models.CheckConstraint(
                name="turn_status_known",
                condition=Q(
                    status__in=[
                        "queued",
                        "in_progress",
                        "requires_action",
                        "completed",
                        "incomplete",
                        "failed",
                        "cancelled",
                    ]
                ),
            ),
            models.CheckConstraint(
                name="turn_owned_while_in_progress",
                condition=Q(status="in_progress", owner__isnull=False) | (~Q(status="in_progress") & Q(owner=None)),
            ),
            models.CheckConstraint(
                name="turn_final_has_end",
                condition=Q(status__in=["completed", "incomplete", "failed", "cancelled"], finished_at__isnull=False)
                | (~Q(status__in=["completed", "incomplete", "failed", "cancelled"]) & Q(finished_at=None)),
            ),
            models.CheckConstraint(
                name="turn_failed_has_reason",
                condition=~Q(status="failed") | Q(error_code__gt="", error_message__gt=""),
            ),
            # asked for twice at once, an answer goes on once
            models.UniqueConstraint(fields=["continues"], condition=Q(withdrawn_at=None), name="turn_continued_once"),
            models.CheckConstraint(
                name="turn_withdrawn_is_cancelled", condition=Q(withdrawn_at=None) | Q(status="cancelled")
            ),
            models.CheckConstraint(
                name="turn_depth", condition=Q(parent=None, depth=0) | Q(parent__isnull=False, depth__gt=0)
            ),
        ]
        indexes = [
            models.Index(fields=["conversation", "parent", "created_at"], name="turn_tree"),
            models.Index(fields=["created_at"], condition=Q(status="queued"), name="turn_queued"),
            models.Index(fields=["owner"], condition=Q(status="in_progress"), name="turn_owner"),
        ]

    def __str__(self) -> str:
        return f"turn {self.pk} ({self.status})"

    @property
    def is_final(self) -> bool:
        return self.status in self.FINAL


class Response(models.Model):
    """One attempt at one step of a turn. Every attempt is kept: billed, timed, visible."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        IN_PROGRESS = "in_progress", "In progress"
        COMPLETED = "completed", "Completed"
        INCOMPLETE = "incomplete", "Incomplete"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="responses")
    step = models.PositiveSmallIntegerField()
    attempt = models.PositiveSmallIntegerField()
    epoch = models.PositiveIntegerField()
    model = models.ForeignKey(EndpointModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    model_name = models.CharField(max_length=200, help_text="As the server named it.")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    upstream_id = models.CharField(max_length=200, blank=True, default="")
    idempotency_key = models.CharField(max_length=64)
    incomplete_reason = models.CharField(max_length=50, blank=True, default="")
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    payload = models.JSONField(null=True, blank=True, help_text="What the server said last, verbatim.")
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    cached_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    reasoning_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars.")
    created_at = models.DateTimeField(auto_now_add=True)
    first_event_at = models.DateTimeField(null=True, blank=True)
    first_text_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        turn_id: uuid.UUID

    class Meta:
        ordering = ["step", "attempt"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "step", "attempt"], name="response_attempt"),
            models.CheckConstraint(
                name="response_status_known",
                condition=Q(status__in=["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]),
            ),
        ]

    def __str__(self) -> str:
        return f"step {self.step}, attempt {self.attempt} ({self.status})"


class SentRequest(models.Model):
    """What one response was asked with: references and a hash for ever, the body until somebody is erased.

    `manifest` lists what went in (items, summary, facts, passages, tokens per part) and what was dropped and why; its
    `body` says how the body is kept: `encoding` and how many `bytes` were sent. `sha256` is of those bytes.
    """

    ENCODING: ClassVar[str] = "zlib"
    # A conversation is sent again with each turn. Measured on bodies of 1.6 to 457 kB of prose: the lowest level leaves
    # 55 to 31 %, at 6 µs a kilobyte in a database thread; level 6 takes four times as long to leave a fifth less.
    LEVEL: ClassVar[int] = 1

    response = models.OneToOneField(Response, primary_key=True, on_delete=models.CASCADE, related_name="sent")
    manifest = models.JSONField(default=dict)
    sha256 = models.CharField(max_length=64)
    body = models.BinaryField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(name="sent_request_sha256", condition=Q(sha256__regex=r"^[0-9a-f]{64}$"))]

    def __str__(self) -> str:
        return f"request of response {self.pk}"

    @classmethod
    def packed(cls, body: bytes, pictures: Mapping[str, str] = _NONE) -> bytes:
        """What is kept of a body: in the places of pictures their references, since each goes with many requests.

        `pictures` are data URLs by reference.
        """
        for reference, url in pictures.items():
            body = body.replace(_field(url), _field(reference))
        return zlib.compress(body, cls.LEVEL)

    @classmethod
    def body_note(cls, body: bytes, pictures: Mapping[str, str]) -> dict[str, object]:
        """How `body` is kept, for the manifest."""
        note: dict[str, object] = {"encoding": cls.ENCODING, "bytes": len(body)}
        return {**note, "pictures": list(pictures)} if pictures else note

    @property
    def encoding(self) -> str:
        """How the body is kept; empty for rows from before bodies were kept as they were sent."""
        kept = self.manifest.get("body")
        return str(kept.get("encoding", "")) if isinstance(kept, dict) else ""

    def kept_body(self) -> bytes | None:
        """The bytes that were sent, but for references in the places of pictures; None where they were erased, or were
        not kept as they were sent.
        """
        if self.body is None or self.encoding != self.ENCODING:
            return None
        return zlib.decompress(bytes(self.body))

    def exact_body(self) -> bytes | None:
        """The bytes that were sent; None too where a picture among them is gone."""
        body = self.kept_body()
        if body is None:
            return None
        for reference in self.manifest["body"].get("pictures", ()):
            url = url_of(reference)
            if url is None:
                return None
            body = body.replace(_field(reference), _field(url))
        return body if hashlib.sha256(body).hexdigest() == self.sha256 else None


def _field(url: str) -> bytes:
    """A part's address as it stands in a body. In a text its quotes are escaped, so there it is never found."""
    return b'"image_url":"' + url.encode() + b'"'
