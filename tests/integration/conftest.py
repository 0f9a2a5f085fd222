"""What these tests share.

For turns: who asks, an assistant with a scripted model, a process that runs turns, sample tools. For the admin: who may
do everything there, and models that need no server.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from chat.models import Assistant
from core import endpoints
from core.models import User
from tests import factories
from tests import tools as samples
from tests.chat_client import running_turns
from tests.responses_server import ResponsesServer


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.user()


@pytest.fixture
def assistant(person: User, upstream: ResponsesServer) -> Assistant:
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
    return factories.assistant(owner=person, model=model, retrieval="off")


@pytest.fixture
async def turns(transactional_db: None) -> AsyncIterator[None]:
    async with running_turns():
        yield


@pytest.fixture
def effects(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tools of `tests.tools` are installed; their effects are files of this folder."""
    settings.TOOLS = samples.PATHS
    monkeypatch.setenv(samples.FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture
def boss(client: Client) -> User:
    """A superuser, signed in."""
    person = factories.superuser()
    client.force_login(person)
    return person


@pytest.fixture
def built_in_models(settings: Any) -> None:
    settings.CHAT_BASE_URL = settings.EMBEDDING_BASE_URL = "off"
    endpoints.sync_environment_endpoints()
