"""Messages after they were sent: changed as a sibling, or taken back while they wait."""

import asyncio
import threading
import uuid
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from chat.models import Assistant, Conversation, Item, Turn
from chat.rendering.pages import branch
from chat.rendering.shapes import TurnView
from chat.services.messages import withdraw_turn
from chat.turns.claims import claim_turns
from core.bridge import in_database
from core.errors import ConflictError
from core.models import User
from retrieval.models import Document
from tests import factories
from tests.chat_client import Tab, tab_of
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

SLOW: dict[str, Any] = {"text": "word " * 20_000, "delay": 0.02}


def shown(conversation: uuid.UUID, leaf: uuid.UUID | None = None) -> list[TurnView]:
    row = Conversation.objects.get(id=conversation)
    return branch(row, leaf=leaf or row.active_turn_id).turns


def texts_sent(body: dict[str, Any]) -> list[str]:
    return [item["content"][-1]["text"] for item in body["input"]]


async def ended(tab: Tab, turn: str) -> dict[str, Any]:
    return tab.page.final.get(turn) or await tab.until("turn.final", where=lambda frame: frame["turn"] == turn)


async def edit(tab: Tab, turn: str, text: str, **fields: Any) -> dict[str, Any]:
    client_id = str(fields.pop("client_id", uuid.uuid4()))
    await tab.send(type="turn.edit", turn=turn, client_id=client_id, text=text, **fields)
    return await tab.until("turn.created", where=lambda frame: frame["client_id"] == client_id)


async def withdrawn(tab: Tab, turn: str) -> dict[str, Any]:
    await tab.send(type="turn.withdraw", turn=turn, ref="mine")
    return await tab.until("turn.withdrawn", where=lambda frame: frame.get("ref") == "mine")


def taken_back(person: User, turn: Turn) -> bool:
    try:
        withdraw_turn(user=person, turn_id=turn.id)
    except ConflictError:
        return False
    return True


