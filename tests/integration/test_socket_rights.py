"""Who may open a socket, what it may ask for, and how soon it ends when the right to it does."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from channels.sessions import CookieMiddleware
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.consumers import ChatConsumer
from chat.consumers.connection import Timing
from chat.models import Assistant, Attachment, Conversation, Item, Turn
from config.asgi import application
from core.bridge import in_database
from core.models import Grant, User
from retrieval.models import Document, VectorStore
from retrieval.realtime import send_hint
from tests import factories
from tests.chat_client import Tab, tab_of
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds in which a socket has to find out by itself.
WITHIN = 5.0


# Opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"http://localhost:9000", None])
async def test_a_foreign_page_is_refused_before_the_socket_is_accepted(origin: bytes | None) -> None:
    session = await in_database(lambda: factories.session_of(factories.user()))
    assert await Tab(session).connect(), "the same session from our own page"
    assert not await Tab(session, origin=origin).connect()


@pytest.mark.parametrize("session", ["", "x" * 32, "\x00", "é"])
async def test_who_is_not_signed_in_is_told_so_and_nothing_else(session: str) -> None:
    tab = Tab(session)
    assert await tab.connect(), "only an accepted socket can say why it is closed"
    assert await tab.socket.receive_output(timeout=60) == {"type": "websocket.close", "code": 4401}
    await tab.send(type="ping")
    assert await tab.socket.receive_nothing()
    await tab.close()


# The end of a session ---------------------------------------------------------------------------------------------


def _sign_out(_person: User, session: str) -> None:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = session
    assert client.post(reverse("account_logout")).status_code == 302


def _change_password(person: User, _session: str) -> None:
    person.set_password(uuid.uuid4().hex)
    person.save()


def _disable(person: User, _session: str) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def _delete_session(_person: User, session: str) -> None:
    import_module(settings.SESSION_ENGINE).SessionStore(session_key=session).delete()


def _expire_session(_person: User, session: str) -> None:
    Session.objects.filter(session_key=session).update(expire_date=timezone.now() - timedelta(seconds=1))


def _delete_person(person: User, _session: str) -> None:
    person.delete()


# A socket that looks by itself only when the test is long over: what ends it sooner was told to it.
INATTENTIVE = CookieMiddleware(ChatConsumer.as_asgi(timing=Timing(recheck=600)))
TOLD_OF = [_sign_out, _change_password, _delete_session, _delete_person]
ENDS = [_sign_out, _change_password, _disable, _delete_session, _expire_session, _delete_person]


async def test_the_end_of_a_session_closes_its_sockets_within_five_seconds(turns: None) -> None:
    async def closes(end: Callable[[User, str], None], application: Any) -> None:
        person = await in_database(factories.user)
        session = await in_database(factories.session_of, person)
        tab = await Tab(session, application=application).open()
        await in_database(end, person, session)
        assert await tab.closed() == 4401, end
        await tab.close()

    async with tab_of(await in_database(factories.user)) as other:
        await asyncio.gather(
            *(closes(end, application) for end in ENDS), *(closes(end, INATTENTIVE) for end in TOLD_OF)
        )
        assert Timing().recheck < WITHIN
        assert await other.answers() == [], "the others stay"


# Rights that are withdrawn ----------------------------------------------------------------------------------------


async def test_a_withdrawn_right_ends_what_was_watched_within_five_seconds(turns: None) -> None:
    def prepare() -> tuple[factories.Cast, Document, Grant, Conversation]:
        cast = factories.cast()
        store = factories.store(owner=cast.owner)
        document = factories.document(store)
        return cast, document, factories.grant(store, cast.teammate), factories.conversation(cast.teammate)

    def withdraw() -> None:
        """Rows that are changed in bulk tell nobody."""
        with transaction.atomic():
            Grant.objects.filter(pk=grant.pk).update(user=cast.owner)
            Conversation.objects.filter(pk=conversation.pk).update(deleted_at=timezone.now())

    cast, document, grant, conversation = await in_database(prepare)
    library, talk = f"library:{document.store_id}", f"conversation:{conversation.pk}"
    async with tab_of(cast.owner) as owner, tab_of(cast.teammate) as teammate, tab_of(cast.outsider) as outsider:
        for topic, tabs in {library: (owner, teammate), talk: (teammate,)}.items():
            for tab in tabs:
                await tab.send(type="subscribe", topic=topic)
                await tab.until("subscribed")
        await outsider.send(type="subscribe", topic=library)
        assert [frame["code"] for frame in await outsider.answers()] == ["not_found"]
        await send_hint(document.pk, document.store_id)
        assert (await teammate.until("document.changed"))["document"] == str(document.pk)

        await in_database(withdraw)
        ended = [await teammate.until("unsubscribed") for _ in range(2)]
        assert Timing().recheck < WITHIN
        assert {(frame["topic"], frame["code"]) for frame in ended} == {(library, "not_found"), (talk, "not_found")}
        assert await teammate.closes() == 4403, "nothing comes after"

        await owner.answers()
        await send_hint(document.pk, document.store_id)
        assert (await owner.until("document.changed"))["document"] == str(document.pk), "the others stay"
        assert await teammate.socket.receive_nothing()
    async with tab_of(cast.teammate) as again:
        for topic in (library, talk, "feed"):
            await again.send(type="subscribe", topic=topic)
        assert [frame.get("code") for frame in await again.answers()] == ["not_found", "not_found", None]


async def test_a_document_that_changes_after_the_right_is_gone_is_not_shown(turns: None) -> None:
    def prepare() -> tuple[factories.Cast, Document, Grant]:
        cast = factories.cast()
        document = factories.document(factories.store(owner=cast.owner))
        return cast, document, factories.grant(document.store, cast.teammate)

    cast, document, grant = await in_database(prepare)
    async with tab_of(cast.teammate, application=INATTENTIVE) as tab:
        await tab.send(type="subscribe", topic=f"library:{document.store_id}")
        await tab.until("subscribed")
        await in_database(Grant.objects.filter(pk=grant.pk).update, user=cast.owner)
        await tab.answers()
        await send_hint(document.pk, document.store_id)
        removed = await tab.receive()
        assert (removed["type"], removed["document"]) == ("document.removed", str(document.pk))


async def test_what_is_being_written_stops_with_the_right_to_it(turns: None, upstream: ResponsesServer) -> None:
    def prepare() -> tuple[User, Assistant]:
        person = factories.user()
        model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url))
        return person, factories.assistant(owner=person, model=model, retrieval="off")

    upstream.script({"text": "word " * 2000, "delay": 0.02})
    person, assistant = await in_database(prepare)
    async with tab_of(person) as tab, tab_of(person) as other:
        asked = await tab.ask("Talk.", uuid.uuid4(), assistant=assistant.pk)
        await tab.growing()
        await in_database(Conversation.objects.filter(pk=asked["conversation"]).update, deleted_at=timezone.now())
        lost = await tab.until("unsubscribed")
        assert (lost["topic"], lost["code"]) == (f"conversation:{asked['conversation']}", "not_found")
        assert await tab.closes() == 4403, "no further word of it"
        assert len(tab.page.blocks[asked["turn"]]) == 1
        assert asked["turn"] not in tab.page.final
        assert await other.answers() == [], "who does not watch it stays"
    assert (await in_database(Turn.objects.get, pk=asked["turn"])).status == "in_progress", "the turn is the server's"
    await in_database(Turn.objects.filter(pk=asked["turn"]).update, stop_requested_at=timezone.now())


def _drop_grant(cast: factories.Cast, store: VectorStore) -> None:
    Grant.objects.get(object_id=store.pk, user=cast.teammate).delete()


def _drop_group_grant(cast: factories.Cast, store: VectorStore) -> None:
    Grant.objects.get(object_id=store.pk, group=cast.team).delete()


def _leave_group(cast: factories.Cast, _store: VectorStore) -> None:
    cast.teammate.groups.clear()


def _lose_member(cast: factories.Cast, _store: VectorStore) -> None:
    cast.team.user_set.remove(cast.teammate)


@pytest.mark.parametrize(
    ("through_group", "withdraw"),
    [(False, _drop_grant), (True, _drop_group_grant), (True, _leave_group), (True, _lose_member)],
)
async def test_a_withdrawn_right_is_told_at_once(
    turns: None, through_group: bool, withdraw: Callable[[factories.Cast, VectorStore], None]
) -> None:
    def prepare() -> tuple[factories.Cast, VectorStore]:
        cast = factories.cast()
        store = factories.store(owner=cast.owner)
        factories.grant(store, cast.team if through_group else cast.teammate)
        return cast, store

    cast, store = await in_database(prepare)
    async with tab_of(cast.teammate, application=INATTENTIVE) as tab:
        await tab.send(type="subscribe", topic=f"library:{store.pk}")
        await tab.until("subscribed")
        await in_database(withdraw, cast, store)
        assert (await tab.until("unsubscribed"))["topic"] == f"library:{store.pk}"
        assert await tab.closes() == 4403


# Foreign ids ------------------------------------------------------------------------------------------------------


def _things(person: User) -> dict[str, uuid.UUID]:
    """One of everything that a frame can name."""
    conversation = factories.conversation(person, factories.assistant(owner=person))
    conversation.store = factories.store(owner=person, kind="conversation")
    conversation.save()
    first = factories.turn(conversation, answer="Mine.")
    running = factories.turn(conversation, parent=first, status="in_progress", owner=uuid.uuid4())
    return {
        "conversation": conversation.pk,
        "assistant": conversation.assistant_id,
        "final": first.pk,
        "running": running.pk,
        "queued": factories.turn(conversation, parent=running).pk,
        "file": factories.document(conversation.store).pk,
        "store": conversation.store.pk,
    }


def _asking_for(theirs: dict[str, Any], mine: dict[str, Any]) -> list[dict[str, Any]]:
    """Every action on what is not one's own, also where only a part of it is foreign."""
    client = {"client_id": uuid.uuid4()}
    new = {"type": "turn.create", "text": "Hi", **client}
    return [
        {"type": "subscribe", "topic": f"conversation:{theirs['conversation']}"},
        {"type": "subscribe", "topic": f"library:{theirs['store']}"},
        {**new, "conversation": theirs["conversation"]},
        {**new, "conversation": uuid.uuid4(), "assistant": theirs["assistant"]},
        {**new, "conversation": mine["conversation"], "parent": theirs["final"]},
        {**new, "conversation": mine["conversation"], "files": [theirs["file"]]},
        {**new, "conversation": mine["conversation"], "files": [mine["file"], theirs["file"]]},
        {"type": "turn.edit", "turn": mine["final"], "text": "Hi", "files": [theirs["file"]], **client},
        *(
            {"type": kind, "turn": theirs[turn], **more}
            for turn in ("final", "running", "queued")
            for kind, more in (
                ("turn.stop", {}),
                ("turn.withdraw", {}),
                ("turn.retry", client),
                ("turn.continue", client),
                ("turn.edit", {"text": "Hi", **client}),
            )
        ),
    ]


