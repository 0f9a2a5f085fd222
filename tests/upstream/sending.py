"""Sends a scripted stream over HTTP: numbers the events, keeps the pace, and breaks what the script says."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.upstream.generation import Event, steps
from tests.upstream.journal import Entry
from tests.upstream.script import Body, Script

DEFAULT_ERROR = {"code": "server_error", "message": "The server had an error while processing your request."}
_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Record:
    """A response as it is generated: its events so far, for those who follow it."""

    def __init__(self, response: Event, frame: Callable[[Mapping[str, Any]], bytes]) -> None:
        self.response = response
        self.frame = frame
        self.events: list[Event] = []
        self.ended = False
        self.task: asyncio.Task[None] | None = None
        self._more = asyncio.Condition()

    async def add(self, event: Event) -> Event:
        numbered = {**event, "sequence_number": len(self.events)}
        self.events.append(numbered)
        if self.task is not None:
            await self._wake()
        return numbered

    async def end(self) -> None:
        self.ended = True
        await self._wake()

    async def wait_beyond(self, count: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: self.ended or len(self.events) > count)

    async def _wake(self) -> None:
        async with self._more:
            self._more.notify_all()


async def open_stream(request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={**_HEADERS, **headers})
    await response.prepare(request)
    return response


async def send_script(request: web.Request, pace: "Pace", record: Record, body: Body) -> web.StreamResponse:
    """Generates while it sends; ends early where the script has a fault."""
    script, entry = pace.script, pace.entry
    response = await open_stream(request, script.headers)
    if pace.faulty and script.after < 0:
        return await _fail(request, response, script, record)
    for step in steps(script, record.response, body):
        if step.paced:
            if pace.faulty:
                return await _fail(request, response, script, record)
            await pace.wait()
        if pace.faulty and step.event["type"] in ("response.completed", "response.incomplete"):
            return await _fail(request, response, script, record)
        await response.write(record.frame(await record.add(step.event)))
        entry.first_byte = entry.first_byte or time.monotonic()
    if script.done_marker:
        await response.write(b"data: [DONE]\n\n")
    return response


class Pace:
    """Keeps deltas at their times, counted from the start, so that lateness does not add up. A `hold` lasts until it
    is set."""

    def __init__(self, script: Script, entry: Entry, hold: asyncio.Event | None) -> None:
        self.script = script
        self.entry = entry
        self._hold = hold
        self._start = time.monotonic()

    @property
    def faulty(self) -> bool:
        return bool(self.script.fault) and self.entry.deltas >= self.script.after

    async def wait(self) -> None:
        if self._hold is not None and self.entry.deltas == self.script.held_after:
            held = time.monotonic()
            await self._hold.wait()
            self._start += time.monotonic() - held
        due = self._start + self.script.first_delay + self.entry.deltas * self.script.delay
        if (rest := due - time.monotonic()) > 0:
            await asyncio.sleep(rest)
        self.entry.deltas += 1


async def _fail(
    request: web.Request, response: web.StreamResponse, script: Script, record: Record
) -> web.StreamResponse:
    if script.fault in ("drop", "hang"):
        await break_off(request, script)
    error = {**DEFAULT_ERROR, **script.error}
    failed = {**record.response, "status": "failed", "error": {key: error.get(key) for key in ("code", "message")}}
    nested: Event = {"type": "error", "error": {"type": error.get("type", error["code"]), "param": None, **error}}
    events: dict[str, list[Event]] = {
        "eof": [],
        "error_nested": [nested],
        "error_flat": [{"type": "error", "param": None, **error}],
        "error_untyped": [{"error": error}],
        "error_and_failed": [nested, {"type": "response.failed", "response": failed}],
        "failed": [{"type": "response.failed", "response": failed}],
    }
    for event in events[script.fault]:
        await response.write(record.frame(await record.add(event)))
    return response


async def break_off(request: web.Request, script: Script) -> None:
    """Hangs until the client leaves, or cuts the connection; either way the handler ends by being cancelled."""
    if script.fault == "drop" and request.transport is not None:
        request.transport.abort()
    await asyncio.Event().wait()


async def send_recording(request: web.Request, script: Script, entry: Entry) -> web.StreamResponse:
    """Sends a recorded stream as it is, in pieces of `chunk` bytes, each in a write of its own."""
    content = await asyncio.to_thread(Path(script.recording).read_bytes)
    response = await open_stream(request, script.headers)
    size = script.chunk or max(1, len(content))
    await asyncio.sleep(script.first_delay)
    entry.first_byte = time.monotonic()
    for at in range(0, len(content), size):
        await response.write(content[at : at + size])
        await asyncio.sleep(script.chunk_delay)
    if script.fault:
        await break_off(request, script)
    return response


async def produce(pace: Pace, record: Record, body: Body) -> None:
    """Generates in the background; whoever wants the events follows the record."""
    try:
        for step in steps(pace.script, record.response, body):
            if step.paced:
                await pace.wait()
            await record.add(step.event)
    finally:
        await record.end()


async def follow(request: web.Request, record: Record, after: int, script: Script | None = None) -> web.StreamResponse:
    """Sends the events with a number above `after`, and those to come; breaks off after the script's deltas."""
    response = await open_stream(request, {})
    position = after + 1
    deltas = 0
    while True:
        while position < len(record.events):
            event = record.events[position]
            is_delta = str(event["type"]).endswith(".delta")
            if script is not None and script.fault and deltas >= script.after and (is_delta or script.after < 0):
                if script.fault in ("drop", "hang"):
                    await break_off(request, script)
                return response
            await response.write(record.frame(event))
            deltas += is_delta
            position += 1
        if record.ended:
            return response
        await record.wait_beyond(position)
