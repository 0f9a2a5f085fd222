"""The chat page without a server: templates and modules from the files, and a socket that the test speaks for."""

import asyncio
import json
import mimetypes
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.async_api import BrowserContext, Page, Route, WebSocketRoute, async_playwright

from chat.rendering.blocks import BlockRenderer
from chat.rendering.markdown import render as render_markdown
from chat.rendering.markdown import render_plain
from chat.rendering.shapes import AssistantCard, CitationView, Switch, TurnView
from tests.browser.conftest import ARGUMENTS, VIOLATIONS
from tests.frames import FrameError, check_received, check_sent
from tests.waiting import until

STATIC = Path(__file__).parent.parent.parent / "static"
SITE = "http://parley.test"
CONVERSATION = uuid.UUID(int=7)
CITATION = CitationView(uuid.UUID(int=1), 1, "rules.pdf", 3, "quote", f"/citations/{uuid.UUID(int=1)}/")
ANSWER = "First paragraph with **bold** [1].\n\n- one\n- two\n\n```python\nif x: pass\n```\n\nThe end of it."


def turn_view(ident: uuid.UUID, question: str, answer: str = "", **changes: Any) -> TurnView:
    base: dict[str, Any] = {
        "id": ident, "status": "completed", "user_html": render_plain(question), "user_text": question, "documents": (),
        "answer_html": render_markdown(answer, (CITATION,)), "answer_text": answer,
        "citations": (CITATION,) if "[1]" in answer else (), "failure_message": "", "error_message": "",
        "can_continue": False, "can_retry": False, "model_label": "scripted", "is_live": False, "messages": Switch(),
        "answers": Switch(), "created_at": datetime(2026, 1, 1, tzinfo=UTC), "seconds": 1.0, "input_tokens": 1,
        "output_tokens": 1,
    }  # fmt: skip
    return TurnView(**base | changes)


def turn_html(ident: uuid.UUID, question: str, answer: str = "", **changes: Any) -> str:
    return render_to_string("chat/_partials/turn.html", {"turn": turn_view(ident, question, answer, **changes)})


def live(ident: uuid.UUID, question: str) -> str:
    return turn_html(ident, question, status="in_progress", is_live=True)


def chat_page(turns: list[TurnView], *, is_new: bool, older_url: str | None) -> Callable[[HttpRequest], HttpResponse]:
    """A view of the chat page that needs no rows."""
    card = AssistantCard(uuid.UUID(int=9), "Harbour guide", "Knows the rules.", ("Which ships?",), "moss")

    def view(request: HttpRequest) -> HttpResponse:
        context = {
            "assistants": [card] if is_new else [], "assistant": card, "conversation_id": CONVERSATION,
            "conversation_url": f"/c/{CONVERSATION}/", "conversation_title": "" if is_new else "Talk", "is_new": is_new,
            "turns": turns, "older_url": older_url, "entries": [], "more_entries_url": None, "documents": [],
            "limits": {"message_chars": 200, "upload_bytes": 1000, "part_bytes": 600, "files": 3},
            "provider_notice": None, "upload_url": "/upload/", "parts_url": "/uploads/",
            "user": SimpleNamespace(pk=1, email="ada@example.org", is_staff=False),
        }  # fmt: skip
        return render(request, "chat/page.html", context)

    return view


