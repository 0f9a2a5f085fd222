"""Makes stream events and the final output out of the raw events of a Responses stream.

Works on plain dicts (a pydantic object for every delta costs three to four times the CPU) and believes, in this order:
the list of items in the final event, finished items, finished parts, deltas. What it does not know it ignores.
"""

from collections.abc import Mapping

from chat.errors import ProviderError, StreamTruncatedError, UpstreamFault
from chat.providers.base import Finished, ResponseStarted, Status, Usage
from chat.providers.items import Item
from chat.providers.openai.failures import failure_in_stream
from chat.providers.openai.fields import reason_of, text_of
from chat.providers.openai.gatherer import Events, Gatherer, Handler, Raw
from chat.providers.openai.repeats import Repeats
from chat.providers.openai.usage import read_usage

_TERMINAL: Mapping[str, Status] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "failed",
    "response.done": "completed",
}
_STATUS: Mapping[str, Status] = {
    "completed": "completed",
    "incomplete": "incomplete",
    "failed": "failed",
    "cancelled": "failed",
}
_STILL_RUNNING = frozenset({"queued", "in_progress"})


class Assembler:
    """Feed it the raw events of one stream in order; `finished` is set by the final one, or by `end`."""

    def __init__(
        self, *, secrets: tuple[str, ...] = (), response_id: str | None = None, resumable: bool = False
    ) -> None:
        self.finished: Finished | None = None
        self.error: ProviderError | None = None
        self._secrets = secrets
        self._known_id = response_id
        self._resumable = resumable
        self._repeats = Repeats()
        self._gatherer = Gatherer()
        self._started: ResponseStarted | None = None
        self._usage: Usage | None = None
        self._handlers: dict[str, Handler] = {
            **self._gatherer.handlers(),
            "response.created": self._on_started,
            "response.queued": self._on_started,
            "response.in_progress": self._on_started,
            "error": self._on_error,
            "response.error": self._on_error,
            **dict.fromkeys(_TERMINAL, self._on_terminal),
        }

    @property
    def response_id(self) -> str | None:
        """What the server calls the response, once it has said so."""
        return self._started.id if self._started else self._known_id

    @property
    def reached(self) -> int | None:
        """The number of the last event, after which the stream can be taken up again; None where there are none."""
        return self._repeats.reached

    def resume(self) -> None:
        """What is fed from now on comes from another connection, which goes on after `reached`."""
        self._repeats.resume()

    def feed(self, event: Raw) -> Events:
        """The stream events of one raw event; after the final one, none."""
        if self.finished is not None or self._repeats.seen(event):
            return []
        if self._repeats.owed:
            owed, self._repeats.owed = self._repeats.owed, []
            return [made for one in (*owed, event) for made in self._handled(one)]
        return self._handled(event)

    def feed_document(self, response: Raw) -> Events:
        """The events of a response that came whole instead of as a stream."""
        if text_of(response, "status") in _STILL_RUNNING:
            return self._introduced(self._on_started({"response": response}))
        return self.feed({"type": "response.completed", "response": response})

    def _handled(self, event: Raw) -> Events:
        event_type = event.get("type")
        handler = self._handlers.get(event_type) if isinstance(event_type, str) else None
        if handler is not None:
            return self._introduced(handler(event))
        if not event_type and (event.get("error") or event.get("object") == "error"):
            self._on_error(event)
        return []

    def end(self, *, error: ProviderError | None = None, reason: str = "") -> Events:
        """The end of the bytes, by whatever cause: closes a stream that had no final event.

        `error` tells why it ended, or `reason` in the words of the transport; an error event that came before says
        more and goes first.
        """
        if self.finished is not None:
            return []
        output = self._gatherer.output("incomplete")
        started = self._started or self._start({})
        self.finished = Finished(
            status="failed",
            output=output,
            usage=self._usage,
            error=self.error or error or StreamTruncatedError(partial=output, fault=UpstreamFault(message=reason)),
            response_id=started.id,
            model=started.model,
        )
        return [self.finished]

    def _introduced(self, events: Events) -> Events:
        if self._started is None and events and not isinstance(events[0], Finished):
            self._started = self._start({})
            events.insert(0, self._started)
        return events

    def _on_started(self, event: Raw) -> Events:
        response = event.get("response")
        if not isinstance(response, Mapping):
            return []
        self._usage = _usage_of(event, response) or self._usage
        if self._started is not None:
            return []
        self._started = self._start(response)
        return [self._started]

    def _start(self, response: Raw) -> ResponseStarted:
        response_id = text_of(response, "id") or self._known_id
        resumable = self._resumable and response_id is not None
        return ResponseStarted(id=response_id, model=text_of(response, "model"), resumable=resumable)

    def _on_error(self, event: Raw) -> Events:
        self.error = failure_in_stream(event, secrets=self._secrets)
        return []

    def _on_terminal(self, event: Raw) -> Events:
        response = event.get("response")
        if not isinstance(response, Mapping):
            response = {name: value for name, value in event.items() if name != "type"}
        status = _status(event, response)
        items = _listed(response)
        partial_status = "completed" if status == "completed" else "incomplete"
        events: Events = []
        if status != "failed":
            events = self._gatherer.settle(items) if items else self._gatherer.settle_unlisted(partial_status)
        started = self._started or self._start({})
        self.finished = Finished(
            status=status,
            output=items or self._gatherer.output(partial_status),
            usage=_usage_of(event, response) or self._usage,
            incomplete_reason=(reason_of(response) or "unknown") if status == "incomplete" else None,
            error=self._terminal_error(response) if status == "failed" else None,
            response_id=text_of(response, "id") or started.id,
            model=text_of(response, "model") or started.model,
            payload=event,
        )
        return [*events, self.finished]

    def _terminal_error(self, response: Raw) -> ProviderError:
        said = response.get("error")
        if not said and self.error is not None:
            return self.error
        return failure_in_stream(said, secrets=self._secrets)


def _status(event: Raw, response: Raw) -> Status:
    """The outcome: vLLM, for one, sends `response.completed` with a status of incomplete."""
    by_type = _TERMINAL[str(event.get("type"))]
    stated = text_of(response, "status")
    if stated is None and by_type == "completed" and reason_of(response):
        return "incomplete"
    return _STATUS.get(stated or "", by_type)


def _usage_of(event: Raw, response: Raw) -> Usage | None:
    """The counts, which stand in the response or beside it."""
    return read_usage(response.get("usage")) or read_usage(event.get("usage"))


def _listed(response: Raw) -> tuple[Item, ...]:
    listed = response.get("output")
    return tuple(item for item in listed if isinstance(item, dict)) if isinstance(listed, list) else ()
