"""One browser tab's connection: topics, and what people do over it."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from django.conf import settings
from django.db import InterfaceError, OperationalError

from chat.consumers import incoming, topics
from chat.consumers.allowance import Allowance
from chat.consumers.connection import AWAY, FLOODED, RIGHT_WITHDRAWN, SESSION_ENDED, Connection
from chat.consumers.documents import DocumentWatch
from chat.consumers.feed import Feed
from chat.consumers.hearing import Hearing
from chat.consumers.indexing import IndexWatch
from chat.consumers.reading import MAX_FRAME_BYTES, read, ref_of
from chat.consumers.starting import start
from chat.consumers.watching import ConversationWatch, created_frame, withdrawn_frame
from chat.errors import InternalError
from chat.models import Turn
from chat.realtime import hints
from chat.realtime.hub import LOST
from chat.rendering.protocol import Limits, TurnCreated, Unsubscribed
from chat.services import conversations, messages, turns
from chat.services.starting import Started
from chat.turns import process
from core.accounts.sessions import is_signed_in, user_of_session
from core.bridge import in_database
from core.errors import LimitError, ParleyError, UnavailableError
from core.models import User
from retrieval.realtime import store_group

logger = logging.getLogger(__name__)

PROTOCOL: Final = 1
MAX_TOPICS = 50

# What PostgreSQL's absence looks like.
DATABASE_AWAY = (OperationalError, InterfaceError)

P = ParamSpec("P")
_Following = Callable[Concatenate["ChatConsumer", P], Coroutine[Any, Any, None]]


def _may_be_lost(follow: _Following[P]) -> _Following[P]:
    """News that cannot be read now is as news that was lost: the next `_check` repairs it, and the socket stays."""

    @wraps(follow)
    async def followed(consumer: "ChatConsumer", /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await follow(consumer, *args, **kwargs)
        except DATABASE_AWAY as error:
            logger.warning("A socket is not told of news yet: %s", error)

    return followed


class ChatConsumer(Connection):
    """The adapter between the socket and the services; it decides nothing itself."""

    user: User

    async def connect(self) -> None:
        self._topics: dict[str, topics.Topic] = {}
        self._watches: dict[uuid.UUID, ConversationWatch] = {}
        self._allowance = Allowance(self.timing.period)
        self._hearing = Hearing(self.channel_layer, self.channel_name)
        try:
            user = await self._current_user()
        except DATABASE_AWAY as error:
            logger.warning("A socket could not be opened: %s", error)
            await self.accept()
            await self.close(code=AWAY)
            return
        await self.accept()
        if user is None:
            # only an accepted socket can tell the browser why it is closed
            await self.close(code=SESSION_ENDED)
            return
        self.user = user
        self._documents = DocumentWatch(user, self._put_frame)
        self._indexing = IndexWatch(user, self._put_frame)
        self._feed = Feed(user, self._put)
        self._begin_sending()
        self._spawn(self._recheck())
        limits: Limits = {"frame_bytes": MAX_FRAME_BYTES, "message_chars": settings.MESSAGE_MAX_CHARS}
        self._put_frame({"type": "hello", "protocol": PROTOCOL, "limits": limits})
        # also without a topic: what becomes of the person's rights
        await self._hearing.join("", [hints.feed_group(user.pk)])

    async def disconnect(self, _code: int) -> None:
        self._cease()
        for watch in self._watches.values():
            watch.close()
        await self._hearing.leave_all()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not hasattr(self, "user") or self._is_ending:
            return
        now = time.monotonic()
        if wait := self._allowance.wait(now):
            if self._allowance.is_abused(now):
                self._end(FLOODED)
            else:
                self._put_error(LimitError("That was too fast.", retryable=True), ref_of(text_data), wait=wait)
            return
        try:
            await self._handle(read(text_data))
        except ParleyError as error:
            self._put_error(error, ref_of(text_data))
        except DATABASE_AWAY as error:
            logger.warning("A frame could not be answered: %s", error)
            away = UnavailableError("The database does not answer right now. Try again in a moment.")
            self._put_error(away, ref_of(text_data))
        except Exception:
            # a frame that we fail at is no reason to take everything else away from the page
            logger.exception("A frame could not be handled")
            self._put_error(InternalError("Something went wrong on our side. Try again."), ref_of(text_data))

    async def _handle(self, frame: Any) -> None:
        match frame:
            case incoming.Ping():
                self._put_frame({"type": "pong", "ref": frame.ref})
            case incoming.Subscribe():
                await self._subscribe(frame)
            case incoming.Unsubscribe():
                await self._unsubscribe(frame.topic)
            case incoming.TurnCreate() | incoming.TurnRetry() | incoming.TurnContinue() | incoming.TurnEdit():
                await self._started(*await in_database(_start, self.user, frame), frame.ref)
            case incoming.TurnWithdraw():
                await self._withdraw(frame)
            case incoming.TurnStop():
                turn = await in_database(turns.stop_turn, user=self.user, turn_id=frame.turn)
                await process.turn_stopped(turn.id)
                await self._hint_turn(turn.conversation_id, turn.id, "changed")
            case incoming.ConversationMemory():
                await self._set_memory(frame)

    # People's doings ------------------------------------------------------------------------------------------

    async def _started(self, started: Started, created: TurnCreated, ref: str | None) -> None:
        turn = started.turn
        if started.created and turn.status == Turn.Status.QUEUED:
            await process.turn_queued()
        self._put_frame({**created, "ref": ref})
        topic = topics.Topic("conversation", turn.conversation_id)
        new = turn.conversation_id not in self._watches
        if new:
            await self._join(topic)
        watch = self._watches[turn.conversation_id]
        watch.watch(turn.id, turn.epoch, running=False)
        if started.created:
            if turn.status == Turn.Status.QUEUED:  # of one that runs its runner tells
                await self._hint_turn(turn.conversation_id, turn.id, "created")
            await self._hint_feed(turn.conversation_id)
        if new:
            await watch.sync()

    async def _withdraw(self, frame: incoming.TurnWithdraw) -> None:
        turn = await in_database(messages.withdraw_turn, user=self.user, turn_id=frame.turn)
        # what waited behind it may be next
        await process.turn_queued()
        self._put_frame({**await in_database(withdrawn_frame, turn), "ref": frame.ref})
        await self._hint_turn(turn.conversation_id, turn.id, "changed")
        await self._hint_feed(turn.conversation_id)

    async def _set_memory(self, frame: incoming.ConversationMemory) -> None:
        conversation, uses = frame.conversation, frame.uses_memory
        await in_database(conversations.use_memory, user=self.user, conversation_id=conversation, uses=uses)
        if told := await in_database(topics.memory_frame, self.user, conversation):
            self._put_frame({**told, "ref": frame.ref})
        await hints.send(hints.conversation_group(conversation), hints.of_memory(conversation))

    async def _hint_turn(self, conversation: uuid.UUID, turn: uuid.UUID, what: str) -> None:
        await hints.send(hints.conversation_group(conversation), hints.of_turn(conversation, turn, 0, what))

    async def _hint_feed(self, conversation: uuid.UUID) -> None:
        await hints.send(hints.feed_group(self.user.pk), hints.of_conversation(conversation))

    # Topics ---------------------------------------------------------------------------------------------------

    async def _subscribe(self, frame: incoming.Subscribe) -> None:
        if len(self._topics) >= MAX_TOPICS and frame.topic not in self._topics:
            raise LimitError("This page watches too much at once.")
        topic = topics.parse(frame.topic)
        await in_database(topics.authorise, self.user, topic)
        await self._join(topic)
        self._put_frame({"type": "subscribed", "topic": frame.topic, "ref": frame.ref})
        if watch := self._watches.get(topic.id) if topic.id else None:
            await watch.sync(frame.live)
        await self._documents.begin(topic)
        await self._indexing.begin(topic)

    async def _join(self, topic: topics.Topic) -> None:
        if topic.name in self._topics:
            return
        self._topics[topic.name] = topic
        if topic.kind == "conversation" and topic.id is not None:
            self._watches[topic.id] = ConversationWatch(topic.id, self._put, self._ended)
        await self._hearing.join(topic.name, await in_database(topics.groups, self.user, topic))

    async def _unsubscribe(self, name: str) -> None:
        topic = self._topics.pop(name, None)
        if topic is None:
            return
        if topic.id is not None and (watch := self._watches.pop(topic.id, None)):
            watch.close()
        await self._hearing.leave(name)
        self._put_frame({"type": "unsubscribed", "topic": name, "code": "asked"})

    # Hints from other places ------------------------------------------------------------------------------------

    @_may_be_lost
    async def turn_hint(self, message: dict[str, Any]) -> None:
        if watch := self._watches.get(uuid.UUID(message["conversation"])):
            await watch.hear(uuid.UUID(message["turn"]), message["epoch"], message["what"])

    @_may_be_lost
    async def document_hint(self, message: dict[str, Any]) -> None:
        await self._documents.send(message["document"], message["store"])

    @_may_be_lost
    async def reindexing_hint(self, message: dict[str, Any]) -> None:
        await self._indexing.send(uuid.UUID(message["store"]))

    @_may_be_lost
    async def store_hint(self, message: dict[str, Any]) -> None:
        """The conversation got a file, maybe its first and with it a store: hear of its documents from now on."""
        topic = topics.Topic("conversation", uuid.UUID(message["conversation"])).name
        if topic in self._topics:
            await self._hearing.join(topic, [store_group(uuid.UUID(message["store"]))])
            await self._documents.send(message["document"], message["store"])

    async def conversation_hint(self, message: dict[str, Any]) -> None:
        if "feed" in self._topics:
            self._spawn(self._send_entry(uuid.UUID(message["conversation"])))

    @_may_be_lost
    async def memory_hint(self, message: dict[str, Any]) -> None:
        conversation = uuid.UUID(message["conversation"])
        if conversation in self._watches and (told := await in_database(topics.memory_frame, self.user, conversation)):
            self._put_frame(told)

    async def rights_hint(self, _message: dict[str, Any]) -> None:
        await self._check()

    @_may_be_lost
    async def _send_entry(self, conversation: uuid.UUID) -> None:
        await self._feed.send(conversation)

    # Inner workings -----------------------------------------------------------------------------------------------

    def _ended(self, watch: ConversationWatch, turn: uuid.UUID, status: str) -> None:
        if status != LOST:  # else whoever takes it over tells us
            self._spawn(self._send_final(watch, turn))

    @_may_be_lost
    async def _send_final(self, watch: ConversationWatch, turn: uuid.UUID) -> None:
        await watch.send_final(turn)

    def _catch_up(self, turn: uuid.UUID) -> str | None:
        snapshots = (watch.snapshot(turn) for watch in self._watches.values())
        return next((snapshot for snapshot in snapshots if snapshot is not None), None)

    async def _current_user(self) -> User | None:
        return await in_database(user_of_session, self._session_key) if self._session_key else None

    @property
    def _session_key(self) -> str:
        return str(self.scope.get("cookies", {}).get(settings.SESSION_COOKIE_NAME, ""))

    async def _recheck(self) -> None:
        """Close what is no longer allowed, and repair what a lost hint left behind."""
        while True:
            await asyncio.sleep(self.timing.recheck)
            self._end_if_stuck()
            await self._check()

    @_may_be_lost
    async def _check(self) -> None:
        refused = await in_database(_refused, self._session_key, self.user, list(self._topics.values()))
        if refused is None:
            self._end(SESSION_ENDED)
            return
        if refused:
            # what waits in the queue, and who else is just telling this socket something, may be about these topics
            self._end(RIGHT_WITHDRAWN, last=[_lost(name) for name in refused])
            return
        await self._hearing.again()
        await self._documents.again()
        await self._indexing.again()
        for watch in list(self._watches.values()):
            await watch.sync()


def _lost(topic: str) -> Unsubscribed:
    return {"type": "unsubscribed", "topic": topic, "code": "not_found"}


def _start(user: User, frame: incoming.Starting) -> tuple[Started, TurnCreated]:
    """Begin a turn, and return the frame that tells of it: one visit to the database for what goes out together."""
    started = start(user, frame)
    return started, created_frame(started.turn.id)


def _refused(session_key: str, user: User, watched: list[topics.Topic]) -> list[str] | None:
    """Return the names of the topics that may not be watched any more; None where the session itself has ended."""
    return topics.refused(user, watched) if is_signed_in(session_key, user) else None
