"""The frames that the server sends over the socket, one shape each (docs/websocket.md).

`docs/schemas/from-server.json` is made from these and from nothing else (`make schemas`), and every test client holds
every frame that it gets against it.
"""

from typing import Annotated, Literal, NamedTuple, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from chat.models import Turn
from retrieval.models import Document, Reindexing

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
TurnStatus = Annotated[str, WithJsonSchema({"enum": list(Turn.Status.values)})]
FinalStatus = Annotated[str, WithJsonSchema({"enum": list(Turn.FINAL)})]
DocumentState = Annotated[str, WithJsonSchema({"enum": list(Document.State.values)})]
Count = Annotated[int, Field(ge=0)]
Ref = Annotated[str, Field(max_length=64)] | None


class Limits(TypedDict):
    """What a frame and a message may hold: bytes of UTF-8, and characters."""

    frame_bytes: Count
    message_chars: Count


class Hello(TypedDict):
    """The first frame."""

    type: Literal["hello"]
    protocol: Literal[1]
    limits: Limits


class Subscribed(TypedDict):
    """From here on changes of the topic come."""

    type: Literal["subscribed"]
    topic: str
    ref: Ref


class Unsubscribed(TypedDict):
    """No further changes of the topic come: it was asked for, or the right to it is gone and the socket closes."""

    type: Literal["unsubscribed"]
    topic: str
    code: Literal["asked", "not_found"]


class TurnCreated(TypedDict):
    """A message is stored; `html` is the whole turn."""

    type: Literal["turn.created"]
    conversation: Id
    turn: Id
    client_id: Id
    parent: Id | None
    html: str
    ref: NotRequired[Ref]


class Place(TypedDict):
    """Which turn a frame is about, and where it stands among that turn's frames."""

    turn: Id
    epoch: Count
    number: Count


class TurnState(Place):
    """The turn moved on; `label` says what it does now, in words for a person."""

    type: Literal["turn.state"]
    status: TurnStatus
    label: str


class TurnSnapshot(Place):
    """The answer so far, as HTML blocks; replaces what is shown of it. `handle` is its turn's in `TurnText`."""

    type: Literal["turn.snapshot"]
    handle: Count
    blocks: list[str]


class Patch(TypedDict):
    """A block becomes its present HTML cut to `keep` UTF-16 units, plus `html`."""

    keep: Count
    html: str


class TurnBlocks(Place):
    """The answer from block `first` on; blocks behind the last one named are removed."""

    type: Literal["turn.blocks"]
    first: Count
    blocks: list[Patch]


class TurnText(NamedTuple):
    """The answer's last block has `html` more, before its last `end` UTF-16 units.

    The one frame that is an array, since most frames are of this kind and their text is a few words. `handle` stands
    for turn and epoch, as the last snapshot said.
    """

    handle: Count
    number: Count
    end: Count
    html: str


class TurnFinal(TypedDict):
    """The turn ended; `html` is the whole turn and replaces what is shown of it."""

    type: Literal["turn.final"]
    turn: Id
    status: FinalStatus
    html: str


class TurnWithdrawn(TypedDict):
    """A waiting message was taken back, and is no longer shown; `active` is the turn that the branch ends in now.

    `text` are its words, null where another turn of the conversation still has them.
    """

    type: Literal["turn.withdrawn"]
    conversation: Id
    turn: Id
    active: Id | None
    text: str | None
    ref: NotRequired[Ref]


class DocumentChanged(TypedDict):
    """A document moved on; `html` is its row."""

    type: Literal["document.changed"]
    document: Id
    store: Id
    state: DocumentState
    html: str


class DocumentRemoved(TypedDict):
    """A document is gone, or may not be seen any more."""

    type: Literal["document.removed"]
    document: Id
    store: Id


class ReindexingChanged(TypedDict):
    """A store that is being indexed anew moved on; `html` says how far."""

    type: Literal["reindexing.changed"]
    store: Id
    state: Annotated[str, WithJsonSchema({"enum": list(Reindexing.State.values)})]
    html: str


class ConversationChanged(TypedDict):
    """A conversation's entry in the list."""

    type: Literal["conversation.changed"]
    conversation: Id
    html: str


class ConversationMemory(TypedDict):
    """Whether a conversation that the tab watches uses memory, from its next turn on."""

    type: Literal["conversation.memory"]
    conversation: Id
    uses_memory: bool
    ref: NotRequired[Ref]


class Pong(TypedDict):
    """The answer to `ping`."""

    type: Literal["pong"]
    ref: Ref


class Error(TypedDict):
    """What was asked is not done. With `wait`, it may be sent again after as many seconds."""

    type: Literal["error"]
    code: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    message: Annotated[str, Field(min_length=1)]
    retryable: bool
    ref: Ref
    wait: NotRequired[Annotated[float, Field(gt=0)]]


DocumentFrame = DocumentChanged | DocumentRemoved
Frame = (
    Hello
    | Subscribed
    | Unsubscribed
    | TurnCreated
    | TurnState
    | TurnSnapshot
    | TurnBlocks
    | TurnFinal
    | TurnWithdrawn
    | DocumentFrame
    | ReindexingChanged
    | ConversationChanged
    | ConversationMemory
    | Pong
    | Error
)
