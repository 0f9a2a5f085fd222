"""Assistants and their versions; a published version never changes."""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from core.models import EndpointModel, Grant
from core.models.grants import VisibleQuerySet
from retrieval.models import VectorStore


class AssistantQuerySet(VisibleQuerySet["Assistant"]):
    owner_field = "owner"

    def usable(self) -> "AssistantQuerySet":
        """Those that people can start a conversation with."""
        return self.filter(archived_at=None, published_version__isnull=False)


class Assistant(models.Model):
    """Whom people talk to. What it is made of stands in its versions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=256)
    description = models.CharField(max_length=512, blank=True, default="")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="assistants"
    )
    published_version = models.ForeignKey(
        "chat.AssistantVersion",
        null=True,
        blank=True,
        # not PROTECT: the version may go together with its assistant
        on_delete=models.RESTRICT,
        related_name="+",
        editable=False,
    )
    store = models.OneToOneField(
        VectorStore, null=True, blank=True, on_delete=models.SET_NULL, related_name="assistant", editable=False
    )
    position = models.PositiveIntegerField(default=100, help_text="Lower stands first in the list.")
    archived_at = models.DateTimeField(null=True, blank=True)
    grants = GenericRelation(Grant)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AssistantQuerySet.as_manager()

    if TYPE_CHECKING:
        published_version_id: uuid.UUID | None

    class Meta:
        ordering = ["position", "name", "id"]
        indexes = [
            models.Index(fields=["position", "name", "id"], condition=Q(archived_at=None), name="assistant_list")
        ]

    def __str__(self) -> str:
        return self.name


class AssistantVersion(models.Model):
    """Everything that decides how an assistant answers. A draft can be edited; a published one cannot.

    `input_messages` are Responses input items that stand before every conversation, with `{{name}}` replaced from
    `variables`. `tools` is a list of {"name", "config", "policy"}. `parameters` holds what is sent upstream
    (temperature, top_p, max_output_tokens, reasoning, text, tool_choice, parallel_tool_calls, service_tier).
    """

    class Strategy(models.TextChoices):
        FULL = "full", "Everything"
        WINDOW = "window", "The last messages"
        SUMMARY = "summary", "Summary and the last messages"
        HYBRID = "hybrid", "Summary, the last messages and facts"

    class Retrieval(models.TextChoices):
        AUTO = "auto", "Search in every turn"
        TOOL = "tool", "The model searches when it wants to"
        OFF = "off", "Never"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    assistant = models.ForeignKey(Assistant, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    instructions = models.TextField(blank=True, default="", max_length=256_000)
    input_messages = models.JSONField(default=list, blank=True)
    variables = models.JSONField(default=dict, blank=True)
    model = models.ForeignKey(
        EndpointModel,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        limit_choices_to={"purpose": "chat"},
        help_text="Empty: the default chat model of this site.",
    )
    utility_model = models.ForeignKey(
        EndpointModel,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        limit_choices_to={"purpose": "chat"},
        help_text="For titles, summaries and facts. Empty: the model above.",
    )
    parameters = models.JSONField(default=dict, blank=True)
    tools = models.JSONField(default=list, blank=True)
    # what somebody dropped into a conversation is nobody else's source
    stores = models.ManyToManyField(
        VectorStore, blank=True, related_name="assistant_versions", limit_choices_to={"kind": "library"}
    )
    strategy = models.CharField(max_length=10, choices=Strategy.choices, default=Strategy.SUMMARY)
    strategy_parameters = models.JSONField(default=dict, blank=True)
    retrieval = models.CharField(max_length=10, choices=Retrieval.choices, default=Retrieval.AUTO)
    retrieval_parameters = models.JSONField(default=dict, blank=True)
    passages = models.PositiveIntegerField(
        default=8,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="Passages that go into a request at most.",
    )
    starters = models.JSONField(default=list, blank=True, help_text="Questions offered in an empty conversation.")
    remembers = models.BooleanField(default=False, help_text="Keeps facts about a person, who can see and delete them.")
    failure_message = models.TextField(
        blank=True, default="", help_text="Shown when no model answers. Empty: the error alone."
    )
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)

    if TYPE_CHECKING:
        assistant_id: uuid.UUID
        model_id: uuid.UUID | None

    class Meta:
        ordering = ["assistant", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["assistant", "number"], name="assistant_version_number"),
            models.UniqueConstraint(
                fields=["assistant"], condition=Q(published_at=None), name="assistant_version_one_draft"
            ),
            models.CheckConstraint(
                name="assistant_version_strategy",
                condition=Q(strategy__in=["full", "window", "summary", "hybrid"]),
            ),
            models.CheckConstraint(
                name="assistant_version_retrieval", condition=Q(retrieval__in=["auto", "tool", "off"])
            ),
            models.CheckConstraint(name="assistant_version_passages", condition=Q(passages__range=(1, 50))),
        ]

    def __str__(self) -> str:
        return f"{self.assistant} v{self.number}" + ("" if self.published_at else " (draft)")


class FallbackModel(models.Model):
    """The models a version turns to, in order, when its own does not answer."""

    version = models.ForeignKey(AssistantVersion, on_delete=models.CASCADE, related_name="fallbacks")
    model = models.ForeignKey(
        EndpointModel, on_delete=models.PROTECT, related_name="+", limit_choices_to={"purpose": "chat"}
    )
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="fallback_position"),
            models.UniqueConstraint(fields=["version", "model"], name="fallback_once"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.model}"
