"""The audit of tool calls is append-only for the application, whatever its role was granted."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from config.local.keys import read_keys
from config.local.places import find_places
from config.local.postgres import APP
from core.models import Process
from tools.models import ToolCall

pytestmark = pytest.mark.django_db(transaction=True)


def call(**fields: Any) -> ToolCall:
    values = {"conversation": uuid.uuid4(), "turn": uuid.uuid4(), "call_id": "c", "tool": "add"}
    return ToolCall.objects.create(idempotency_key=uuid.uuid4().hex, **values, **fields)


@pytest.fixture
def application(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the application's role, which was given every privilege, as by a careless restore."""
    with connection.cursor() as cursor:
        cursor.execute("GRANT ALL ON tools_toolcall, core_process TO parley_app")
    keys = read_keys(find_places(Path(os.environ["PARLEY_TEST_SERVICES"])).keys)
    there = urlsplit(os.environ["DATABASE_URL"])
    url = there._replace(netloc=f"{APP}:{keys.postgres_app}@", path=f"/{connection.settings_dict['NAME']}").geturl()
    with psycopg.connect(url, autocommit=True) as connected:
        yield connected


def test_the_application_deletes_no_row_of_the_audit(application: psycopg.Connection[Any]) -> None:
    call(status="running")
    Process.objects.create(kind="web", host="h", pid=1)
    application.execute("DELETE FROM core_process")
    assert not Process.objects.exists(), "the control: what may be deleted is"
    with pytest.raises(psycopg.Error, match="audit of tool calls is kept"):
        application.execute("DELETE FROM tools_toolcall")
    assert ToolCall.objects.exists()


def test_a_finished_call_never_changes(application: psycopg.Connection[Any]) -> None:
    running, finished = call(status="running"), call(status="succeeded", finished_at=timezone.now())
    application.execute("UPDATE tools_toolcall SET error = 'x' WHERE id = %s", [running.id])
    with pytest.raises(psycopg.Error, match="finished tool call"):
        application.execute("UPDATE tools_toolcall SET error = 'x' WHERE id = %s", [finished.id])