class TestEdit:
    async def test_other_words_make_a_sibling_and_the_old_branch_stays(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        upstream.script({"text": "First."}, {"text": "Second."}, {"text": "To the other question."})
        conversation = uuid.uuid4()
        async with tab_of(person) as tab, tab_of(person) as other:
            first = await tab.ask("One?", conversation, assistant=assistant.id)
            await ended(tab, first["turn"])
            await other.send(type="subscribe", topic=f"conversation:{conversation}")
            await other.until("subscribed")
            second = await tab.ask("Two?", conversation)
            await ended(tab, second["turn"])
            changed = await edit(tab, second["turn"], "Rather three?")
            assert changed["parent"] == first["turn"]
            seen = await other.until("turn.created", where=lambda frame: frame["turn"] == changed["turn"])
            assert "Rather three?" in seen["html"]
            assert "To the other question." in (await ended(other, changed["turn"]))["html"]
        assert texts_sent(upstream.requests[-1].body)[0::2] == ["One?", "Rather three?"]
        assert "Two?" not in str(upstream.requests[-1].body)
        now = await in_database(shown, conversation)
        assert [view.user_text for view in now] == ["One?", "Rather three?"]
        messages = now[1].messages
        assert (messages.index, messages.count, str(messages.previous)) == (2, 2, second["turn"])
        assert (now[0].messages.count, now[1].answers.count) == (1, 1)
        old = await in_database(shown, conversation, uuid.UUID(second["turn"]))
        assert [view.user_text for view in old] == ["One?", "Two?"]

    async def test_the_switches_tell_messages_from_answers(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        async with tab_of(person) as tab:
            first = await tab.ask("One?", conversation := uuid.uuid4(), assistant=assistant.id)
            await ended(tab, first["turn"])
            await tab.send(type="turn.retry", turn=first["turn"], client_id=uuid.uuid4())
            again = await tab.until("turn.created", where=lambda frame: frame["turn"] != first["turn"])
            await ended(tab, again["turn"])
            changed = await edit(tab, again["turn"], "Two?")
            await ended(tab, changed["turn"])
        (view,) = await in_database(shown, conversation)
        # of the two answers to the old words the newer one is led to
        assert (view.messages.index, view.messages.count, str(view.messages.previous)) == (2, 2, again["turn"])
        assert view.answers.count == 1
        (old,) = await in_database(shown, conversation, uuid.UUID(first["turn"]))
        assert (old.messages.index, str(old.messages.next)) == (1, changed["turn"])
        assert (old.answers.index, old.answers.count, str(old.answers.next)) == (1, 2, again["turn"])

    async def test_files_stay_unless_others_are_named(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        conversation = uuid.uuid4()

        def with_files() -> list[str]:
            store = factories.store(owner=person, kind="conversation")
            Conversation.objects.create(id=conversation, user=person, assistant=assistant, store=store)
            return [str(factories.document(store, name=name, state="ready").id) for name in ("a.txt", "b.txt")]

        files = await in_database(with_files)
        async with tab_of(person) as tab:
            first = await tab.ask("One?", conversation, files=files)
            await ended(tab, first["turn"])
            same = await edit(tab, first["turn"], "Two?")
            await ended(tab, same["turn"])
            fewer = await edit(tab, same["turn"], "Three?", files=files[1:])
            await ended(tab, fewer["turn"])
            await tab.send(
                type="turn.edit", turn=same["turn"], client_id=uuid.uuid4(), text="Four?", files=[uuid.uuid4()]
            )
            assert (await tab.until("error"))["code"] == "not_found"

        def attached(turn: str) -> list[str]:
            view = next(view for view in shown(conversation, uuid.UUID(turn)))
            return [document.name for document in view.documents]

        assert await in_database(attached, same["turn"]) == ["a.txt", "b.txt"]
        assert await in_database(attached, fewer["turn"]) == ["b.txt"]

    async def test_the_same_edit_twice_is_one_turn_and_nothing_foreign_or_running_is_edited(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        upstream.script({"text": "Done."}, {"text": "Done too."}, SLOW)
        outsider = await in_database(factories.user)
        conversation, client_id = uuid.uuid4(), uuid.uuid4()
        async with tab_of(person) as tab, tab_of(outsider) as foreign:
            first = await tab.ask("One?", conversation, assistant=assistant.id)
            await ended(tab, first["turn"])
            made = {(await edit(tab, first["turn"], "Two?", client_id=client_id))["turn"] for _ in range(2)}
            assert len(made) == 1
            await ended(tab, made.pop())
            await foreign.send(type="turn.edit", turn=first["turn"], client_id=uuid.uuid4(), text="Mine?")
            assert (await foreign.until("error"))["code"] == "not_found"
            await tab.send(type="turn.edit", turn=first["turn"], client_id=uuid.uuid4(), text=" \n")
            assert (await tab.until("error"))["code"] == "invalid_input"
            running = await tab.ask("Talk.", conversation)
            await tab.growing(running["turn"])
            waiting = await tab.ask("And then?", conversation)
            for turn, advice in ((running, "Stop the answer first."), (waiting, "Withdraw it instead.")):
                await tab.send(type="turn.edit", turn=turn["turn"], client_id=uuid.uuid4(), text="No?")
                error = await tab.until("error")
                assert (error["code"], advice in error["message"]) == ("conflict", True)
            # while another message is being answered, this one can be changed: it waits
            changed = await edit(tab, first["turn"], "Three?")
            assert 'data-status="queued"' in changed["html"]
            await tab.send(type="turn.stop", turn=running["turn"])
            await ended(tab, changed["turn"])
            await ended(tab, waiting["turn"])


class TestWithdraw:
    async def test_it_leaves_the_branch_and_what_waits_behind_it_runs(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        upstream.script(SLOW, {"text": "To the third."})
        conversation = uuid.uuid4()
        async with tab_of(person) as tab, tab_of(person) as other:
            first = await tab.ask("One?", conversation, assistant=assistant.id)
            await tab.growing()
            second = await tab.ask("Two?", conversation)
            third = await tab.ask("Three?", conversation)
            assert "data-withdraw" in second["html"]
            await other.send(type="subscribe", topic=f"conversation:{conversation}")
            await other.until("subscribed")
            back = await withdrawn(tab, second["turn"])
            assert (back["text"], back["active"]) == ("Two?", third["turn"])
            seen = await other.until("turn.withdrawn")
            assert seen["turn"] == second["turn"]
            assert (await withdrawn(tab, second["turn"]))["text"] == "Two?"
            await tab.send(type="turn.stop", turn=first["turn"])
            assert "To the third." in (await ended(tab, third["turn"]))["html"]
            # a tab that comes later hears nothing of it
            async with tab_of(person) as late:
                await late.send(type="subscribe", topic=f"conversation:{conversation}")
                await late.until("subscribed")
                await late.send(type="ping", ref="r")
                await late.until("pong")
                assert second["turn"] not in late.page.final
        assert texts_sent(upstream.requests[1].body)[0::2] == ["One?", "Three?"]
        views = await in_database(shown, conversation)
        assert [view.user_text for view in views] == ["One?", "Three?"]
        assert [view.messages.count for view in views] == [1, 1]
        rows = await in_database(lambda: {str(turn.id): turn for turn in Turn.objects.all()})
        assert (rows[second["turn"]].status, rows[second["turn"]].withdrawn_at is None) == ("cancelled", False)
        assert (str(rows[third["turn"]].parent_id), rows[third["turn"]].depth) == (first["turn"], 1)
        assert await in_database(Item.objects.filter(text="Two?").count) == 1

    async def test_the_last_one_goes_and_the_branch_ends_where_it_did(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        upstream.script(SLOW, {"text": "Well."})
        conversation = uuid.uuid4()
        async with tab_of(person) as tab:
            first = await tab.ask("One?", conversation, assistant=assistant.id)
            await tab.growing()
            second = await tab.ask("Two?", conversation)
            assert (await withdrawn(tab, second["turn"]))["active"] == first["turn"]
            # what was on its way behind the withdrawn message follows what that one had followed
            third = await tab.ask("Three?", conversation, parent=second["turn"])
            assert third["parent"] == first["turn"]
            await tab.send(type="turn.stop", turn=first["turn"])
            await ended(tab, third["turn"])
        assert len(upstream.requests) == 2

    async def test_another_answer_that_waits_is_withdrawn_for_the_one_before(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        upstream.script({"text": "Answer."}, SLOW)
        conversation = uuid.uuid4()
        async with tab_of(person) as tab:
            first = await tab.ask("One?", conversation, assistant=assistant.id)
            await ended(tab, first["turn"])
            running = await tab.ask("Two?", conversation)
            await tab.growing(running["turn"])
            await tab.send(type="turn.retry", turn=first["turn"], client_id=uuid.uuid4())
            again = await tab.until("turn.created", where=lambda frame: frame["parent"] is None)
            back = await withdrawn(tab, again["turn"])
            # its words are still there with the first answer
            assert (back["text"], back["active"]) == (None, running["turn"])
            await tab.send(type="turn.stop", turn=running["turn"])
            await ended(tab, running["turn"])
        assert [view.user_text for view in await in_database(shown, conversation)] == ["One?", "Two?"]

    async def test_what_runs_or_has_ended_or_is_foreign_is_refused(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        upstream.script(SLOW)
        outsider = await in_database(factories.user)
        async with tab_of(person) as tab, tab_of(outsider) as foreign:
            first = await tab.ask("One?", uuid.uuid4(), assistant=assistant.id)
            await tab.growing()
            await tab.send(type="turn.withdraw", turn=first["turn"])
            error = await tab.until("error")
            assert (error["code"], "Stop the answer instead." in error["message"]) == ("conflict", True)
            await foreign.send(type="turn.withdraw", turn=first["turn"])
            assert (await foreign.until("error"))["code"] == "not_found"
            await tab.send(type="turn.stop", turn=first["turn"])
            await ended(tab, first["turn"])
            await tab.send(type="turn.withdraw", turn=first["turn"])
            assert (await tab.until("error"))["code"] == "conflict"

    async def test_withdrawn_at_the_moment_it_is_claimed_one_of_both_wins(
        self, person: User, assistant: Assistant, transactional_db: None
    ) -> None:
        def waiting() -> Turn:
            return factories.turn(factories.conversation(person, assistant), text="Now?")

        for _ in range(25):
            turn = await in_database(waiting)
            taken, back = await asyncio.gather(
                in_database(claim_turns, uuid.uuid4(), running=(), limit=10), in_database(taken_back, person, turn)
            )
            row = await in_database(Turn.objects.get, id=turn.id)
            assert (bool(taken), back) in {(True, False), (False, True)}
            assert row.status == ("in_progress" if taken else "cancelled")
            assert (row.withdrawn_at is not None) is back
            await in_database(Turn.objects.all().delete)

    async def test_while_a_process_takes_it_it_cannot_be_withdrawn(
        self, person: User, assistant: Assistant, transactional_db: None
    ) -> None:
        turn = await in_database(lambda: factories.turn(factories.conversation(person, assistant), text="Now?"))
        locked, tried = threading.Event(), threading.Event()

        def take() -> None:
            with transaction.atomic():
                Turn.objects.select_for_update().get(id=turn.id)
                locked.set()
                tried.wait(60)

        taking = asyncio.create_task(in_database(take))
        await asyncio.to_thread(locked.wait, 60)
        assert not await in_database(taken_back, person, turn)
        tried.set()
        await taking
        assert await in_database(taken_back, person, turn)

    async def test_a_first_message_that_waits_for_its_file_gives_words_and_file_back(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        conversation = uuid.uuid4()

        def with_file() -> tuple[Document, Client]:
            store = factories.store(owner=person, kind="conversation")
            Conversation.objects.create(id=conversation, user=person, assistant=assistant, store=store)
            client = Client()
            client.force_login(person)
            return factories.document(store, name="a.txt", state="extracting"), client

        document, client = await in_database(with_file)
        async with tab_of(person) as tab:
            first = await tab.ask("What does it say?", conversation, files=[document.id])
            page = await in_database(client.get, f"/c/{conversation}/")
            assert page.context["documents"] == []
            back = await withdrawn(tab, first["turn"])
            assert (back["text"], back["active"]) == ("What does it say?", None)
        page = await in_database(client.get, f"/c/{conversation}/")
        assert page.context["turns"] == []
        assert [view.name for view in page.context["documents"]] == ["a.txt"]
        assert not upstream.requests
