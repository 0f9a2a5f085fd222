"""The chat's pages: what they show, to whom, and with how many queries."""

import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.models import Assistant, Citation, Conversation, Item, Turn
from chat.turns.item_rows import citation_id
from core.models import User
from retrieval.models import Document
from tests import factories

pytestmark = pytest.mark.django_db

# What any signed-in page costs: session, user, then the page's own.
PAGE_QUERIES = 22


@pytest.fixture
def owner() -> User:
    return factories.user()


@pytest.fixture
def assistant(owner: User) -> Assistant:
    factories.embedding_model(name="hashing-512", is_default=True)
    return factories.assistant(
        owner=owner, model=factories.chat_model(is_default=True), starters=["What opens at six?"]
    )


@pytest.fixture
def browser(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


JSON = {"accept": "application/json"}


def long_conversation(owner: User, assistant: Assistant, turns: int) -> Conversation:
    conversation = factories.conversation(owner, assistant)
    parent = None
    for number in range(turns):
        parent = factories.turn(conversation, text=f"Question {number}?", answer=f"Answer {number}.", parent=parent)
    return conversation


def cited(conversation: Conversation, document: Document) -> Citation:
    turn = Turn.objects.get(id=conversation.active_turn_id)
    assert document.revision is not None
    return Citation.objects.create(
        id=citation_id(turn.id, 1),
        item=Item.objects.get(turn=turn, role="assistant"),
        number=1,
        position=0,
        revision=document.revision,
        document_name=document.name,
        start=0,
        end=8,
        quote=document.revision.text[:8],
        support=1.0,
    )


def test_the_first_page_offers_assistants_and_says_what_answers(browser: Client, assistant: Assistant) -> None:
    page = browser.get("/").content.decode()
    assert assistant.name in page
    assert "What opens at six?" in page
    assert "No model is configured" in page


def test_a_configured_model_is_not_called_missing(browser: Client, assistant: Assistant, owner: User) -> None:
    model = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:1/v1"))
    other = factories.assistant(owner=owner, model=model)
    assert "No model is configured" not in browser.get(f"/?assistant={other.id}").content.decode()


def test_an_answer_without_a_word_is_called_so(browser: Client, owner: User, assistant: Assistant) -> None:
    conversation = factories.conversation(owner, assistant)
    factories.turn(conversation, status=Turn.Status.COMPLETED, finished_at=timezone.now())
    assert "The model ended without a word." in browser.get(conversation.get_absolute_url()).content.decode()


def test_an_answer_with_words_is_left_alone(browser: Client, owner: User, assistant: Assistant) -> None:
    page = browser.get(long_conversation(owner, assistant, 1).get_absolute_url()).content.decode()
    assert "The model ended without a word." not in page


@pytest.mark.parametrize("turns", [1, 15, 60])
def test_opening_a_conversation_costs_the_same_however_long_it_is(
    browser: Client,
    owner: User,
    assistant: Assistant,
    turns: int,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    conversation = long_conversation(owner, assistant, turns)
    with django_assert_max_num_queries(PAGE_QUERIES):
        page = browser.get(conversation.get_absolute_url()).content.decode()
    assert f"Answer {turns - 1}." in page


@pytest.mark.parametrize("conversations", [1, 12, 40])
def test_the_list_costs_the_same_however_many_there_are(
    browser: Client,
    owner: User,
    assistant: Assistant,
    conversations: int,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(conversations):
        long_conversation(owner, assistant, 1)
    with django_assert_max_num_queries(6):
        browser.get("/conversations/")


def test_earlier_turns_are_paged_without_a_gap(browser: Client, owner: User, assistant: Assistant) -> None:
    conversation = long_conversation(owner, assistant, 50)
    seen: list[str] = []
    url: str | None = conversation.get_absolute_url()
    while url:
        response = browser.get(url)
        seen = [turn.user_text for turn in response.context["turns"]] + seen
        url = response.context["older_url"]
    assert seen == [f"Question {number}?" for number in range(50)]


def test_the_list_is_paged_without_a_gap(browser: Client, owner: User, assistant: Assistant) -> None:
    made = [long_conversation(owner, assistant, 1) for _ in range(65)]
    seen: list[uuid.UUID] = []
    url: str | None = "/conversations/"
    while url:
        response = browser.get(url)
        seen += [entry.id for entry in response.context["entries"]]
        url = response.context["more_entries_url"]
    assert sorted(seen) == sorted(conversation.id for conversation in made)


def test_a_branch_is_shown_by_any_of_its_turns(browser: Client, owner: User, assistant: Assistant) -> None:
    conversation = factories.conversation(owner, assistant)
    first = factories.turn(conversation, text="First way?", answer="One.")
    below = factories.turn(conversation, text="Further?", answer="On.", parent=first)
    factories.turn(conversation, text="Second way?", answer="Two.")
    address = conversation.get_absolute_url()
    assert [turn.user_text for turn in browser.get(address).context["turns"]] == ["Second way?"]
    shown = browser.get(f"{address}?turn={first.id}").context["turns"]
    assert [turn.id for turn in shown] == [first.id, below.id]
    assert (shown[0].messages.index, shown[0].messages.count) == (1, 2)
    assert browser.get(f"{address}?turn={uuid.uuid4()}").status_code == 404


def test_strangers_find_nothing(client: Client, owner: User, assistant: Assistant) -> None:
    conversation = long_conversation(owner, assistant, 1)
    document = factories.document(factories.store(owner=owner), state="ready")
    citation = cited(conversation, document)
    addresses = [
        conversation.get_absolute_url(),
        f"{conversation.get_absolute_url()}turns/",
        f"/citations/{citation.id}/",
    ]
    for address in addresses:
        assert client.get(address).status_code == 302
    client.force_login(factories.user())
    assert [client.get(address).status_code for address in addresses] == [404, 404, 404]
    upload = client.post(
        f"{conversation.get_absolute_url()}files/", {"file": SimpleUploadedFile("a.txt", b"text")}, headers=JSON
    )
    assert (upload.status_code, upload.json()["code"]) == (404, "not_found")


def test_a_cited_passage_is_shown_to_whom_the_assistant_was_granted_but_not_its_document(
    client: Client, assistant: Assistant
) -> None:
    """Access to an assistant lets one see the passage; the whole document needs a right of its own."""
    keeper, reader = factories.user(), factories.user()
    document = factories.document(factories.store(owner=keeper), text="The pier is closed on Mondays.", state="ready")
    citation = cited(long_conversation(reader, assistant, 1), document)
    client.force_login(reader)
    panel = client.get(f"/citations/{citation.id}/")
    assert panel.status_code == 200
    assert "<mark" in panel.content.decode()
    assert document.get_absolute_url() not in panel.content.decode()
    factories.grant(document.store, reader)
    assert document.get_absolute_url() in client.get(f"/citations/{citation.id}/").content.decode()


def test_a_passage_stays_on_the_page_it_is_from(browser: Client, owner: User, assistant: Assistant) -> None:
    document = factories.document(
        factories.store(owner=owner), text="Page one. Quoted on page two, and more. Page three.", state="ready"
    )
    assert document.revision is not None
    document.revision.pages = [[0, 10], [10, 40], [40, 51]]
    document.revision.save()
    citation = cited(long_conversation(owner, assistant, 1), document)
    Citation.objects.filter(pk=citation.pk).update(page=2, start=10, end=28, quote="Quoted on page two")
    panel = browser.get(f"/citations/{citation.id}/").content.decode()
    assert "<mark>Quoted on page two</mark>, and more." in panel
    assert "Page one" not in panel
    assert "Page three" not in panel
    Citation.objects.filter(pk=citation.pk).update(page=None)  # formats without pages show what stands around it
    assert "Page one. <mark>" in browser.get(f"/citations/{citation.id}/").content.decode()


def test_a_quote_outlives_its_document(browser: Client, owner: User, assistant: Assistant) -> None:
    document = factories.document(factories.store(owner=owner), text="The pier is closed.", state="ready")
    citation = cited(long_conversation(owner, assistant, 1), document)
    Document.objects.filter(id=document.id).update(revision=None, state="queued")
    document.delete()
    panel = browser.get(f"/citations/{citation.id}/").content.decode()
    assert "The pier" in panel
    citation.refresh_from_db()
    assert citation.revision is None


def test_an_upload_begins_a_conversation(browser: Client, owner: User, assistant: Assistant) -> None:
    conversation = uuid.uuid4()
    first = browser.post(
        f"/c/{conversation}/files/",
        {"file": SimpleUploadedFile("a.txt", b"Some text."), "assistant": str(assistant.id)},
    )
    again = browser.post(f"/c/{conversation}/files/", {"file": SimpleUploadedFile("b.txt", b"Some text.")})
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert again.json()["document"] == first.json()["document"]
    made = Conversation.objects.get(id=conversation)
    assert made.store is not None
    assert made.store.owner == owner
    # nothing was said in it yet, so it is not listed
    assert browser.get("/conversations/").context["entries"] == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "invalid_input"),
        ({"file": SimpleUploadedFile("e.txt", b"")}, "empty_file"),
        ({"file": SimpleUploadedFile("a.txt", b"x"), "assistant": "nonsense"}, "invalid_input"),
    ],
)
def test_bad_uploads_say_why(browser: Client, assistant: Assistant, fields: dict[str, object], code: str) -> None:
    answer = browser.post(f"/c/{uuid.uuid4()}/files/", {"assistant": str(assistant.id), **fields}, headers=JSON)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == code
    assert answer.json()["message"]


def test_a_final_turn_shows_its_failure_and_what_to_do(browser: Client, owner: User, assistant: Assistant) -> None:
    conversation = factories.conversation(owner, assistant)
    factories.turn(
        conversation,
        status="failed",
        error_code="key_refused",
        error_message="The key is refused.",
        finished_at=timezone.now(),
    )
    page = browser.get(conversation.get_absolute_url()).content.decode()
    assert "The key is refused." in page
    assert "data-retry" in page