def _everything() -> list[Any]:
    kinds: list[type[models.Model]] = [Conversation, Turn, Item, Attachment]
    return [list(kind._default_manager.order_by("pk").values()) for kind in kinds]


async def test_what_is_foreign_answers_like_what_is_missing() -> None:
    owner, outsider = [await in_database(factories.user) for _ in range(2)]
    theirs, mine = [await in_database(_things, person) for person in (owner, outsider)]
    elsewhere = await in_database(_things, outsider)
    missing = {name: uuid.uuid4() for name in theirs}
    before = await in_database(_everything)

    async def refusals(things: dict[str, Any]) -> list[tuple[str, str, bool]]:
        async with tab_of(outsider) as tab:
            found = []
            for frame in _asking_for(things, mine):
                await tab.send(**frame)
                (error,) = await tab.answers()
                found.append((error["code"], error["message"], error["retryable"]))
            return found

    foreign = await refusals(theirs)
    assert {code for code, _, _ in foreign} == {"not_found"}
    assert foreign == await refusals(missing), "the two are told apart nowhere"
    async with tab_of(outsider) as tab:
        for part in (
            # a conversation that is new to this person is not new
            {"conversation": theirs["conversation"], "assistant": mine["assistant"]},
            # one's own, but of another conversation
            {"conversation": mine["conversation"], "parent": elsewhere["final"]},
            {"conversation": mine["conversation"], "files": [elsewhere["file"]]},
        ):
            await tab.send(type="turn.create", text="Hi", client_id=uuid.uuid4(), **part)
        assert [frame["code"] for frame in await tab.answers()] == ["not_found"] * 3
    assert await in_database(_everything) == before


async def test_a_foreign_turn_that_is_believed_to_be_live_is_not_shown() -> None:
    owner, outsider = [await in_database(factories.user) for _ in range(2)]
    theirs, mine = [await in_database(_things, person) for person in (owner, outsider)]
    async with tab_of(outsider) as tab:
        believed = [theirs["final"], theirs["running"], mine["final"]]
        await tab.send(type="subscribe", topic=f"conversation:{mine['conversation']}", live=believed)
        frames = await tab.answers()
    shown = {frame["turn"] for frame in frames if "turn" in frame}
    assert str(mine["final"]) in shown
    assert not shown & {str(turn) for turn in theirs.values()}


async def test_a_message_of_another_person_under_the_same_ids_is_another_message() -> None:
    """`client_id` and `conversation` are made by browsers: knowing them gives nothing."""
    owner, outsider = [await in_database(factories.user) for _ in range(2)]
    theirs = await in_database(_things, owner)
    client_id = await in_database(lambda: Turn.objects.get(pk=theirs["final"]).client_id)
    async with tab_of(outsider) as tab:
        await tab.send(type="turn.create", conversation=theirs["conversation"], client_id=client_id, text="Same?")
        assert [frame["code"] for frame in await tab.answers()] == ["not_found"]
