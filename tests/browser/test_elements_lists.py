"""Lists that live, without a server of ours: conversations, earlier turns, the documents of a store."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from playwright.async_api import expect

from chat.rendering.shapes import ConversationEntry
from retrieval.selectors import DocumentView
from tests.browser.elements import CONVERSATION, SITE, Stage, staged, turn_view

STORE = uuid.UUID(int=5)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


def entry_html(ident: uuid.UUID, title: str, minute: int, *, running: bool = False) -> str:
    updated = datetime(2026, 1, 1, 12, minute, tzinfo=UTC)
    entry = ConversationEntry(ident, title, f"/c/{ident}/", running, updated)
    return render_to_string("chat/_partials/conversation_entry.html", {"entry": entry})


def document_html(ident: uuid.UUID, state: str = "queued", **changes: Any) -> str:
    base: dict[str, Any] = {
        "id": ident, "name": f"{ident.int}.txt", "state": state, "label": state.title(), "message": "",
        "progress": None, "retryable": False, "url": f"/documents/{ident}/", "size": 3,
    }  # fmt: skip
    return render_to_string("retrieval/_partials/document.html", {"document": DocumentView(**base | changes)})


async def open_store(stage: Stage) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        context = {
            "entries": [], "page": "library", "store": SimpleNamespace(id=STORE, name="Rules", description=""),
            "can_edit": True, "documents": [], "page_obj": Paginator([], 5).get_page(1), "upload_url": "/upload/",
            "user": SimpleNamespace(pk=1, email="ada@example.org", is_staff=False),
        }  # fmt: skip
        return render(request, "retrieval/library.html", context)

    await stage.show(view, "/library/5/")


async def test_a_conversation_that_changes_comes_to_the_top_with_its_title(stage: Stage) -> None:
    page = await stage.open(turn_view(uuid.uuid4(), "Before", "Yes."))
    other = uuid.uuid4()
    stage.send(type="conversation.changed", conversation=str(other), html=entry_html(other, "Other", 1, running=True))
    own = entry_html(CONVERSATION, "A title <found>", 2)
    stage.send(type="conversation.changed", conversation=str(CONVERSATION), html=own)
    titles = page.locator("[data-entries] .entry__title")
    await expect(titles).to_have_text(["A title <found>", "Other"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("A title <found>")
    await expect(page.locator("[data-entries] [aria-current=page]")).to_have_text("A title <found>")
    stage.send(type="conversation.changed", conversation=str(other), html=entry_html(other, "Other", 3))
    await expect(titles).to_have_text(["Other", "A title <found>"])
    await expect(page.locator("[data-entries] .pulse")).to_have_count(0)


async def test_earlier_turns_come_in_front_and_what_is_read_stays_in_view(stage: Stage) -> None:
    earlier = [turn_view(uuid.uuid4(), f"Earlier {number}", "Long answer.") for number in range(8)]
    body = render_to_string("chat/_partials/turns.html", {"turns": earlier, "older_url": None})
    await stage.page.route("**/older/", lambda route: route.fulfill(body=body, content_type="text/html"))
    shown = [turn_view(uuid.uuid4(), f"Shown {number}", "Long answer.\n\n" * 5) for number in range(6)]
    page = await stage.open(*shown, older_url="/older/")
    await page.locator("parley-thread").evaluate("element => element.scrollTop = 0")
    before = await page.get_by_text("Shown 0").bounding_box()
    await page.get_by_role("link", name="Earlier messages").click()
    await expect(page.locator("parley-turn")).to_have_count(14)
    after = await page.get_by_text("Shown 0").bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 60
    await expect(page.get_by_role("link", name="Earlier messages")).to_have_count(0)
    await expect(page.locator("parley-turn").first).to_be_focused()


async def test_documents_of_a_store_are_live(stage: Stage) -> None:
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    await open_store(stage)
    page = stage.page
    topics = {frame["topic"] for frame in await stage.sent("subscribe", 2)}
    assert f"library:{STORE}" in topics
    await expect(page.get_by_text("No documents yet")).to_be_visible()
    place = {"store": str(STORE)}
    stage.send(type="document.changed", document=str(one), **place, state="queued", html=document_html(one))
    stage.send(type="document.changed", document=str(two), **place, state="queued", html=document_html(two))
    stage.send(type="document.changed", document=str(uuid.uuid4()), store=str(uuid.uuid4()), state="queued", html="")
    rows = page.locator("[data-document]")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_have_attribute("data-document", str(two))
    await expect(page.get_by_text("No documents yet")).to_be_hidden()
    failed = document_html(one, "failed", message="There is no text in it.", retryable=True)
    stage.send(type="document.changed", document=str(one), **place, state="failed", html=failed)
    await expect(page.get_by_text("There is no text in it.")).to_be_visible()
    stage.send(type="document.removed", document=str(two), **place)
    await expect(rows).to_have_count(1)


async def test_a_store_that_may_not_be_seen_any_more_says_so(stage: Stage) -> None:
    await open_store(stage)
    await stage.sent("subscribe", 2)
    stage.send(type="unsubscribed", topic=f"library:{STORE}", code="not_found")
    await expect(stage.page.get_by_role("alert")).to_have_text(
        "This vector store is gone, or you may not see it any more."
    )


async def test_try_again_and_remove_ask_the_server_and_say_what_it_says(stage: Stage) -> None:
    one = uuid.UUID(int=1)
    await open_store(stage)
    page, asked = stage.page, []

    async def answer(route: Any) -> None:
        asked.append(route.request.url.removeprefix(SITE))
        if "retry" in route.request.url:
            return await route.fulfill(json={"document": str(one), "html": document_html(one, "queued")})
        return await route.fulfill(status=403, json={"code": "x", "message": "You may not.", "retryable": False})

    await page.route("**/documents/**", answer)
    failed = document_html(one, "failed", retryable=True)
    stage.send(type="document.changed", document=str(one), store=str(STORE), state="failed", html=failed)
    await page.get_by_role("button", name="Try 1.txt again").click()
    await expect(page.locator("[data-document]")).to_have_attribute("data-state", "queued")
    await page.get_by_role("button", name="Remove 1.txt").click()
    await expect(page.get_by_text("You may not.")).to_be_visible()
    await expect(page.locator("[data-document]")).to_have_count(1)
    assert asked == [f"/documents/{one}/retry/", f"/documents/{one}/delete/"]
