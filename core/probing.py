"""What was found out about a server: asked for in the admin, stored on its endpoint, told in sentences.

A finding is `{outcome, works, said, model, since, at}`: `works` is true, false or null (nothing was learnt), the times
are ISO 8601, and `since` is when the outcome was first this one. Who asks the servers is the chat room.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format

from core import outbox
from core.errors import ConflictError
from core.models import Endpoint, EndpointModel, User, Work

PROBE = "core.probe_endpoint"
"""The kind of work: its subject is an endpoint."""

_OUTCOMES = {"supported": "Works", "refused": "Refused", "ignored": "Without effect", "unknown": "Not known"}


def model_to_probe(endpoint: Endpoint) -> EndpointModel | None:
    """The chat model that a probe asks: the site's default if it is this endpoint's, else the first."""
    models = endpoint.served_models.filter(purpose=EndpointModel.Purpose.CHAT, enabled=True)
    return models.order_by("-is_default", "name").first()


@transaction.atomic
def request_probe(*, endpoint: Endpoint, owner: User) -> None:
    """Have a worker find out what the server can do. Raises `ConflictError` where there is nothing to ask."""
    if endpoint.provider != Endpoint.Provider.OPENAI or not endpoint.enabled:
        raise ConflictError(f"{endpoint.name} is no model server that is switched on.")
    if model_to_probe(endpoint) is None:
        raise ConflictError(f"{endpoint.name} serves no chat model that could be asked.")
    outbox.enqueue(kind=PROBE, subject=endpoint.pk, owner=owner)


@transaction.atomic
def store_findings(*, endpoint: UUID, found: Mapping[str, Mapping[str, Any]], at: datetime) -> None:
    """Store what a probe found. A question that it left open keeps its earlier answer."""
    row = Endpoint.objects.select_for_update().filter(pk=endpoint).first()
    if row is None:
        return
    row.findings = {**row.findings, **dict(_merged(row.findings, found))}
    row.capabilities_probed_at = at
    row.save(update_fields=["findings", "capabilities_probed_at", "updated_at"])


def _merged(
    known: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, finding in found.items():
        before = known.get(name, {})
        if finding["outcome"] == "unknown" and before:
            continue
        same = before.get("outcome") == finding["outcome"]
        yield name, {**finding, "since": before["since"] if same else finding["at"]}


def sentence(finding: Mapping[str, Any]) -> str:
    """A finding for people: "Refused since 21 November 2026 (gpt-5): “Unknown parameter”"."""
    said = f": “{finding['said']}”" if finding["said"] else ""
    return f"{_OUTCOMES[finding['outcome']]} since {_shown(finding['since'])} ({finding['model']}){said}"


def progress(endpoint: Endpoint) -> str:
    """How far a probe that was asked for is, else when the last one was, and how to have another."""
    work = Work.objects.filter(kind=PROBE, subject=endpoint.pk).order_by("-created_at").first()
    if work is not None and work.state != Work.State.FAILED:
        return "A probe is running; reload the page in a minute."
    again = "To ask the server what it can do, choose it in the list of endpoints and take “Probe”."
    if work is not None:
        return f"The last probe failed: {work.error} {again}"
    asked = endpoint.capabilities_probed_at
    return f"Last asked {_shown(asked.isoformat())}. {again}" if asked else again


def _shown(moment: str) -> str:
    return date_format(timezone.localtime(datetime.fromisoformat(moment)), "DATETIME_FORMAT")
