"""One browser tab's connection: topics, and what people do over it."""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError
from pydantic import ValidationError

from chat.consumers import incoming, topics
from chat.consumers.documents import DocumentWatch
from chat.consumers.hearing import Hearing
from chat.consumers.outgoing import Outgoing
from chat.consumers.watching import ConversationWatch, created_frame
from chat.realtime import hints
from chat.realtime.hub import LOST
from chat.rendering.frames import encode
from chat.services import turns
from chat.turns import process
from core.accounts.sessions import user_of_session
from core.bridge import in_database
from core.errors import InvalidInputError, LimitError, ParleyError, UnavailableError
from core.models import User
from retrieval.realtime import store_group

logger = logging.getLogger(__name__)

PROTOCOL = 1
SESSION_ENDED = 4401
# RFC 6455's registry: "Try Again Later"
AWAY = 1013
FLOODED = 4429
TOO_SLOW = 4408
# Frames that a tab may send within `PERIOD` seconds, and how many errors of that kind close it.
MAX_FRAMES = 60
PERIOD = 10.0
MAX_TOPICS = 50
# Seconds between two looks whether session and rights still hold.
RECHECK_INTERVAL = 5.0


# What PostgreSQL's absence looks like.
DATABASE_AWAY = (OperationalError, InterfaceError)

_Hint = Callable[["ChatConsumer", dict[str, Any]], Awaitable[None]]


def _may_be_lost(hear: _Hint) -> _Hint:
    """A hint that cannot be followed now is as one that was lost: `_recheck` repairs it, and the socket stays."""

    @wraps(hear)
    async def heard(consumer: "ChatConsumer", message: dict[str, Any]) -> None:
        try:
            await hear(consumer, message)
        except DATABASE_AWAY as error:
            logger.warning("A hint was not followed: %s", error)

    return heard


