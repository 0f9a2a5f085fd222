"""A light model server with the Responses API, whose every token has a known due time: `python -m ... --rate 50`.

A message carries `turn:NAME`; the last one in the request names the answer. Prints its port, then serves until ended.
`GET /log` tells what was asked and when each token was written, `GET /reset` forgets it.
"""

import argparse
import asyncio
import re
import time
import zlib
from dataclasses import dataclass, field
from typing import Any, cast

import httptools
import orjson
import uvloop

# characters of a token that are no white space: text that is seen tells by its length which tokens have come
TOKEN_CHARACTERS = 4
PARAGRAPH_TOKENS = 50
_NAME = re.compile(rb"turn:([\w-]+)")


@dataclass(frozen=True, slots=True)
class Pace:
    """How an answer is written: seconds to the first token, then tokens per second."""

    tokens: int
    rate: float
    delay: float


@dataclass(slots=True)
class Asked:
    """One request and its answer."""

    name: str
    arrived: float
    text: str
    written: list[float] = field(default_factory=list)


def words(name: str, count: int) -> list[str]:
    """The tokens of an answer: different for every name, so that a mixed-up answer is noticed."""
    found = [f"{zlib.crc32(f'{name} {number}'.encode()) & 0xFFFF:04x}" for number in range(count)]
    return [word + ("\n\n" if (at + 1) % PARAGRAPH_TOKENS == 0 else " ") for at, word in enumerate(found)]


class Answer:
    """Writes one answer's events, each at its due time whatever the earlier ones took."""

    def __init__(self, asked: Asked, transport: asyncio.Transport, pace: Pace, model: str) -> None:
        self._asked = asked
        self._transport = transport
        self._pace = pace
        self._tokens = words(asked.name, pace.tokens)
        self._number = 0
        ids = f"{zlib.crc32(asked.name.encode()):08x}{int(asked.arrived * 1e6):x}"
        self._item = {"id": f"msg_{ids}", "type": "message", "role": "assistant"}
        self._response = {"id": f"resp_{ids}", "object": "response", "model": model, "created_at": int(time.time())}
        self._place = {"item_id": self._item["id"], "output_index": 0, "content_index": 0}

    def begin(self) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for kind in ("response.created", "response.in_progress"):
            self._event(kind, response={**self._response, "status": "in_progress", "output": []})
        self._event("response.output_item.added", output_index=0, item={**self._item, "content": []})
        self._event("response.content_part.added", part={"type": "output_text", "text": ""}, **self._place)
        self._wait()

    def _wait(self) -> None:
        due = self._asked.arrived + self._pace.delay + len(self._asked.written) / self._pace.rate
        asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._next)

    def _next(self) -> None:
        if self._transport.is_closing():
            return
        at = len(self._asked.written)
        if at == len(self._tokens):
            self._end()
            return
        self._asked.written.append(time.monotonic())
        self._event("response.output_text.delta", delta=self._tokens[at], logprobs=[], **self._place)
        self._wait()

    def _end(self) -> None:
        part = {"type": "output_text", "text": self._asked.text, "annotations": []}
        item = {**self._item, "status": "completed", "content": [part]}
        usage = {"input_tokens": 100, "output_tokens": len(self._tokens), "total_tokens": 100 + len(self._tokens)}
        self._event("response.output_text.done", text=self._asked.text, **self._place)
        self._event("response.content_part.done", part=part, **self._place)
        self._event("response.output_item.done", output_index=0, item=item)
        done = {**self._response, "status": "completed", "output": [item], "usage": usage}
        self._event("response.completed", response=done)
        self._transport.write(b"0\r\n\r\n")

    def _event(self, kind: str, **values: Any) -> None:
        data = orjson.dumps({"type": kind, "sequence_number": self._number, **values})
        self._number += 1
        event = b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))


class Connection(asyncio.Protocol):
    """One HTTP connection, kept alive; requests come one after another."""

    def __init__(self, pace: Pace, log: list[Asked]) -> None:
        self._pace = pace
        self._log = log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = b""
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        arrived = time.monotonic()
        if self._url.endswith(b"/responses"):
            self._answer(arrived)
        elif self._url == b"/log":
            self._reply(self._log)
        elif self._url == b"/reset":
            self._log.clear()
            self._reply({})
        else:
            self._reply({"error": {"message": "There is no such address."}}, b"404 Not Found")

    def _answer(self, arrived: float) -> None:
        names = _NAME.findall(self._body)
        name = names[-1].decode() if names else ""
        asked = Asked(name, arrived, "".join(words(name, self._pace.tokens)))
        self._log.append(asked)
        Answer(asked, self._transport, self._pace, str(orjson.loads(self._body)["model"])).begin()

    def _reply(self, data: object, status: bytes = b"200 OK") -> None:
        body = orjson.dumps(data)
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        self._transport.write(head + body)


async def serve(pace: Pace) -> None:
    log: list[Asked] = []
    server = await asyncio.get_running_loop().create_server(lambda: Connection(pace, log), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50, help="tokens per second")
    parser.add_argument("--delay", type=float, default=0.3, help="seconds to the first token")
    given = parser.parse_args()
    uvloop.run(serve(Pace(given.tokens, given.rate, given.delay)))


if __name__ == "__main__":
    main()
