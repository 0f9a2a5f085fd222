"""What was sent, on the page and in the admin: to whom, how much of it, and with nothing taken for markup."""

import hashlib
import re
import uuid
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.models import Citation, Fact, Item, Response, SentRequest, Summary, Turn
from core.models import User
from retrieval.models import Document
from tests import factories
from tests.admin_pages import page, staff

pytestmark = pytest.mark.django_db

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
BODY = b'{"model":"m","input":[{"role":"user","content":"</pre><script>alert(1)</script> \xc3\xbc"}],"n":1.50}'


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


def asked(person: User, *, body: bytes = BODY, **manifest: Any) -> Turn:
    """A turn of the person's, with one request on record; `manifest` holds fields of it."""
    turn = factories.turn(factories.conversation(person), text="Why?", answer="Because [1].")
    attempt(turn, 0, 0, body=body, **manifest)
    return turn


def attempt(turn: Turn, step: int, number: int, *, body: bytes = BODY, **manifest: Any) -> Response:
    model = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:9/v1"))
    response = Response.objects.create(
        turn=turn, step=step, attempt=number, epoch=1, model=model, model_name=f"model {HOSTILE}", idempotency_key="i",
        status="completed", input_tokens=1234, cached_tokens=1024,
    )  # fmt: skip
    known = {
        "tokens": {"instructions": 100, "question": 50, "tools": 0}, "ceiling": 1000,
        "body": {"encoding": "zlib", "bytes": len(body)}, **manifest,
    }  # fmt: skip
    SentRequest.objects.create(
        response=response, manifest=known, sha256=hashlib.sha256(body).hexdigest(), body=SentRequest.packed(body)
    )
    return response


def passage(document: Document, number: int) -> dict[str, Any]:
    assert document.revision is not None
    return {
        "number": number, "revision": str(document.revision.pk), "document": str(document.pk), "name": document.name,
        "page": 3, "heading": "Chapter", "start": 0, "end": len(document.revision.text), "score": 0.25,
    }  # fmt: skip


def address(turn: Turn) -> str:
    return f"/turns/{turn.pk}/sent/"


def shown(client: Client, person: User, turn: Turn) -> str:
    client.force_login(person)
    response = client.get(address(turn))
    assert response.status_code == 200
    return response.content.decode()


def test_only_whose_conversation_it_is_sees_it(client: Client, cast: factories.Cast) -> None:
    turn = asked(cast.owner)
    factories.grant(turn.conversation, cast.teammate)
    assert "Instructions" in shown(client, cast.owner, turn)
    for other in (cast.teammate, cast.outsider, factories.superuser()):
        client.force_login(other)
        assert client.get(address(turn)).status_code == 404
    client.logout()
    assert client.get(address(turn)).status_code == 302
    client.force_login(cast.owner)
    assert client.get(f"/turns/{uuid.uuid4()}/sent/").status_code == 404
    assert client.post(address(turn)).status_code == 405
    turn.conversation.deleted_at = turn.created_at
    turn.conversation.save()
    assert client.get(address(turn)).status_code == 404


def test_parts_fill_the_bar_and_the_table_says_the_same(client: Client, cast: factories.Cast) -> None:
    tokens = {"question": 50, "instructions": 100, "tools": 0, "window": 349, "something": 1}
    html = shown(client, cast.owner, asked(cast.owner, tokens=tokens))
    bars = re.findall(r'sent__part--(\w+)" x="([\d.]+)" y="0" width="([\d.]+)"', html)
    assert bars == [
        ("instructions", "0.00", "200.00"), ("window", "200.00", "698.00"), ("question", "898.00", "100.00"),
        ("other", "998.00", "2.00"),
    ]  # fmt: skip
    rows = re.findall(r"</span>([^<]+)</th>\s*<td>([\d,]+)</td>", html)
    assert rows == [
        ("Instructions", "100"), ("Earlier turns", "349"), ("The newest message", "50"), ("something", "1"),
    ]  # fmt: skip
    foot = re.findall(r"<th scope=\"row\">([^<]+)</th>\s*<td>([\d,]+)</td>", html)
    assert foot == [("In all, by our own count", "500"), ("Left free of 1,000", "500")]
    assert re.findall(r'sent__used" width="([\d.]+)"', html) == ["500.00"]
    assert "counted 1,234" in html
    assert "1,024" in html


