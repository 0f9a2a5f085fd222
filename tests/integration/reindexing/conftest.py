"""Two embedding models of two servers: the one that stores have, and the one they get."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from core.models import EndpointModel
from tests import factories
from tests.reindexing import DIMENSIONS
from tests.responses_server import ResponsesServer


@pytest.fixture
def second(responses_server: ResponsesServer) -> Iterator[ResponsesServer]:
    """A server whose vectors have another length."""
    server = ResponsesServer(dimensions=DIMENSIONS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def old(upstream: ResponsesServer) -> EndpointModel:
    return factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url), name="old")


@pytest.fixture
def new(second: ResponsesServer) -> EndpointModel:
    endpoint = factories.responses_endpoint(second.base_url)
    return factories.embedding_model(endpoint=endpoint, name="new", input_price=Decimal("0.02"))
