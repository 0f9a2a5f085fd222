"""The database itself keeps what is final as it is, whoever writes: every trigger, and how vectors are stored."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from chat.models import FallbackModel
from tests import factories
from tests.sound_rows import NOW, change, draft, fallback, model, published, tool_call

pytestmark = pytest.mark.django_db


FINAL = "a published assistant version cannot be changed"


@pytest.mark.parametrize(
    "values",
    [{"instructions": "x"}, {"number": 9}, {"starters": ["x"]}, {"published_at": None}, {"passages": 3}],
    ids=lambda values: next(iter(values)),
)
def test_a_published_version_never_changes(values: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        change(published(), **values)()


def test_a_draft_may_change() -> None:
    assert change(draft(), instructions="x")() == 1


def test_stores_and_fallbacks_of_a_published_version_cannot_be_added() -> None:
    version, store, other = published(), factories.store(), model()
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        version.stores.add(store)
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        FallbackModel.objects.create(version=version, model=other, position=1)
    moved = fallback()
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        change(moved, version=version)()


def test_who_published_may_be_forgotten() -> None:
    person = factories.user()
    version = factories.assistant(owner=person).versions.get()
    assert version.published_by == person
    person.delete()
    version.refresh_from_db()
    assert version.published_by is None


def test_a_finished_tool_call_never_changes() -> None:
    row = tool_call()
    assert change(row, status="succeeded", finished_at=NOW(), result={"ok": True})() == 1
    with pytest.raises(IntegrityError, match="finished tool call"), transaction.atomic():
        change(row, result={"ok": False})()
    with pytest.raises(IntegrityError, match="finished tool call"), transaction.atomic():
        change(row, status="running", finished_at=None)()


def test_every_trigger_of_ours_is_shown_to_do_its_work() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname")
        triggers = [name for (name,) in cursor.fetchall()]
    assert triggers == [
        "chat_assistant_gone",  # in test_assistant_files.py: the files go with it
        "chat_assistantversion_final",
        "chat_assistantversion_stores_final",
        "chat_conversation_deleted",  # in test_stores_ended.py, as the next and those of retrieval: what goes with what
        "chat_conversation_gone",
        "chat_fact_gone",  # in test_facts_recalled.py: it erases
        "chat_fallbackmodel_final",
        "chat_item_changed",  # in test_summaries.py, as the next: they drop summaries
        "chat_item_gone",
        "chat_text_gone",  # in test_erasing.py, as the next: they erase
        "chat_text_was_gone",
        "retrieval_document_gone",
        "retrieval_vectorstore_deleted",
        "retrieval_vectorstore_searched",  # in test_reindexing.py: it lets a store switch when its vectors are there
        "tools_toolcall_final",
        "tools_toolcall_kept",  # in test_audit.py: it refuses the application's role only
    ]


def test_vectors_lie_in_their_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'retrieval_chunkembedding'::regclass"
            " AND attname = 'embedding'"
        )
        assert cursor.fetchone() == ("p",)