def test_each_attempt_is_told_apart_and_what_changed_is_said(client: Client, cast: factories.Cast) -> None:
    turn = asked(cast.owner, dropped={"turns": {"count": 7, "why": HOSTILE}, "passages": {"count": 0, "why": "none"}})
    dropped = [{"part": "window", "count": 5, "why": "too old"}, {"part": "summary", "count": 1, "why": "too long"}]
    attempt(turn, 1, 0, dropped=dropped, shortened=[{"part": "steps", "count": 1200, "why": "over the ceiling"}])
    attempt(turn, 1, 1, stripped_reasoning={"count": 2, "why": "sealed"})
    attempt(turn, 2, 0, takes_up="resp_1")
    html = shown(client, cast.owner, turn)
    titles = [" ".join(title.split()) for title in re.findall(r"<h3>(.*?)</h3>", html, flags=re.S)]
    assert titles == ["Step 1", "Step 2", "Step 2, attempt 2", "Step 3"]
    assert "2 sealed pieces" in html
    assert "already answering" in html
    assert [unescape(note) for note in re.findall(r"<li>(.*?)</li>", html)] == [
        f"Earlier turns: 7 ({HOSTILE})", "Earlier turns: 5 (too old)", "Summary of earlier turns: 1 (too long)",
        "Earlier steps of this answer: 1,200 (over the ceiling)",
    ]  # fmt: skip
    assert "<script>" not in html
    assert html.count("sent__attempt") == 4
    assert html.count("open>") == 1


def test_an_answer_that_goes_on_shows_all_its_steps(client: Client, cast: factories.Cast) -> None:
    first = asked(cast.owner)
    first.status = Turn.Status.INCOMPLETE
    first.save()
    second = factories.turn(first.conversation, answer=" and more.", continues=first)
    attempt(second, 0, 0)
    assert re.findall(r"Step \d", shown(client, cast.owner, second)) == ["Step 1", "Step 2"]


def test_the_person_reads_their_own_words(client: Client, cast: factories.Cast) -> None:
    earlier = factories.turn(factories.conversation(cast.owner), text=f"{HOSTILE} {'long ' * 100}", answer="Yes.")
    foreign = factories.turn(factories.conversation(cast.outsider), text="SECRET of another", answer="No.")
    summary = Summary.objects.create(
        conversation=earlier.conversation, turn=earlier, text=f"They said {HOSTILE}", tokens=3
    )
    turn = factories.turn(earlier.conversation, text="Now?", answer="Now.", parent=earlier)
    turns = [str(earlier.pk), str(foreign.pk)]
    attempt(turn, 0, 0, turns=turns, summary=str(summary.pk), tools=[HOSTILE])
    html = shown(client, cast.owner, turn)
    assert "<script>" not in html
    assert "<img" not in html
    assert "They said &quot;&gt;&lt;script&gt;" in html
    assert "long long" in html
    assert "long " * 30 not in html
    assert "SECRET" not in html
    assert "2 earlier turns" in html
    assert "(removed)" in html


def test_of_passages_one_reads_what_one_may_open_or_the_answer_cites(client: Client, cast: factories.Cast) -> None:
    def text(word: str) -> Document:
        store = factories.store(owner=cast.outsider)
        return factories.document(store, text=f"{word} {HOSTILE}", name=f"{word}.txt", state="ready")

    cited, open_to_all, closed = text("cited"), text("open"), text("closed")
    factories.grant(open_to_all.store, cast.owner)
    passages = [passage(document, number) for number, document in enumerate((cited, open_to_all, closed), start=1)]
    turn = asked(cast.owner, passages=passages)
    Citation.objects.create(
        item=Item.objects.get(turn=turn, role="assistant"), number=1, position=0, document_name="cited.txt",
        start=0, end=5, quote="cited", support=1.0,
    )  # fmt: skip
    html = shown(client, cast.owner, turn)
    assert "cited.txt" in html
    assert "cited &quot;" in html
    assert "open &quot;" in html
    assert "closed" not in html
    assert html.count("From a document that you may not open") == 1
    assert html.count("score 0.250") == 3
    assert "<script>" not in html


def test_neither_the_body_nor_the_instructions_stand_on_the_page(client: Client, cast: factories.Cast) -> None:
    body = b'{"model":"m","instructions":"KEEP THIS TO YOURSELF","input":[]}'
    html = shown(client, cast.owner, asked(cast.owner, body=body))
    assert "KEEP THIS" not in html
    assert f"{len(body)} bytes" in html
    assert hashlib.sha256(body).hexdigest() in html


def test_rows_from_before_and_turns_without_requests_are_shown_too(client: Client, cast: factories.Cast) -> None:
    turn = factories.turn(factories.conversation(cast.owner), answer="Yes.")
    assert "Nothing was sent" in shown(client, cast.owner, turn)
    response = attempt(turn, 0, 0)
    SentRequest.objects.filter(response=response).update(manifest={"tokens": {"question": 5}}, body=b"{}")
    html = shown(client, cast.owner, turn)
    assert "The newest message" in html
    assert "Left free" not in html
    client.force_login(factories.superuser())
    assert "from before requests were kept" in client.get(page("chat_response_sent", response.pk)).content.decode()
    assert client.get(page("chat_response_body", response.pk)).status_code == 404


