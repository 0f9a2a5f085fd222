"""Whatever a client sends, the answer is a frame, and the socket works afterwards."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.sessions import CookieMiddleware
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.consumers import ChatConsumer
from chat.consumers.allowance import MAX_FRAMES, MAX_REFUSED
from chat.consumers.connection import Timing
from chat.models import Item, Turn
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.chat_client import Tab, tab_of
from tests.frames import BROWSER, validators
from tests.unit.test_frames import JSON, VALID, changed

pytestmark = pytest.mark.django_db(transaction=True)

SURROGATE = r"\ud83d"
NUL = r"\u0000"


@st.composite
def broken(draw: st.DrawFn) -> str:
    """The text of a valid frame after one accident."""
    text = json.dumps(draw(VALID), ensure_ascii=draw(st.booleans()))
    place = draw(st.integers(0, len(text)))
    return draw(
        st.sampled_from(
            [
                text[:place],
                text[:place] + draw(st.text(min_size=1, max_size=3)) + text[place:],
                text[:place] + "\x00" + text[place:],
                text[:-1] + ', "type": "nonsense"}',
                text[:-1] + f', "ref": "{SURROGATE}"}}',
                text[:-1] + f', "ref": "{NUL}"}}',
                text[:-1] + ', "ref": NaN}',
                text[:-1] + ', "ref": 1e999}',
                text[:-1] + ', "ref": ' + "9" * 5000 + "}",
                "\ufeff" + text,
                text + text,
                text + "\n{",
            ]
        )
    )


HOSTILE = st.one_of(
    broken(),
    changed().map(json.dumps),
    JSON.map(json.dumps),
    st.text(),
    st.binary(max_size=50),
    st.sampled_from(
        [
            "",
            "null",
            "[" * 100_000,
            '{"a":' * 100_000,
            json.dumps({"type": "ping", "ref": "x" * 300_000}),
            json.dumps({"type": "turn.create", "text": "💬" * 70_000}, ensure_ascii=False),
            json.dumps({"type": "subscribe", "topic": "feed", "live": [str(uuid.uuid4())] * 6_000}),
            f'{{"type": "subscribe", "topic": "library:{NUL}"}}',
            '{"type": "subscribe", "topic": "conversation:٠"}',
            b"\xff\xfe",
            b'{"type": "ping"}',
        ]
    ),
)


def is_frame(sent: str | bytes) -> bool:
    """Whether the published schemas know this as a frame."""
    try:
        frame = json.loads(sent) if isinstance(sent, str) else None
    except (ValueError, RecursionError):
        return False
    validator = validators(BROWSER).get(str(frame.get("type"))) if isinstance(frame, dict) else None
    return validator is not None and validator.is_valid(frame)


@given(st.lists(HOSTILE, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_frame_is_answered_and_the_socket_stays(
    person: User, turns: None, caplog: pytest.LogCaptureFixture, sent: list[str | bytes]
) -> None:
    async with tab_of(person) as tab:
        for hostile in sent:
            await (tab.send_text(hostile) if isinstance(hostile, str) else tab.send_bytes(hostile))
            answers = await tab.answers()
            if not is_frame(hostile):
                assert [(frame["type"], frame["code"]) for frame in answers] == [("error", "invalid_input")]
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]
    assert await in_database(Turn.objects.count) == 0


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "nonsense"},
        {"type": "turn.stop"},
        {"type": "turn.stop", "turn": 5},
        {"type": "subscribe", "topic": "x" * 101},
        {"type": "ping", "more": "x" * 300_000},
    ],
    ids=["unknown", "incomplete", "of a wrong type", "too long in a field", "too large"],
)
async def test_a_refused_frame_is_named_by_its_ref(person: User, turns: None, frame: dict[str, Any]) -> None:
    async with tab_of(person) as tab:
        await tab.send_text(json.dumps({**frame, "ref": "that one"}))
        (error,) = await tab.answers()
    assert (error["code"], error["ref"], error["retryable"]) == ("invalid_input", "that one", False)


async def test_the_limit_of_a_frame_counts_bytes(person: User, turns: None) -> None:
    async with tab_of(person) as tab:
        for size, answered in ((262_144, "pong"), (262_145, "error")):
            empty = len(json.dumps({"type": "ping", "ref": "r", "more": ""}))
            text = json.dumps({"type": "ping", "ref": "r", "more": "é" * 1000}, ensure_ascii=False)
            text = text[:-2] + "x" * (size - empty - 2000) + text[-2:]
            assert len(text.encode()) == size
            await tab.send_text(text)
            assert [frame["type"] for frame in await tab.answers()] == [answered]


async def test_the_longest_message_fits_into_a_frame(person: User, turns: None) -> None:
    async with tab_of(person) as tab:
        for letter in ("💬", "ß", "\\", '"', "\n"):
            text = json.dumps({"type": "ping", "text": letter * 50_000}, ensure_ascii=False)
            await tab.send_text(text)
            assert [frame["type"] for frame in await tab.answers()] == ["pong"]


async def test_too_many_frames_are_refused_with_a_wait(person: User, turns: None) -> None:
    hasty = CookieMiddleware(ChatConsumer.as_asgi(timing=Timing(period=0.5)))
    async with tab_of(person, application=hasty) as tab:
        for number in range(MAX_FRAMES + 20):
            await tab.send(type="ping", ref=str(number))
        answers = [await tab.receive() for _ in range(MAX_FRAMES + 20)]
        assert [frame["ref"] for frame in answers] == [str(number) for number in range(MAX_FRAMES + 20)]
        assert {frame["type"] for frame in answers[:MAX_FRAMES]} == {"pong"}
        for refused in answers[MAX_FRAMES:]:
            assert (refused["type"], refused["code"], refused["retryable"]) == ("error", "limit_exceeded", True)
            assert 0 < refused["wait"] <= 0.51
        await asyncio.sleep(answers[-1]["wait"])
        await tab.send(type="ping", ref="again")
        assert (await tab.receive()) == {"type": "pong", "ref": "again"}


async def test_an_excess_frame_does_nothing(person: User) -> None:
    conversation = await in_database(lambda: factories.conversation(person, factories.assistant(owner=person)))
    async with tab_of(person) as tab:
        for number in range(MAX_FRAMES + 1):
            # the first one is handled, the last one is not
            message = {"conversation": conversation.pk, "client_id": uuid.uuid4(), "text": str(number)}
            asks = number in {0, MAX_FRAMES}
            await tab.send(**({"type": "turn.create", **message} if asks else {"type": "ping"}), ref=str(number))
        refused = await tab.until("error")
    assert refused["ref"] == str(MAX_FRAMES)
    assert await in_database(lambda: [item.text for item in Item.objects.all()]) == ["0"]


async def test_who_goes_on_and_on_is_cut_off(person: User, turns: None) -> None:
    tab = await Tab(await in_database(factories.session_of, person)).open()
    for _ in range(MAX_FRAMES + MAX_REFUSED - 1):
        await tab.send_text("!")
    for _ in range(MAX_FRAMES + MAX_REFUSED - 1):
        assert (await tab.receive())["type"] == "error"
    await tab.send_text("!")
    assert await tab.closed() == 4429
    await tab.close()


@given(st.text(st.characters(codec="utf-8") | st.just("\x00"), max_size=40))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_text_is_stored_or_refused(person: User, text: str) -> None:
    conversation = await in_database(lambda: factories.conversation(person, factories.assistant(owner=person)))
    async with tab_of(person) as tab:
        await tab.send(type="turn.create", conversation=conversation.pk, client_id=uuid.uuid4(), text=text)
        frames = [frame for frame in await tab.answers() if frame["type"] in {"turn.created", "error"}]
    stored = await in_database(lambda: [item.text for item in Item.objects.filter(conversation=conversation)])
    said = text.replace("\x00", "").strip()
    assert stored == ([said] if said else [])
    assert [frame["type"] for frame in frames] == ["turn.created" if said else "error"]


# What we fail at --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def half_migrated() -> AsyncIterator[None]:
    """The database lacks a table, as one that was brought up to date by halves."""

    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    await in_database(rename, "chat_turn", "chat_turn_away")
    try:
        yield
    finally:
        await in_database(rename, "chat_turn_away", "chat_turn")


@pytest.mark.parametrize("kind", ["turn.create", "turn.retry", "turn.edit", "turn.withdraw", "turn.stop"])
async def test_a_frame_that_fails_on_our_side_is_answered_and_the_socket_stays(
    person: User, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    assistant = await in_database(lambda: factories.assistant(owner=person).pk)
    ids = {"conversation": uuid.uuid4(), "assistant": assistant} if kind == "turn.create" else {"turn": uuid.uuid4()}
    words = {"text": "Hi"} if kind in {"turn.create", "turn.edit"} else {}
    client = {} if kind in {"turn.withdraw", "turn.stop"} else {"client_id": uuid.uuid4()}
    async with tab_of(person) as tab, half_migrated():
        for ref in ("one", "two"):
            await tab.send(type=kind, **ids, **words, **client, ref=ref)
            (error,) = await tab.answers()
            assert (error["type"], error["code"], error["ref"], error["retryable"]) == (
                "error",
                "internal_error",
                ref,
                True,
            )
            assert "chat_turn" not in error["message"], "the reason is for the log"
    failures = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(failures) == 2
    assert all(record.exc_info for record in failures)


async def test_after_a_failure_of_ours_the_same_socket_does_its_work(person: User) -> None:
    assistant = await in_database(lambda: factories.assistant(owner=person).pk)
    frame = {"type": "turn.create", "conversation": uuid.uuid4(), "client_id": uuid.uuid4(), "text": "Hi"}
    async with tab_of(person) as tab:
        async with half_migrated():
            await tab.send(**frame, assistant=assistant)
            assert [answer["code"] for answer in await tab.answers()] == ["internal_error"]
        await tab.send(**frame, assistant=assistant)
        await tab.until("turn.created")
    assert await in_database(Turn.objects.count) == 1
