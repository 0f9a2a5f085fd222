"""The HTTP face of the scripted upstream."""

import asyncio
import hmac
import json
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from tests.upstream.answers import computed_answer
from tests.upstream.caching import PrefixCache
from tests.upstream.embeddings import embeddings_document
from tests.upstream.generation import new_response, steps
from tests.upstream.journal import Entry, Journal
from tests.upstream.script import Body, Script, Scripts
from tests.upstream.sending import Pace, Record, break_off, follow, produce, send_recording, send_script
from tests.upstream.servers import OPENAI, Refusal, ServerKind

WRONG_KEY = "sk-wrong"
"""This key is refused even where any other is taken."""

KEPT_RESPONSES = 1000
_Handler = Callable[[web.Request, Entry, Body], Awaitable[web.StreamResponse]]


class Upstream:
    """One server: its scripts, its journal and the responses it keeps."""

    def __init__(self, *, api_key: str = "", dimensions: int = 256, models: tuple[str, ...] = ("scripted",)) -> None:
        self.scripts = Scripts()
        self.kind: ServerKind = OPENAI
        self.cache: PrefixCache | None = None
        self.journal = Journal()
        self._api_key = api_key
        self._dimensions = dimensions
        self._models = models
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._holds: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._by_key: dict[str, Record] = {}

    def let_go(self, hold: str) -> None:
        """Let what is held under this name go on, now and later. Only in the server's event loop."""
        self._holds[hold].set()

    def reset(self) -> None:
        self._holds.clear()
        self.scripts.clear()
        self.kind = OPENAI
        self.cache = None
        self.journal.clear()
        self._records.clear()
        self._by_key.clear()

    def response(self, response_id: str) -> Body:
        """A kept response as it stands."""
        return self._records[response_id].response

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.post("/v1/responses", self._journaled(self._create)),
                web.get("/v1/responses/{id}", self._journaled(self._retrieve)),
                web.post("/v1/responses/{id}/cancel", self._journaled(self._cancel)),
                web.post("/v1/responses/input_tokens", self._journaled(self._count)),
                web.post("/v1/embeddings", self._journaled(self._embed)),
                web.get("/v1/models", self._journaled(self._list_models)),
                web.get("/_log", self._get_log),
                web.post("/_script", self._post_script),
                web.post("/_reset", self._post_reset),
            ]
        )
        return app

    def _journaled(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Notes a request and how it ended, and checks the key."""

        async def handle(request: web.Request) -> web.StreamResponse:
            body = await _json_body(request)
            entry = self.journal.open(
                method=request.method, path=request.path, query=request.query, headers=request.headers, body=body
            )
            entry.raw = await request.read()
            entry.peer = str(request.transport.get_extra_info("peername")) if request.transport else ""
            try:
                if not isinstance(body, dict):
                    response: web.StreamResponse = _refuse(400, "We could not parse the JSON body of your request.")
                elif self._key_is_wrong(request):
                    response = _refuse(401, "Incorrect API key provided.", code="invalid_api_key")
                else:
                    response = await handler(request, entry, body)
            except (asyncio.CancelledError, ConnectionError):
                entry.disconnected = time.monotonic()
                raise
            entry.status = response.status
            entry.finished = time.monotonic()
            return response

        return handle

    def _key_is_wrong(self, request: web.Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("api-key", "")
        if self._api_key:
            return not hmac.compare_digest(given.encode(), self._api_key.encode())
        return given == WRONG_KEY

    async def _create(self, request: web.Request, entry: Entry, body: Body) -> web.StreamResponse:
        kind, heard = self.kind, self.kind.heard(body)
        script = self.scripts.take("responses", heard, request.headers.get("x-script", ""))
        if script is not None and (early := await self._early(request, script)) is not None:
            return early
        if script is not None and script.recording:
            return await send_recording(request, script, entry)
        if refusal := kind.refusal(body, frozenset(self._records)):
            return _refused(refusal)
        key = request.headers.get("idempotency-key", "") if kind.repeats else ""
        if key in self._by_key:
            return await follow(request, self._by_key[key], -1)
        script = script or computed_answer(heard)
        if kind.done_marker:
            script = replace(script, done_marker=True)
        if self.cache is not None:
            script = replace(script, usage={**self.cache.counted(heard), **script.usage})
        record = Record(new_response(heard), kind.frame)
        if kind.keeps:
            self._keep(record)
        if key:
            self._by_key[key] = record
        return await self._answer(request, script, record, entry, heard)

    async def _answer(
        self, request: web.Request, script: Script, record: Record, entry: Entry, body: Body
    ) -> web.StreamResponse:
        pace = Pace(script, entry, self._holds[script.hold] if script.held_after >= 0 else None)
        if body.get("background"):
            record.task = asyncio.create_task(produce(pace, record, body))
            return (
                await follow(request, record, -1, script) if body.get("stream") else web.json_response(record.response)
            )
        if body.get("stream"):
            answered = await send_script(request, pace, record, body)
            await record.end()
            return answered
        await asyncio.sleep(script.first_delay)
        for step in steps(script, record.response, body):
            await record.add(step.event)
        return web.json_response(record.response, headers=script.headers)

    def _keep(self, record: Record) -> None:
        self._records[record.response["id"]] = record
        while len(self._records) > KEPT_RESPONSES:
            self._records.popitem(last=False)

    async def _retrieve(self, request: web.Request, entry: Entry, body: Body) -> web.StreamResponse:
        script = self.scripts.take("retrieve", body)
        if script is not None and (early := await self._early(request, script)) is not None:
            return early
        if self.kind.missing is not None:
            return _refused(self.kind.missing)
        record = self._records.get(request.match_info["id"])
        streams = request.query.get("stream") == "true"
        if record is None or (streams and record.task is None):
            return _refuse(404, f"Response with id '{request.match_info['id']}' not found.")
        if streams:
            place = -1 if script is not None and script.from_start else int(request.query.get("starting_after", "-1"))
            await asyncio.sleep(script.first_delay if script is not None else 0)
            return await follow(request, record, place, script)
        return web.json_response(record.response)

    async def _cancel(self, request: web.Request, entry: Entry, body: Body) -> web.StreamResponse:
        record = self._records.get(request.match_info["id"])
        if record is None:
            return _refuse(404, f"Response with id '{request.match_info['id']}' not found.")
        if record.task is None:
            return _refuse(400, "Only background responses can be cancelled.")
        if not record.ended:
            record.response["status"] = "cancelled"
            record.task.cancel()
        return web.json_response(record.response)

    async def _count(self, request: web.Request, entry: Entry, body: Body) -> web.StreamResponse:
        if not self.kind.counts_tokens:
            return _refused(self.kind.missing or Refusal(404, "not found"))
        return web.json_response({"object": "response.input_tokens", "input_tokens": len(json.dumps(body)) // 4})

    async def _embed(self, request: web.Request, entry: Entry, body: Body) -> web.StreamResponse:
        script = self.scripts.take("embeddings", body)
        if script is not None and (early := await self._early(request, script)) is not None:
            return early
        if not body.get("input"):
            return _refuse(400, "Missing required parameter: 'input'.", code="missing_required_parameter")
        if script is not None:
            await asyncio.sleep(script.first_delay)
        return web.json_response(embeddings_document(body, self._dimensions))

    async def _early(self, request: web.Request, script: Script) -> web.StreamResponse | None:
        """What a script does before any header is sent, or None where it goes on to answer."""
        if script.hold and script.held_after < 0:
            await self._holds[script.hold].wait()
        if script.at_headers:
            await asyncio.sleep(script.first_delay)
            await break_off(request, script)
        if script.status == 200 and script.body is None:
            return None
        await asyncio.sleep(script.first_delay)
        given = script.body if script.body is not None else {}
        text, kind = (given, "text/plain") if isinstance(given, str) else (json.dumps(given), "application/json")
        return web.Response(text=text, status=script.status, headers={"content-type": kind, **script.headers})

    async def _list_models(self, request: web.Request, entry: Entry, body: Body) -> web.StreamResponse:
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in self._models]
        return web.json_response({"object": "list", "data": rows})

    async def _get_log(self, request: web.Request) -> web.Response:
        return web.json_response([entry.to_json() for entry in self.journal.entries])

    async def _post_script(self, request: web.Request) -> web.Response:
        given: Any = await request.json()
        try:
            self.scripts.add(*(given if isinstance(given, list) else [given]))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})

    async def _post_reset(self, request: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})


async def _json_body(request: web.Request) -> Any:
    if request.method == "GET" or not request.can_read_body:
        return {}
    try:
        return await request.json()
    except ValueError:
        return None


def _refused(refusal: Refusal) -> web.Response:
    if isinstance(refusal.body, str):
        return web.Response(text=refusal.body, status=refusal.status)
    return web.json_response(refusal.body, status=refusal.status)


def _refuse(status: int, message: str, *, code: str | None = None) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status)