class ChatConsumer(AsyncWebsocketConsumer):
    """The adapter between the socket and the services; it decides nothing itself."""

    user: User

    async def connect(self) -> None:
        self._topics: dict[str, topics.Topic] = {}
        self._watches: dict[uuid.UUID, ConversationWatch] = {}
        self._times: deque[float] = deque(maxlen=MAX_FRAMES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._hearing = Hearing(self.channel_layer, self.channel_name)
        self._outgoing = Outgoing(self._send_text, self._catch_up)
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
        self._spawn(self._outgoing.run())
        self._spawn(self._recheck())
        limits = {"frame_bytes": incoming.MAX_FRAME_BYTES, "message_chars": settings.MESSAGE_MAX_CHARS}
        self._put_frame({"type": "hello", "protocol": PROTOCOL, "limits": limits})

    async def disconnect(self, _code: int) -> None:
        for task in self._tasks:
            task.cancel()
        for watch in self._watches.values():
            watch.close()
        await self._hearing.leave_all()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not hasattr(self, "user"):
            return
        if self._floods():
            await self.close(code=FLOODED)
            return
        frame = None
        try:
            frame = _parse(text_data)
            await self._handle(frame)
        except ParleyError as error:
            self._put_error(error, frame.ref if frame else None)
        except DATABASE_AWAY as error:
            logger.warning("A frame could not be answered: %s", error)
            away = UnavailableError("The database does not answer right now. Try again in a moment.")
            self._put_error(away, frame.ref if frame else None)

    async def _handle(self, frame: Any) -> None:
        match frame:
            case incoming.Ping():
                self._put_frame({"type": "pong", "ref": frame.ref})
            case incoming.Subscribe():
                await self._subscribe(frame)
            case incoming.Unsubscribe():
                await self._unsubscribe(frame.topic, "asked")
            case incoming.TurnCreate():
                await self._create(frame)
            case incoming.TurnRetry():
                started = await in_database(
                    turns.retry_turn, user=self.user, turn_id=frame.turn, client_id=frame.client_id
                )
                await self._started(started, frame.ref)
            case incoming.TurnStop():
                turn = await in_database(turns.stop_turn, user=self.user, turn_id=frame.turn)
                await process.turn_stopped(turn.id)
                await self._hint_turn(turn.conversation_id, turn.id, "changed")

    # People's doings ------------------------------------------------------------------------------------------

    async def _create(self, frame: incoming.TurnCreate) -> None:
        message = turns.Message(
            conversation=frame.conversation,
            client_id=frame.client_id,
            text=frame.text,
            assistant=frame.assistant,
            files=frame.files,
            parent=frame.parent,
            follows=frame.parent is not None,
        )
        await self._started(await in_database(turns.start_turn, user=self.user, message=message), frame.ref)

    async def _started(self, started: turns.Started, ref: str | None) -> None:
        turn = started.turn
        if started.created:
            await process.turn_queued()
        self._put_frame({**await in_database(created_frame, turn.id), "ref": ref})
        topic = topics.Topic("conversation", turn.conversation_id)
        if turn.conversation_id not in self._watches:
            await self._join(topic)
        watch = self._watches[turn.conversation_id]
        watch.watch(turn.id, turn.epoch, running=False)
        if started.created:
            await self._hint_turn(turn.conversation_id, turn.id, "created")
            await hints.send(
                hints.feed_group(self.user.pk), {"type": "conversation.hint", "conversation": str(turn.conversation_id)}
            )
        await watch.sync()

    async def _hint_turn(self, conversation: uuid.UUID, turn: uuid.UUID, what: str) -> None:
        await hints.send(
            hints.conversation_group(conversation), {"type": "turn.hint", "turn": str(turn), "epoch": 0, "what": what}
        )

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

    async def _join(self, topic: topics.Topic) -> None:
        if topic.name in self._topics:
            return
        self._topics[topic.name] = topic
        if topic.kind == "conversation" and topic.id is not None:
            self._watches[topic.id] = ConversationWatch(topic.id, self._put, self._ended)
        await self._hearing.join(topic.name, await in_database(topics.groups, self.user, topic))

    async def _unsubscribe(self, name: str, code: str) -> None:
        topic = self._topics.pop(name, None)
        if topic is None:
            return
        if topic.id is not None and (watch := self._watches.pop(topic.id, None)):
            watch.close()
        await self._hearing.leave(name)
        self._put_frame({"type": "unsubscribed", "topic": name, "code": code})

    # Hints from other places ------------------------------------------------------------------------------------

    @_may_be_lost
    async def turn_hint(self, _message: dict[str, Any]) -> None:
        for watch in tuple(self._watches.values()):
            await watch.sync()

    @_may_be_lost
    async def document_hint(self, message: dict[str, Any]) -> None:
        await self._documents.send(message["document"], message["store"])

    @_may_be_lost
    async def store_hint(self, message: dict[str, Any]) -> None:
        """The conversation got a file, maybe its first and with it a store: hear of its documents from now on."""
        topic = topics.Topic("conversation", uuid.UUID(message["conversation"])).name
        if topic in self._topics:
            await self._hearing.join(topic, [store_group(uuid.UUID(message["store"]))])
            await self._documents.send(message["document"], message["store"])

    @_may_be_lost
    async def conversation_hint(self, message: dict[str, Any]) -> None:
        frame = await in_database(topics.conversation_frame, self.user, uuid.UUID(message["conversation"]))
        if frame is not None:
            self._put(encode(frame))

    # Inner workings -----------------------------------------------------------------------------------------------

    def _ended(self, watch: ConversationWatch, turn: uuid.UUID, status: str) -> None:
        if status != LOST:  # else whoever takes it over tells us
            self._spawn(self._send_final(watch, turn))

    async def _send_final(self, watch: ConversationWatch, turn: uuid.UUID) -> None:
        try:
            await watch.send_final(turn)
        except DATABASE_AWAY as error:
            logger.warning("The end of turn %s is not sent yet: %s", turn, error)

    def _put(self, frame: str, *, turn: uuid.UUID | None = None) -> bool:
        if self._outgoing.put(frame, turn=turn):
            return True
        self._spawn(self.close(code=TOO_SLOW))
        return False

    def _put_frame(self, frame: dict[str, Any]) -> None:
        self._put(encode(frame))

    def _put_error(self, error: ParleyError, ref: str | None) -> None:
        self._put(
            encode(
                {
                    "type": "error",
                    "code": error.code,
                    "message": error.message,
                    "retryable": error.retryable,
                    "ref": ref,
                }
            )
        )

    def _catch_up(self, turn: uuid.UUID) -> str | None:
        snapshots = (watch.snapshot(turn) for watch in self._watches.values())
        return next((snapshot for snapshot in snapshots if snapshot is not None), None)

    async def _send_text(self, frame: str) -> None:
        await self.send(text_data=frame)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _floods(self) -> bool:
        now = time.monotonic()
        full = len(self._times) == MAX_FRAMES and now - self._times[0] < PERIOD
        self._times.append(now)
        return full

    async def _current_user(self) -> User | None:
        session_key = self.scope.get("cookies", {}).get(settings.SESSION_COOKIE_NAME, "")
        return await in_database(user_of_session, session_key) if session_key else None

    async def _recheck(self) -> None:
        """Close or unsubscribe what is no longer allowed, and repair what a lost hint left behind."""
        while True:
            await asyncio.sleep(RECHECK_INTERVAL)
            try:
                if not await self._checked():
                    return
            except DATABASE_AWAY as error:
                logger.warning("A socket could not be looked at: %s", error)

    async def _checked(self) -> bool:
        """Whether the session still holds."""
        if await self._current_user() is None:
            await self.close(code=SESSION_ENDED)
            return False
        for name in await in_database(topics.refused, self.user, list(self._topics.values())):
            await self._unsubscribe(name, "not_found")
        await self._hearing.again()
        await self._documents.again()
        for watch in list(self._watches.values()):
            await watch.sync()
        return True


def _parse(text: str | None) -> Any:
    if text is None:
        raise InvalidInputError("Frames are JSON texts.")
    if len(text) > incoming.MAX_FRAME_BYTES:
        raise InvalidInputError("This frame is too large.")
    try:
        return incoming.parser.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(f"This frame cannot be read: {place or 'frame'}: {first['msg']}.") from None