@pytest.mark.parametrize("steps", [1, 9])
def test_many_steps_cost_no_more_queries(
    client: Client, cast: factories.Cast, steps: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    document = factories.document(factories.store(owner=cast.owner), state="ready")
    turn = asked(cast.owner, passages=[passage(document, 1)])
    for number in range(1, steps):
        attempt(turn, number, 0, passages=[passage(document, 1)], turns=[str(turn.pk)], summary=str(uuid.uuid4()))
    client.force_login(cast.owner)
    with django_assert_max_num_queries(12):
        client.get(address(turn))


def test_the_answers_foot_leads_there(client: Client, cast: factories.Cast) -> None:
    turn = asked(cast.owner)
    client.force_login(cast.owner)
    assert f'href="{address(turn)}"' in client.get(turn.conversation.get_absolute_url()).content.decode()
    other = factories.turn(factories.conversation(cast.owner), status=Turn.Status.CANCELLED, finished_at=timezone.now())
    assert address(other) not in client.get(other.conversation.get_absolute_url()).content.decode()


def test_a_superuser_reads_and_downloads_the_bytes_of_any_turn(client: Client, cast: factories.Cast) -> None:
    turn = asked(cast.owner)
    response = turn.responses.get()
    client.force_login(factories.superuser())
    link = page("chat_response_sent", response.pk)
    assert link in client.get(page("chat_turn_change", turn.pk)).content.decode()
    assert link in client.get(page("chat_response_change", response.pk)).content.decode()
    html = client.get(link).content.decode()
    assert "&lt;/pre&gt;&lt;script&gt;" in html
    assert "<script>alert" not in html
    assert "ü" in html
    assert "sent__part--instructions" in html
    file = client.get(page("chat_response_body", response.pk))
    assert file.content == BODY
    assert file["Content-Type"] == "application/json"
    assert file["Content-Disposition"] == f'attachment; filename="request-{response.pk}.json"'
    assert file["X-Content-Type-Options"] == "nosniff"
    SentRequest.objects.filter(response=response).update(body=None)
    assert client.get(page("chat_response_body", response.pk)).status_code == 404
    assert "erased" in client.get(link).content.decode()


def test_facts_are_shown_to_whose_they_are_as_they_are_now(client: Client, cast: factories.Cast) -> None:
    """To whoever else may look at the conversation in the admin, a superuser apart, they are as good as deleted."""
    turn = asked(cast.owner)
    texts = {"kept": f"Likes tea {HOSTILE}.", "edited": "Lives in Rome.", "deleted": "Owns a boat."}
    facts = {
        name: Fact.objects.create(user=cast.owner, assistant=turn.conversation.assistant, text=text)
        for name, text in texts.items()
    }
    references = [{"id": str(fact.pk), "score": 0.512345} for fact in facts.values()]
    attempt(turn, 1, 0, facts=references)
    facts["deleted"].delete()
    Fact.objects.filter(pk=facts["edited"].pk).update(text="Lives in Oslo.", edited_at=timezone.now())
    html = unescape(shown(client, cast.owner, turn))
    assert "3 facts" in html
    assert "Likes tea" in html
    assert "Lives in Oslo." in html
    assert html.count("changed since it was sent") == 1
    assert html.count("(deleted)") == 1
    assert "score 0.512" in html

    clerk, response = staff("view_response"), turn.responses.get(step=1)
    factories.grant(turn.conversation, clerk)
    for person, seen in ((clerk, False), (factories.superuser(), True)):
        client.force_login(person)
        html = client.get(page("chat_response_sent", response.pk)).content.decode()
        assert ("Lives in Oslo." in html) is seen
        assert html.count("(deleted)") == (1 if seen else 3)


def test_staff_see_the_manifest_of_their_own_and_no_body(client: Client, cast: factories.Cast) -> None:
    clerk = staff("view_conversation", "view_turn", "view_response")
    own, foreign = asked(clerk).responses.get(), asked(cast.owner).responses.get()
    client.force_login(clerk)
    html = client.get(page("chat_response_sent", own.pk)).content.decode()
    assert "Only superusers" in html
    assert "sent__exact" not in html
    assert client.get(page("chat_response_body", own.pk)).status_code == 403
    for name in ("chat_response_sent", "chat_response_body"):
        assert client.get(page(name, foreign.pk)).status_code == 404
    client.force_login(staff("view_turn"))
    assert client.get(page("chat_response_sent", own.pk)).status_code == 403
    client.force_login(cast.owner)
    assert client.get(page("chat_response_sent", foreign.pk)).status_code == 302
