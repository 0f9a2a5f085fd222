"""What a provider takes and what it gives: plain values and one protocol.

A provider turns a `Request` for a `Target` into a stream of events. The contract of every stream:

- A failure before the server accepted the request (no connection, a status other than 2xx) is raised as a
  `chat.errors.ProviderError`.
- From then on the stream ends with exactly one `Finished`, whatever happens: an error event, a broken connection
  and a stream without a final event give `status="failed"`, the partial items and the error.
- `ResponseStarted` comes at most once and before all others but `Finished`.
- The `TextDelta`s of a message, joined, are a beginning of its final text; what a server left out of its deltas
  is made up for as soon as it is known. `Finished.output` is the truth where the two differ.
- Closing the stream (or cancelling its task) closes the upstream connection within 200 ms. A response that said
  `resumable` goes on at the server: `Provider.cancel` ends it, `Request.resumes` takes it up.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from chat.errors import ProviderError
from chat.providers.capabilities import Capabilities
from chat.providers.items import FunctionCall, Item, function_calls, output_text, refusal, without_reasoning

__all__ = [
    "ArgumentsDelta",
    "Capabilities",
    "Finished",
    "FunctionCall",
    "Item",
    "ItemDone",
    "ItemStarted",
    "Passage",
    "Provider",
    "ReasoningDelta",
    "RefusalDelta",
    "Request",
    "ResponseStarted",
    "StreamEvent",
    "Target",
    "TextDelta",
    "Usage",
    "function_calls",
    "output_text",
    "refusal",
    "without_reasoning",
]

Status: TypeAlias = Literal["completed", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. `base_url` ends before `/responses`; an empty `api_key` sends no Authorization header.

    Timeouts are in seconds: to get a connection, and between two pieces of the answer.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
    capabilities: Capabilities = field(default_factory=Capabilities)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    provider: str = "openai"


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved passage as it stands in the input; a marker `[n]` means `number`, `page` counts from 1."""

    number: int
    text: str
    document: str
    page: int | None = None
    heading: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """One model call in the modern Responses form.

    `input` holds items verbatim; ids that a stateless server would refuse are taken out by the adapter.
    `parameters` are top-level fields (`temperature`, `top_p`, `max_output_tokens`, `reasoning`, `text`,
    `tool_choice`, …); `verbosity` and `format` are short for the fields of `text`. `safety_identifier` is already a
    hash. `passages` are those retrieved for the turn; they stand in `input` too, so only a provider that quotes
    them itself reads them here. `resumes` is the id of a response that was asked for with this very request and said
    `resumable`: it is followed from its beginning, and asked for again only where the server has forgotten it.
    """

    input: tuple[Item, ...]
    instructions: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    prompt_cache_key: str = ""
    safety_identifier: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    passages: tuple[Passage, ...] = ()
    resumes: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None where it did not say."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The server began; both are None where it did not introduce the response.

    `resumable`: the server generates by itself, and the response can be taken up by its id after this process ended.
    """

    id: str | None
    model: str | None
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class ItemStarted:
    """An item opened. `output_index` is unique within the stream, even where the server's own is not."""

    output_index: int
    item: Item


@dataclass(frozen=True, slots=True)
class TextDelta:
    output_index: int
    content_index: int
    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    output_index: int
    content_index: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of reasoning: of a summary, or of the thoughts themselves. `part` numbers the paragraphs of either."""

    text: str
    summary: bool
    output_index: int = 0
    part: int = 0


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """A piece of the arguments of a function call, or of the input of another tool."""

    output_index: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ItemDone:
    """An item is whole and may be saved."""

    output_index: int
    item: Item


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event. `output` holds the items verbatim: what the server listed at the end, else its finished items,
    else what the deltas gave. `payload` is the raw final event, None where none came."""

    status: Status
    output: tuple[Item, ...]
    usage: Usage | None = None
    incomplete_reason: str | None = None
    error: ProviderError | None = None
    response_id: str | None = None
    model: str | None = None
    payload: Mapping[str, Any] | None = None


StreamEvent: TypeAlias = (
    ResponseStarted | ItemStarted | TextDelta | RefusalDelta | ReasoningDelta | ArgumentsDelta | ItemDone | Finished
)


class Provider(Protocol):
    """Generates answers. One instance serves all turns of a process, and belongs to the event loop that uses it."""

    def prepare(self, request: Request, target: Target) -> bytes:
        """The body that `stream` sends for this request, for whoever writes down what is sent before it is sent.

        Always the same bytes for the same arguments; a provider that sends nothing gives what it works from, as JSON.

        Raises:
            ProviderError: for a request that cannot be sent.
        """
        ...

    def stream(
        self, request: Request, target: Target, *, body: bytes | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Runs one model call; see the contract at the top of this module.

        `body` is what `prepare` gave for the same arguments, and goes out byte for byte; without it it is made here.

        Raises:
            ProviderError: before the server accepted the request.
        """
        ...

    async def cancel(self, response_id: str, target: Target) -> bool:
        """Ends a response that said `resumable`, and tells whether its server did so. For others closing is enough."""
        ...

    async def aclose(self) -> None:
        """Closes the connections of the running event loop; streams must have ended."""
        ...
