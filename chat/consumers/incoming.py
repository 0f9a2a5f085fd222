"""The frames that a browser may send, validated."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_REF_CHARS = 64


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    ref: Annotated[str, Field(max_length=MAX_REF_CHARS)] | None = None


class Subscribe(_Frame):
    """Send changes of a topic: `conversation:<id>`, `library:<vector store id>` or `feed`."""

    type: Literal["subscribe"]
    topic: Annotated[str, Field(max_length=100)]
    # turns that the page shows as live
    live: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()


class Unsubscribe(_Frame):
    """Send no more changes of a topic."""

    type: Literal["unsubscribe"]
    topic: Annotated[str, Field(max_length=100)]


class TurnCreate(_Frame):
    """Send a message. The client makes `conversation` and `client_id`; the same two again are the same turn."""

    type: Literal["turn.create"]
    conversation: UUID
    client_id: UUID
    text: str
    assistant: UUID | None = None
    files: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()
    parent: UUID | None = None
    # of a conversation that this message begins
    uses_memory: bool = True


class TurnRetry(_Frame):
    """Answer the same message again, as a sibling."""

    type: Literal["turn.retry"]
    turn: UUID
    client_id: UUID


class TurnContinue(_Frame):
    """Let an answer go on that stopped before its end."""

    type: Literal["turn.continue"]
    turn: UUID
    client_id: UUID


class TurnEdit(_Frame):
    """Ask in other words, as a sibling."""

    type: Literal["turn.edit"]
    turn: UUID
    client_id: UUID
    text: str
    # left out or null: those that the message has
    files: Annotated[tuple[UUID, ...], Field(max_length=100)] | None = None


class TurnWithdraw(_Frame):
    """Take a waiting message back."""

    type: Literal["turn.withdraw"]
    turn: UUID


class TurnStop(_Frame):
    """End a running or waiting turn; what was said stays."""

    type: Literal["turn.stop"]
    turn: UUID


class ConversationMemory(_Frame):
    """Let a conversation use memory, or neither read nor write it."""

    type: Literal["conversation.memory"]
    conversation: UUID
    uses_memory: bool


class Ping(_Frame):
    """Answered with `pong`."""

    type: Literal["ping"]


Starting = TurnCreate | TurnRetry | TurnContinue | TurnEdit
"""Frames that begin a turn."""
_Frames = Subscribe | Unsubscribe | Starting | TurnWithdraw | TurnStop | ConversationMemory | Ping
Incoming = Annotated[_Frames, Field(discriminator="type")]
parser: TypeAdapter[_Frames] = TypeAdapter(Incoming)
