"""The memory page: whose facts it shows, and what one does with them there."""

import re
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.models import Assistant, Fact, FactReading, MemoryOff
from chat.rendering.memory import FACTS
from chat.services.facts.keeping import take_turn
from chat.turns.afterwards import EMBED_FACTS
from core.models import User, Work
from tests import factories
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

JSON = {"Accept": "application/json"}
PAGE = "/memory/"


@pytest.fixture
def cast() -> factories.Cast:
    factories.embedding_model(name="hashing-512", is_default=True)
    factories.chat_model(is_default=True)
    return factories.cast()


@pytest.fixture
def assistant(cast: factories.Cast) -> Assistant:
    made = factories.assistant(owner=cast.owner, remembers=True, name="Harbour master")
    factories.grant(made, cast.team)
    return made


def as_(person: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(person)
    return client


def page_of(person: User, path: str = PAGE, **query: str) -> str:
    response = as_(person).get(path, query)
    assert response.status_code == HTTPStatus.OK
    return response.content.decode()


def shown(html: str) -> list[str]:
    return re.findall(r'<p class="fact__text"[^>]*>([^<]*)</p>', html)


def edit(client: Client, fact: Fact, text: str, seen: str | None = None) -> Any:
    words = {"text": text, "seen": fact.text if seen is None else seen}
    return client.post(reverse("chat:fact_edit", args=[fact.pk]), words, headers=JSON)


def delete(client: Client, fact: Fact) -> Any:
    return client.post(reverse("chat:fact_delete", args=[fact.pk]), headers=JSON)


def delete_all(client: Client, assistant: Assistant) -> Any:
    return client.post(reverse("chat:memory_delete", args=[assistant.pk]), headers=JSON)


def switch(client: Client, assistant: Assistant, on: str) -> Any:
    return client.post(reverse("chat:memory_switch", args=[assistant.pk]), {"on": on}, headers=JSON)


class TestWhoSees:
    def test_each_person_their_own_and_administrators_too(self, cast: factories.Cast, assistant: Assistant) -> None:
        factories.fact(cast.owner, assistant, "Sails.")
        factories.fact(cast.teammate, assistant, "Rows.")
        assert shown(page_of(cast.owner)) == ["Sails."]
        assert shown(page_of(cast.teammate)) == ["Rows."]
        assert shown(page_of(factories.superuser())) == []

    @pytest.mark.parametrize("ask", [delete, lambda client, fact: edit(client, fact, "Mine now.")])
    def test_the_fact_of_another_answers_like_a_missing_one(
        self, cast: factories.Cast, assistant: Assistant, ask: Callable[[Client, Fact], Any]
    ) -> None:
        fact = factories.fact(cast.owner, assistant, "Sails.")
        for person in (cast.teammate, cast.outsider, factories.superuser()):
            client = as_(person)
            foreign = ask(client, fact)
            missing = ask(client, Fact(id=uuid.uuid4(), text="Sails."))
            assert foreign.status_code == missing.status_code == HTTPStatus.NOT_FOUND
            assert foreign.json() == missing.json()
        assert Fact.objects.get().text == "Sails."

    def test_deleting_all_deletes_ones_own_only(self, cast: factories.Cast, assistant: Assistant) -> None:
        other = factories.assistant(remembers=True)
        factories.fact(cast.owner, assistant)
        kept = {factories.fact(cast.teammate, assistant).pk, factories.fact(cast.owner, other).pk}
        assert delete_all(as_(cast.owner), assistant).json()["deleted"] == 1
        assert set(Fact.objects.values_list("pk", flat=True)) == kept

    def test_an_assistant_that_is_not_ones_to_use_is_as_missing(
        self, cast: factories.Cast, assistant: Assistant
    ) -> None:
        client = as_(cast.outsider)
        path = reverse("chat:memory_of", args=[assistant.pk])
        assert client.get(path, headers=JSON).status_code == HTTPStatus.NOT_FOUND
        assert switch(client, assistant, "0").status_code == HTTPStatus.NOT_FOUND
        assert not MemoryOff.objects.exists()

    def test_what_an_assistant_kept_stays_in_reach_when_the_right_to_it_is_gone(
        self, cast: factories.Cast, assistant: Assistant
    ) -> None:
        fact = factories.fact(cast.teammate, assistant, "Rows.")
        assistant.grants.all().delete()
        page = page_of(cast.teammate)
        assert shown(page) == ["Rows."]
        assert "is not yours to use now" in page
        assert delete(as_(cast.teammate), fact).status_code == HTTPStatus.OK
        assert "Harbour master" not in page_of(cast.teammate)

    @pytest.mark.parametrize("path", [PAGE, "/memory/export/"])
    def test_who_is_not_signed_in_is_asked_to(self, path: str) -> None:
        assert Client().get(path).status_code == HTTPStatus.FOUND
        assert Client().get(path, headers=JSON).status_code == HTTPStatus.UNAUTHORIZED

    def test_a_form_of_another_site_does_nothing(self, cast: factories.Cast, assistant: Assistant) -> None:
        fact = factories.fact(cast.owner, assistant)
        client = as_(cast.owner, enforce_csrf_checks=True)
        answers = [edit(client, fact, "x"), delete(client, fact), delete_all(client, assistant)]
        answers.append(switch(client, assistant, "0"))
        assert {answer.status_code for answer in answers} == {HTTPStatus.FORBIDDEN}
        assert Fact.objects.get().text == fact.text
        assert not MemoryOff.objects.exists()

    def test_the_menu_leads_there_where_there_is_something_to_see(
        self, cast: factories.Cast, assistant: Assistant
    ) -> None:
        link = f'href="{PAGE}"'
        assert link in page_of(cast.owner, "/library/")
        assert link not in page_of(cast.outsider, "/library/")
        factories.fact(cast.outsider, assistant)
        assert link in page_of(cast.outsider, "/library/")


class TestThePage:
    def test_a_fact_stands_with_its_message_and_where_it_holds(
        self, cast: factories.Cast, assistant: Assistant
    ) -> None:
        talk = factories.conversation(cast.owner, assistant, title="About boats")
        turn = factories.turn(talk, text="I <sail> " + "a lot " * 60, answer="Good.")
        factories.fact(cast.owner, assistant, "Sails.", item=turn.input_item, conversation=talk)
        page = page_of(cast.owner)
        assert f"/c/{talk.pk}/?turn={turn.pk}#turn-{turn.pk}" in page
        assert "I &lt;sail&gt; a lot" in page
        assert page.count("a lot") < 25
        assert "Only “About boats”" in page

    def test_a_message_that_is_gone_is_said_to_be(self, cast: factories.Cast, assistant: Assistant) -> None:
        gone = factories.conversation(cast.owner, assistant, deleted_at=timezone.now())
        factories.fact(cast.owner, assistant, "Sails.", item=factories.turn(gone, text="I sail.").input_item)
        factories.fact(cast.owner, assistant, "Rows.")
        page = page_of(cast.owner)
        assert page.count("The message is gone") == 2
        assert f"/c/{gone.pk}/" not in page

    def test_what_was_replaced_is_not_current(self, cast: factories.Cast, assistant: Assistant) -> None:
        new = factories.fact(cast.owner, assistant, "Has a boat of 16 metres.")
        factories.fact(cast.owner, assistant, "Has a boat of 14 metres.", superseded_by=new)
        assert shown(page_of(cast.owner)) == ["Has a boat of 16 metres."]

    def test_the_newest_come_first_and_the_rest_in_pages(self, cast: factories.Cast, assistant: Assistant) -> None:
        start = timezone.now()
        for number in range(2 * FACTS + 5):
            fact = factories.fact(cast.owner, assistant, f"Fact {number}.")
            # pairs share their time, so that a page may end between the two
            Fact.objects.filter(pk=fact.pk).update(created_at=start + timedelta(minutes=number // 2))
        html, seen, pages = page_of(cast.owner), [], 1
        while True:
            seen += shown(html)
            further = re.search(r'href="(/memory/[^"]*before=[^"]*)"', html)
            if not further:
                break
            html, pages = page_of(cast.owner, further[1].replace("&amp;", "&")), pages + 1
        assert pages == 3
        assert sorted(seen) == sorted(f"Fact {number}." for number in range(2 * FACTS + 5))
        numbers = [int(re.sub(r"\D", "", text)) // 2 for text in seen]
        assert numbers == sorted(numbers, reverse=True)

    def test_many_assistants_and_facts_cost_no_more_queries(self, cast: factories.Cast, assistant: Assistant) -> None:
        client = as_(cast.owner)
        factories.fact(cast.owner, assistant)
        with CaptureQueriesContext(connection) as few:
            client.get(PAGE)
        for _ in range(4):
            more = factories.assistant(owner=cast.owner, remembers=True)
            turn = factories.turn(factories.conversation(cast.owner, more))
            for _ in range(5):
                factories.fact(cast.owner, more, item=turn.input_item)
        with CaptureQueriesContext(connection) as many:
            page = client.get(PAGE).content.decode()
        assert len(shown(page)) == 21
        # conversations are in the menu now
        assert len(many) <= len(few) + 1

    def test_a_search_keeps_what_holds_all_its_words(self, cast: factories.Cast, assistant: Assistant) -> None:
        other = factories.assistant(owner=cast.owner, remembers=True, name="Galley cook")
        factories.fact(cast.owner, assistant, "Sails a boat of 16 metres.")
        factories.fact(cast.owner, assistant, "Owns 100% of a Boat.")
        factories.fact(cast.owner, other, "Likes cod.")
        assert shown(page_of(cast.owner, q="boat sails")) == ["Sails a boat of 16 metres."]
        assert shown(page_of(cast.owner, q="100%")) == ["Owns 100% of a Boat."]
        assert "Galley cook" not in page_of(cast.owner, q="boat")
        assert "Nothing found" in page_of(cast.owner, q="<b>nobody")

    @pytest.mark.parametrize("before", ["", "~", "2026~x", "never~" + str(uuid.UUID(int=1)), "2026-01-01~x"])
    def test_a_place_that_is_none_is_the_beginning(
        self, cast: factories.Cast, assistant: Assistant, before: str
    ) -> None:
        factories.fact(cast.owner, assistant, "Sails.")
        path = reverse("chat:memory_of", args=[assistant.pk])
        assert shown(page_of(cast.owner, path, before=before)) == ["Sails."]

    def test_hostile_words_are_only_text(self, cast: factories.Cast, assistant: Assistant) -> None:
        factories.fact(cast.owner, assistant, '"><script>alert(1)</script>')
        assert "<script>alert" not in page_of(cast.owner)

    def test_where_nobody_remembers_the_page_says_what_it_is(self, cast: factories.Cast) -> None:
        assert "Nothing is remembered" in page_of(cast.owner)

    def test_all_of_it_can_be_taken_along(self, cast: factories.Cast, assistant: Assistant) -> None:
        turn = factories.turn(factories.conversation(cast.owner, assistant), text="I sail.")
        for number in range(FACTS + 5):
            factories.fact(cast.owner, assistant, f"Fact {number}.", item=turn.input_item)
        factories.fact(cast.teammate, assistant, "Not mine.")
        response = as_(cast.owner).get("/memory/export/")
        assert "attachment" in response.headers["Content-Disposition"]
        facts = response.json()["facts"]
        assert [fact["text"] for fact in facts] == [f"Fact {number}." for number in reversed(range(FACTS + 5))]
        assert (facts[0]["assistant"], facts[0]["message"]["text"]) == ("Harbour master", "I sail.")


class TestEdit:
    def test_a_fact_in_ones_own_words_is_marked_and_waits_for_its_vector(
        self, cast: factories.Cast, assistant: Assistant
    ) -> None:
        model = factories.embedding_model()
        fact = factories.fact(cast.owner, assistant, "Sails.", embedding=[1.0, 0.0], embedding_model=model)
        answer = edit(as_(cast.owner), fact, "  Sails\n and rows.\x00 ").json()
        assert "Sails and rows." in answer["html"]
        assert "In your words" in answer["html"]
        fact.refresh_from_db()
        assert (fact.text, fact.embedding, fact.embedding_model) == ("Sails and rows.", None, None)
        assert fact.edited_at is not None
        assert Work.objects.get(kind=EMBED_FACTS).subject == cast.owner.pk

    def test_the_second_of_two_tabs_is_told_and_may_insist(self, cast: factories.Cast, assistant: Assistant) -> None:
        fact = factories.fact(cast.owner, assistant, "Sails.")
        client = as_(cast.owner)
        assert edit(client, fact, "Sails a lot.").status_code == HTTPStatus.OK
        late = edit(client, fact, "Sails rarely.")
        assert (late.status_code, late.json()["code"]) == (HTTPStatus.CONFLICT, "fact_changed")
        assert late.json()["text"] == "Sails a lot."
        assert "Sails a lot." in late.json()["message"]
        assert Fact.objects.get().text == "Sails a lot."
        assert edit(client, fact, "Sails rarely.", seen=late.json()["text"]).status_code == HTTPStatus.OK
        assert Fact.objects.get().text == "Sails rarely."

    def test_the_same_edit_twice_is_one(self, cast: factories.Cast, assistant: Assistant) -> None:
        fact = factories.fact(cast.owner, assistant, "Sails.")
        answers = [edit(as_(cast.owner), fact, "Rows.") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [HTTPStatus.OK, HTTPStatus.OK]

    @pytest.mark.parametrize(("text", "says"), [(" \n ", "Write what should"), ("x" * 1001, "at most 1,000")])
    def test_words_that_cannot_be_taken(self, cast: factories.Cast, assistant: Assistant, text: str, says: str) -> None:
        fact = factories.fact(cast.owner, assistant, "Sails.")
        answer = edit(as_(cast.owner), fact, text)
        assert answer.status_code == HTTPStatus.BAD_REQUEST
        assert says in answer.json()["message"]
        assert Fact.objects.get().text == "Sails."

    def test_what_was_replaced_meanwhile_is_gone(self, cast: factories.Cast, assistant: Assistant) -> None:
        fact = factories.fact(cast.owner, assistant, "Sails.")
        Fact.objects.filter(pk=fact.pk).update(superseded_by=factories.fact(cast.owner, assistant, "Rows."))
        answer = edit(as_(cast.owner), fact, "Swims.")
        assert answer.status_code == HTTPStatus.NOT_FOUND
        assert "a newer one took its place" in answer.json()["message"]


class TestDelete:
    def test_it_is_gone_with_what_it_had_replaced(self, cast: factories.Cast, assistant: Assistant) -> None:
        newest = factories.fact(cast.owner, assistant, "16 metres.")
        newer = factories.fact(cast.owner, assistant, "15 metres.", superseded_by=newest)
        factories.fact(cast.owner, assistant, "14 metres.", superseded_by=newer)
        other = factories.fact(cast.owner, assistant, "Likes cod.")
        assert delete(as_(cast.owner), newest).json() == {"fact": str(newest.pk), "deleted": True}
        assert list(Fact.objects.all()) == [other]
        assert delete(as_(cast.owner), newest).status_code == HTTPStatus.NOT_FOUND

    def test_all_of_it_is_forgotten_also_what_a_worker_is_about_to_read(
        self, cast: factories.Cast, assistant: Assistant
    ) -> None:
        read, unread = (factories.turn(factories.conversation(cast.owner, assistant), answer="Yes.") for _ in "12")
        FactReading.objects.create(item=read.input_item)
        others = factories.turn(factories.conversation(cast.teammate, assistant))
        elsewhere = factories.turn(factories.conversation(cast.owner, factories.assistant(remembers=True)))
        assert delete_all(as_(cast.owner), assistant).status_code == HTTPStatus.OK
        codes = dict(FactReading.objects.values_list("item", "code"))
        assert codes == {read.input_item_id: "", unread.input_item_id: "forgotten"}
        assert {others.input_item_id, elsewhere.input_item_id}.isdisjoint(codes)

    def test_without_a_script_one_comes_back_to_the_page(self, cast: factories.Cast, assistant: Assistant) -> None:
        factories.fact(cast.owner, assistant)
        response = as_(cast.owner).post(reverse("chat:memory_delete", args=[assistant.pk]))
        assert (response.status_code, response.headers["Location"]) == (HTTPStatus.FOUND, PAGE)
        assert not Fact.objects.exists()


class TestSwitch:
    def test_off_and_on_again(self, cast: factories.Cast, assistant: Assistant) -> None:
        client = as_(cast.owner)
        factories.fact(cast.owner, assistant, "Sails.")
        for _ in range(2):
            answer = switch(client, assistant, "0").json()
            assert 'aria-checked="false"' in answer["html"]
            assert "stays here until you delete it" in answer["html"]
        off = MemoryOff.objects.get()
        assert (off.user, off.assistant) == (cast.owner, assistant)
        assert 'aria-checked="true"' in switch(client, assistant, "1").json()["html"]
        assert not MemoryOff.objects.exists()

    def test_it_is_kept_while_nothing_is_there_to_delete(self, cast: factories.Cast, assistant: Assistant) -> None:
        switch(as_(cast.owner), assistant, "0")
        page = page_of(cast.owner)
        assert "nothing is kept of what you write" in page
        assert "Delete all" not in page
        assert 'aria-checked="true"' in page_of(cast.teammate)

    def test_a_conversation_says_so(self, cast: factories.Cast, assistant: Assistant) -> None:
        talk = factories.conversation(cast.owner, assistant)
        factories.turn(talk, answer="Yes.")
        sign = re.compile(r"<parley-remembering[^>]*>")
        assert "data-on" in sign.findall(page_of(cast.owner, f"/c/{talk.pk}/"))[0]
        switch(as_(cast.owner), assistant, "0")
        assert 'data-memory="off"' in sign.findall(page_of(cast.owner, f"/c/{talk.pk}/"))[0]
        plain = factories.conversation(cast.owner, factories.assistant(owner=cast.owner))
        assert " hidden" in sign.findall(page_of(cast.owner, f"/c/{plain.pk}/"))[0]


def test_a_link_to_a_message_reaches_back_to_it(cast: factories.Cast, assistant: Assistant) -> None:
    talk = factories.conversation(cast.owner, assistant)
    turn, turns = None, []
    for number in range(45):
        turn = factories.turn(talk, text=f"Question {number}?", answer="Yes.", parent=turn)
        turns.append(turn)
    page = page_of(cast.owner, f"/c/{talk.pk}/", turn=str(turns[3].pk))
    assert page.count("<parley-turn") == 42
    older = re.search(r'href="([^"]*/turns/[^"]*)"', page)
    assert older is not None
    earlier = page_of(cast.owner, older[1].replace("&amp;", "&"))
    assert [text in earlier for text in ("Question 0?", "Question 2?", "Question 3?")] == [True, True, False]
    assert page_of(cast.owner, f"/c/{talk.pk}/", turn=str(turns[40].pk)).count("<parley-turn") == 20


@pytest.mark.django_db(transaction=True)
def test_of_edits_at_once_one_is_taken_and_the_others_are_told(cast: factories.Cast, assistant: Assistant) -> None:
    fact = factories.fact(cast.owner, assistant, "Sails.")
    clients = [as_(cast.owner) for _ in range(4)]
    ready, answers = threading.Barrier(len(clients)), []

    def save(number: int) -> None:
        ready.wait(timeout=30)
        answers.append(edit(clients[number], fact, f"Version {number}.").status_code)
        connection.close()

    threads = [threading.Thread(target=save, args=[number]) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(answers) == [HTTPStatus.OK, *[HTTPStatus.CONFLICT] * 3]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("do", ["edit", "delete", "delete all", "switch"])
def test_what_people_do_waits_for_a_worker_that_is_writing(cast: factories.Cast, assistant: Assistant, do: str) -> None:
    fact = factories.fact(cast.owner, assistant, "Sails.")
    client = as_(cast.owner)
    doing = {
        "edit": lambda: edit(client, fact, "Rows."),
        "delete": lambda: delete(client, fact),
        "delete all": lambda: delete_all(client, assistant),
        "switch": lambda: switch(client, assistant, "0"),
    }[do]
    answers: list[int] = []

    def run() -> None:
        answers.append(doing().status_code)
        connection.close()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        take_turn(cast.owner.pk, assistant.pk)
        thread.start()
        wait_until(_somebody_waits)
        assert not answers
    thread.join(timeout=60)
    assert answers == [HTTPStatus.OK]


def _somebody_waits() -> bool:
    """PostgreSQL serves others too, whose locks are none of ours."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return bool(cursor.fetchone()[0])
