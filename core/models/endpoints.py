"""Servers that generate or embed, and the models they serve."""

import uuid

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from core.fields import EncryptedTextField


class Endpoint(models.Model):
    """A server with its key and what it can do.

    `capabilities` maps a name (`core.capabilities`) to true or false where somebody said so; `findings` is what probing
    found (`core.probing`). What neither says is unknown, and the adapter decides by the kind of server.
    """

    class Provider(models.TextChoices):
        OPENAI = "openai", "Responses API server"
        EXTRACTIVE = "extractive", "Quoted passages (no model)"
        HASHING = "hashing", "Lexical hashing (no model)"

    class Source(models.TextChoices):
        ADMIN = "admin", "Made in the admin"
        ENVIRONMENT = "environment", "From the environment"
        BUILT_IN = "built_in", "Built in"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)
    provider = models.CharField(max_length=20, choices=Provider.choices, default=Provider.OPENAI)
    source = models.CharField(max_length=20, choices=Source.choices, default=Source.ADMIN, editable=False)
    base_url = models.URLField(max_length=500, blank=True, help_text="For example https://api.openai.com/v1")
    api_key = EncryptedTextField(blank=True, default="")
    headers = models.JSONField(default=dict, blank=True, help_text="Extra headers for every request.")
    capabilities = models.JSONField(default=dict, blank=True)
    findings = models.JSONField(default=dict, blank=True, editable=False)
    capabilities_probed_at = models.DateTimeField(null=True, blank=True, editable=False)
    connect_timeout = models.FloatField(default=5.0, validators=[MinValueValidator(0.1)], help_text="Seconds.")
    read_timeout = models.FloatField(
        default=120.0, validators=[MinValueValidator(1)], help_text="Seconds without a byte from the server."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(name="endpoint_openai_has_url", condition=~Q(provider="openai") | ~Q(base_url="")),
            models.CheckConstraint(
                name="endpoint_provider_known", condition=Q(provider__in=["openai", "extractive", "hashing"])
            ),
            models.CheckConstraint(
                name="endpoint_source_known", condition=Q(source__in=["admin", "environment", "built_in"])
            ),
            models.CheckConstraint(
                name="endpoint_timeouts_positive", condition=Q(connect_timeout__gt=0, read_timeout__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def record(self) -> dict[str, bool]:
        """What is known of the server: what somebody set, before what was found."""
        found = {name: finding["works"] for name, finding in self.findings.items() if finding["works"] is not None}
        return {**found, **self.capabilities}


class EndpointModel(models.Model):
    """A model that an endpoint serves, for one purpose. Prices are in US dollars per million tokens.

    `token_ratio` is what requests of late were seen to cost by the server's count, as a multiple of ours
    (`chat.turns.measuring`); `token_ratio_at` is when it changed last.
    """

    class Purpose(models.TextChoices):
        CHAT = "chat", "Chat"
        EMBEDDING = "embedding", "Embeddings"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="served_models")
    name = models.CharField(max_length=200, help_text="As the server calls it.")
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    is_default = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    context_window = models.PositiveIntegerField(default=128_000, help_text="Tokens, the answer included.")
    max_output_tokens = models.PositiveIntegerField(default=16_000, help_text="Tokens reserved for the answer.")
    dimensions = models.PositiveIntegerField(
        null=True, blank=True, help_text="Length of a vector; learnt from the first answer."
    )
    token_ratio = models.FloatField(
        default=1.0,
        db_default=1.0,
        editable=False,
        help_text="Tokens that the server counts for each one that Parley counts.",
    )
    token_ratio_at = models.DateTimeField(null=True, blank=True, editable=False)
    input_price = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    cached_input_price = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    output_price = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["endpoint__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "name", "purpose"], name="endpoint_model_once"),
            models.UniqueConstraint(
                fields=["purpose"], condition=Q(is_default=True), name="endpoint_model_one_default"
            ),
            models.CheckConstraint(name="endpoint_model_purpose_known", condition=Q(purpose__in=["chat", "embedding"])),
            models.CheckConstraint(
                name="endpoint_model_room_for_input",
                condition=Q(context_window__gt=models.F("max_output_tokens")),
            ),
            models.CheckConstraint(name="endpoint_model_token_ratio", condition=Q(token_ratio__range=(1.0, 4.0))),
            # halfvec holds up to 4,000 dimensions where an index can reach them (pgvector, "halfvec")
            models.CheckConstraint(
                name="endpoint_model_dimensions",
                condition=Q(dimensions__isnull=True) | Q(dimensions__range=(1, 4000)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.endpoint.name})"
