"""Asks servers what they can do, and stores what was found on their endpoints."""

import asyncio
import uuid

from django.db import transaction

from chat.providers.openai.probing import Report, probe
from chat.selectors.targets import choice_of
from core.endpoints import NoModelError
from core.errors import ConflictError
from core.models import Endpoint, EndpointModel
from core.probing import model_to_probe, store_findings


def probe_endpoint(endpoint: uuid.UUID) -> Report | None:
    """Probe one endpoint through its chat model; None where it, its model or its address is gone meanwhile.

    Takes minutes: for workers and commands.
    """
    row = Endpoint.objects.filter(pk=endpoint).first()
    model = model_to_probe(row) if row is not None else None
    if model is None:
        return None
    try:
        target = choice_of(model).target
    except NoModelError:
        return None
    report = asyncio.run(probe(target))
    save_report(report, endpoint=endpoint)
    return report


def save_report(report: Report, *, endpoint: uuid.UUID) -> None:
    store_findings(endpoint=endpoint, found=report.to_record(), at=report.at)


def endpoint_at(base_url: str) -> Endpoint | None:
    """The endpoint of this address, one that is in use first."""
    return Endpoint.objects.filter(base_url=base_url).order_by("-enabled", "created_at").first()


@transaction.atomic
def make_endpoint(*, name: str, base_url: str, api_key: str, model: str) -> Endpoint:
    """Add a server with the chat model that was probed. Raises `ConflictError` for a name that is taken."""
    if Endpoint.objects.filter(name=name).exists():
        raise ConflictError(f"There is an endpoint called {name} already, with another address.")
    endpoint = Endpoint.objects.create(name=name, base_url=base_url, api_key=api_key)
    EndpointModel.objects.create(endpoint=endpoint, name=model, purpose=EndpointModel.Purpose.CHAT)
    return endpoint
