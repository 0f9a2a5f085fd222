"""What goes with a row that is deleted, what stays, and what stands in the way."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import ProtectedError

from chat.models import (
    Assistant,
    AssistantVersion,
    Attachment,
    BackgroundCall,
    Citation,
    Conversation,
    Fact,
    Item,
    Response,
    SentRequest,
    Summary,
    SummaryFailure,
    Turn,
)
from core.models import Grant, Milestone
from retrieval.models import Document, File, VectorStore
from tests import factories
from tests.ingesting import work as work_off
from tests.sound_rows import (
    HEX,
    attachment,
    background_call,
    chunk,
    citation,
    conversation,
    fact,
    fact_reading,
    fallback,
    grant,
    link,
    memory_off,
    model,
    published,
    response,
    revision,
    sent,
    summary,
    summary_failure,
    tool_call,
    work,
)

pytestmark = pytest.mark.django_db


def talk() -> Conversation:
    """A conversation with an answered turn, a child of it, a call with its record, a citation and a file."""
    held = conversation()
    held.store = factories.store(owner=held.user, kind=VectorStore.Kind.CONVERSATION)
    held.save()
    first = factories.turn(held, answer="Yes.")
    second = factories.turn(held, parent=first, answer="No.")
    answer = second.items.get(position=1)
    source = factories.document(held.store, state=Document.State.READY)
    Citation.objects.create(
        item=answer,
        number=1,
        position=0,
        revision=source.revision,
        document_name=source.name,
        start=0,
        end=4,
        quote="This",
        support=1.0,
    )
    Attachment.objects.create(item=first.input_item, document=source, name=source.name, position=0)
    Summary.objects.create(conversation=held, turn=first, text="They greeted.", tokens=3)
    SummaryFailure.objects.create(conversation=held, turn=first, code="refused", message="It refused.")
    Fact.objects.create(user=held.user, assistant=held.assistant, item=answer, text="Likes tea.")
    reply = Response.objects.create(turn=second, step=1, attempt=1, epoch=1, model_name="m", idempotency_key="i")
    SentRequest.objects.create(response=reply, sha256=HEX)
    return held


def test_a_conversation_goes_with_all_that_was_said_in_it() -> None:
    held = talk()
    held.delete()
    for gone in (Turn, Item, Citation, Attachment, Summary, SummaryFailure, Response, SentRequest):
        assert not gone._default_manager.exists(), gone
    assert Fact.objects.get().item is None


def test_facts_of_one_conversation_go_with_it() -> None:
    held = talk()
    Fact.objects.create(user=held.user, assistant=held.assistant, conversation=held, text="Is on the train.")
    held.delete()
    assert Fact.objects.get().text == "Likes tea."


def test_a_fact_goes_with_all_that_it_has_replaced() -> None:
    """Else the older ones would be back."""
    newest, other = fact(), fact()
    for text in ("Lives in Rome.", "Lives in Oslo."):
        older = Fact.objects.create(user=newest.user, assistant=newest.assistant, text=text)
        Fact.objects.filter(superseded_by=newest).update(superseded_by=older)
        Fact.objects.filter(pk=older.pk).update(superseded_by=newest)
    newest.delete()
    assert list(Fact.objects.all()) == [other]


def test_a_person_goes_with_conversations_stores_and_files() -> None:
    held = talk()
    held.user.delete()
    work_off()
    for gone in (Conversation, Turn, VectorStore, Document, File, Fact):
        assert not gone._default_manager.exists(), gone


def test_what_was_spent_in_the_background_stays_as_figures() -> None:
    """The row holds no word of anybody: what it was for is only named by references, and these go."""
    row = background_call(input_tokens=7)
    of, person, made_for = row.conversation, row.user, row.assistant
    assert of is not None
    assert person is not None
    assert made_for is not None
    of.delete()
    kept = BackgroundCall.objects.get()
    assert (kept.conversation, kept.user, kept.assistant, kept.input_tokens) == (None, person, made_for, 7)
    person.delete()
    made_for.delete()
    kept.refresh_from_db()
    assert (kept.user, kept.assistant, kept.input_tokens) == (None, None, 7)
    words = {field.name for field in BackgroundCall._meta.get_fields() if field.get_internal_type() == "TextField"}
    assert not words


def test_a_document_goes_and_its_name_and_quote_stay() -> None:
    held = talk()
    Document.objects.all().delete()
    assert Attachment.objects.get().name
    kept = Citation.objects.get()
    assert (kept.revision, kept.quote) == (None, "This")
    held.refresh_from_db()
    assert held.store is not None


def test_an_assistant_without_conversations_can_go_and_one_with_them_cannot() -> None:
    unused = factories.assistant(stores=[factories.store()])
    unused.delete()
    assert not AssistantVersion.objects.exists()
    used = talk().assistant
    with pytest.raises(ProtectedError), transaction.atomic():
        used.delete()
    assert Assistant.objects.filter(pk=used.pk).exists()


def test_a_store_goes_and_leaves_the_published_versions_that_named_it() -> None:
    store = factories.store()
    version = factories.assistant(stores=[store]).versions.get()
    store.delete()
    assert list(version.stores.all()) == []


def test_a_model_that_something_refers_to_stays() -> None:
    held = factories.store()
    with pytest.raises(ProtectedError), transaction.atomic():
        held.embedding_model.delete()
    with pytest.raises(ProtectedError), transaction.atomic():
        held.embedding_model.endpoint.delete()


def test_grants_go_with_what_they_are_about() -> None:
    store = factories.store()
    factories.grant(store, None)
    store.delete()
    assert not Grant.objects.exists()


def test_names_of_things_are_readable() -> None:
    """What the admin shows of each row names it and needs nothing that is not there."""
    made = [
        link(), grant(), grant(factories.user()), work(), model(), fallback(), chunk(), sent(), citation(), fact(),
        summary(), summary_failure(), attachment(), response(), background_call(), tool_call(),
        Milestone(name="first"), published(), revision(), fact_reading(), memory_off(),
    ]  # fmt: skip
    assert all(str(row) and "object (" not in str(row) for row in made)
    assert str(grant()).startswith("everyone")
    assert ContentType.objects.count()
