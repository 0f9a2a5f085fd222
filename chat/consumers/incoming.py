"""The frames that a browser may send, validated."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_FRAME_BYTES = 256 * 1024


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    ref: Annotated[str, Field(max_length=64)] | None = None


class Subscribe(_Frame):
    type: Literal["subscribe"]
    topic: Annotated[str, Field(max_length=100)]
    # turns that the page shows as live
    live: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()


class Unsubscribe(_Frame):
    type: Literal["unsubscribe"]
    topic: Annotated[str, Field(max_length=100)]


class TurnCreate(_Frame):
    type: Literal["turn.create"]
    conversation: UUID
    client_id: UUID
    text: str
    assistant: UUID | None = None
    files: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()
    parent: UUID | None = None


class TurnRetry(_Frame):
    type: Literal["turn.retry"]
    turn: UUID
    client_id: UUID


class TurnStop(_Frame):
    type: Literal["turn.stop"]
    turn: UUID


class Ping(_Frame):
    type: Literal["ping"]


Incoming = Annotated[Subscribe | Unsubscribe | TurnCreate | TurnRetry | TurnStop | Ping, Field(discriminator="type")]
parser: TypeAdapter[Subscribe | Unsubscribe | TurnCreate | TurnRetry | TurnStop | Ping] = TypeAdapter(Incoming)