@dataclass
class Stage:
    """A page, and the server's end of its socket."""

    context: BrowserContext
    page: Page
    sockets: list[WebSocketRoute] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refuse: bool = False
    answer: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _frame: None

    def send(self, **frame: Any) -> None:
        self._send(frame)

    def send_text(self, handle: int, number: int, end: int, html: str) -> None:
        self._send([handle, number, end, html])

    def _send(self, frame: Any) -> None:
        text = json.dumps(frame)
        check_received(text)
        self.sockets[-1].send(text)

    def accept(self, socket: WebSocketRoute) -> None:
        if self.refuse:
            asyncio.ensure_future(socket.close(code=1011))  # noqa: RUF006 - ends with the page
            return
        self.sockets.append(socket)
        socket.on_message(self.take)
        self.send(type="hello", protocol=1, limits={"frame_bytes": 262_144, "message_chars": 200})

    def take(self, text: str | bytes) -> None:
        try:
            frame = check_sent(str(text))
        except FrameError as error:
            self.problems.append(str(error))
            return
        self.frames.append(frame)
        answer = self.answer(frame)
        if answer is not None:
            self.send(**answer, ref=frame.get("ref"))

    async def sent(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The frames of this kind, once there are `count` of them."""
        with suppress(TimeoutError):
            await until(lambda: len(self._of(kind)) >= count)
        found = self._of(kind)
        assert len(found) >= count, f"{count} × {kind} did not come: {self.frames}"
        return found

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def open(self, *turns: TurnView, is_new: bool = False, older_url: str | None = None) -> Page:
        view = chat_page(list(turns), is_new=is_new, older_url=older_url)
        return await self.show(view, "/" if is_new else f"/c/{CONVERSATION}/")

    async def show(self, view: Callable[[HttpRequest], HttpResponse], path: str) -> Page:
        """The page of `view`, with the policy that the site sends, at every address that a test may lead it to."""
        response = CSPMiddleware(view)(RequestFactory().get(path))
        assert isinstance(response, HttpResponse)
        headers = {"Content-Security-Policy": response.headers["Content-Security-Policy"]}
        body = response.content

        async def serve(route: Route) -> None:
            await route.fulfill(body=body, content_type="text/html; charset=utf-8", headers=headers)

        await self.page.route(re.compile(rf"^{SITE}/(c/.*|library/.*)?$"), serve)
        await self.page.goto(SITE + path)
        await self.sent("subscribe")
        return self.page


async def serve_static(route: Route) -> None:
    name = re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", route.request.url.partition("/static/")[2].partition("#")[0])
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    await route.fulfill(body=(STATIC / name).read_bytes(), content_type=kind)


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """A browser with an empty page; at its end nothing may have gone wrong in it."""
    path = shutil.which("chromium")
    assert path, "Chromium is needed for the browser tests: apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = await browser.new_context(viewport={"width": 1280, "height": 700})
        context.set_default_timeout(30_000)
        page = await context.new_page()
        made = Stage(context, page)
        page.on("pageerror", lambda error: made.problems.append(f"script error: {error}"))
        page.on("console", lambda message: made.problems.append(message.text) if message.type == "error" else None)
        await page.add_init_script(VIOLATIONS)
        await page.route("**/static/**", serve_static)
        await page.route_web_socket(re.compile(r"/ws/$"), made.accept)
        yield made
        await browser.close()
    assert not [problem for problem in made.problems if "WebSocket" not in problem and "status of 4" not in problem]


def created(frame: dict[str, Any], turn: uuid.UUID, html: str) -> dict[str, Any]:
    return {
        "type": "turn.created", "conversation": str(CONVERSATION), "turn": str(turn),
        "client_id": frame["client_id"], "parent": frame["parent"], "html": html,
    }  # fmt: skip


def storing(turn: uuid.UUID) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """A server that stores each message at once."""

    def answer(frame: dict[str, Any]) -> dict[str, Any] | None:
        return created(frame, turn, live(turn, frame["text"])) if frame["type"] == "turn.create" else None

    return answer


async def stream(stage: Stage, turn: uuid.UUID, text: str, *, size: int = 7) -> None:
    renderer, number = BlockRenderer((CITATION,)), 1
    stage.send(type="turn.snapshot", turn=str(turn), epoch=1, number=0, handle=1, blocks=[])
    for start in range(0, len(text), size):
        renderer.feed(text[start : start + size])
        update = renderer.render()
        if update.growth is not None:
            stage.send_text(1, number, update.growth.end, update.growth.html)
        else:
            blocks = [{"keep": patch.keep, "html": patch.html} for patch in update.blocks]
            stage.send(type="turn.blocks", turn=str(turn), epoch=1, number=number, first=update.first, blocks=blocks)
        number += 1
