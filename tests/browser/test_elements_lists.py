"""Lists that live, without a server of ours: conversations, earlier turns, the documents of a store."""

import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from playwright.async_api import Route, expect

from chat.rendering.shapes import ConversationEntry
from retrieval.selectors import Counts, DocumentFilter, DocumentRow
from retrieval.selectors.filters import GROUP_OF
from retrieval.selectors.listing import Choice
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


def row(ident: uuid.UUID, state: str = "queued", **changes: Any) -> DocumentRow:
    base: dict[str, Any] = {
        "id": ident, "name": f"{ident.int}.txt", "state": state, "label": state.title(), "message": "",
        "progress": None, "retryable": False, "url": f"/documents/{ident}/", "size": 3, "kind": "Text", "tag": "TXT",
        "group": GROUP_OF[state], "pages": 0, "chunks": 0, "tokens": 0, "who": "Ada", "email": "ada@example.org",
        "added": datetime(2026, 1, 1, 12, ident.int % 60, tzinfo=UTC), "title": "", "notice": "", "notice_kind": "",
    }  # fmt: skip
    return DocumentRow(**base | changes)


def row_html(document: DocumentRow) -> str:
    return render_to_string("retrieval/_partials/row.html", {"document": document, "can_edit": True})


COUNTS = Counts(2, 6, 0, 2, [Choice("", "all", 2, "", True)], [], [])


class Documents:
    """The server's side of a list: what its rows are, and what was asked for."""

    def __init__(self) -> None:
        self.rows: dict[uuid.UUID, DocumentRow] = {}
        self.elsewhere: set[uuid.UUID] = set()
        self.asked: list[list[str]] = []

    def put(self, *documents: DocumentRow) -> None:
        self.rows |= {document.id: document for document in documents}

    async def answer(self, route: Route) -> None:
        self.asked.append(parse_qs(urlsplit(route.request.url).query)["id"])
        rows = [
            {"document": ident, "html": row_html(found), "matches": found.id not in self.elsewhere}
            for ident in self.asked[-1]
            if (found := self.rows.get(uuid.UUID(ident)))
        ]
        counts = render_to_string("retrieval/_partials/counts.html", {"counts": COUNTS})
        await route.fulfill(json={"rows": rows, "counts": counts, "count": len(self.rows)})

    def changed(self, stage: Stage, ident: uuid.UUID) -> None:
        """Tell the page of it, as the socket does."""
        state = self.rows[ident].state
        stage.send(type="document.changed", document=str(ident), store=str(STORE), state=state, html="<i></i>")


async def open_store(stage: Stage, *rows: DocumentRow, query: str = "") -> Documents:
    documents = Documents()
    documents.put(*rows)
    wanted = DocumentFilter.from_query(dict(parse_qsl(query)))

    def view(request: HttpRequest) -> HttpResponse:
        context = {
            "entries": [], "page": "library", "store": SimpleNamespace(id=STORE, name="Rules", description=""),
            "can_edit": True, "documents": list(documents.rows.values()), "page_obj": Paginator([], 5).get_page(1),
            "upload_url": "/upload/", "filter": wanted, "counts": COUNTS, "since": "1",
            "user": SimpleNamespace(pk=1, email="ada@example.org", is_staff=False),
        }  # fmt: skip
        return render(request, "retrieval/store.html", context)

    await stage.show(view, f"/library/5/?{query}")
    await stage.page.route(re.compile("/rows/"), documents.answer)
    return documents


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
    one, two, between = uuid.UUID(int=1), uuid.UUID(int=9), uuid.UUID(int=5)
    documents = await open_store(stage, row(one, "embedding"))
    page, rows = stage.page, stage.page.locator("[data-document]")
    assert f"library:{STORE}" in {frame["topic"] for frame in await stage.sent("subscribe", 2)}
    await expect(rows).to_have_count(1)
    documents.put(row(two), row(between))
    documents.changed(stage, two)
    documents.changed(stage, between)
    stage.send(type="document.changed", document=str(uuid.uuid4()), store=str(uuid.uuid4()), state="queued", html="")
    await expect(rows).to_have_count(3)
    shown = [await each.get_attribute("data-document") for each in await rows.all()]
    assert shown == [str(two), str(between), str(one)]
    documents.put(row(one, "failed", message="There is no text in it.", retryable=True))
    documents.changed(stage, one)
    await expect(page.get_by_text("There is no text in it.")).to_be_visible()
    await expect(page.locator("[data-announcer]")).to_have_text("Failed: 1.txt")
    del documents.rows[two]
    stage.send(type="document.removed", document=str(two), store=str(STORE))
    await expect(rows).to_have_count(2)


async def test_changes_that_come_together_are_asked_for_together(stage: Stage) -> None:
    many = [row(uuid.UUID(int=number), "ready") for number in range(1, 41)]
    documents = await open_store(stage)
    documents.put(*many)
    for document in many:
        documents.changed(stage, document.id)
    await expect(stage.page.locator("[data-document]")).to_have_count(40)
    assert len(documents.asked) <= 2
    documents.put(row(many[1].id, "failed"))
    documents.changed(stage, many[1].id)
    await expect(stage.page.locator("[data-state=failed]")).to_have_count(1)
    assert documents.asked[-1] == [str(many[1].id)]


async def test_a_document_that_stays_ready_shows_its_other_name(stage: Stage) -> None:
    one = row(uuid.UUID(int=1), "ready", notice="A new version is on its way: Reading.")
    documents = await open_store(stage, one)
    documents.put(replace(one, name="new.txt", notice=""))
    documents.changed(stage, one.id)
    await expect(stage.page.get_by_role("row").get_by_role("link", name="new.txt")).to_be_visible()
    await expect(stage.page.get_by_text("A new version is on its way")).to_be_hidden()


async def test_a_row_that_changes_keeps_focus_and_choice(stage: Stage) -> None:
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    documents = await open_store(stage, row(two, "embedding"), row(one, "embedding", progress=10))
    page = stage.page
    await page.get_by_role("checkbox", name="Select 1.txt").check()
    await page.get_by_role("button", name="Actions for 1.txt").focus()
    documents.put(row(one, "ready", chunks=7))
    documents.changed(stage, one)
    await expect(page.locator("[data-state=ready]")).to_have_count(1)
    await expect(page.get_by_role("button", name="Actions for 1.txt")).to_be_focused()
    await expect(page.get_by_role("checkbox", name="Select 1.txt")).to_be_checked()
    del documents.rows[one]
    stage.send(type="document.removed", document=str(one), store=str(STORE))
    await expect(page.get_by_role("button", name="Actions for 2.txt")).to_be_focused()


async def test_what_is_new_is_counted_where_it_does_not_belong_on_top(stage: Stage) -> None:
    one, other, new = uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=3)
    documents = await open_store(stage, row(one, "ready"), query="sort=name")
    documents.elsewhere = {other}
    documents.put(row(other), row(new))
    documents.changed(stage, other)
    documents.changed(stage, new)
    await expect(stage.page.get_by_role("link", name="Show new documents 1")).to_be_visible()
    await expect(stage.page.locator("[data-document]")).to_have_count(1)


async def test_a_store_that_may_not_be_seen_any_more_says_so(stage: Stage) -> None:
    await open_store(stage)
    await stage.sent("subscribe", 2)
    stage.send(type="unsubscribed", topic=f"library:{STORE}", code="not_found")
    await expect(stage.page.get_by_role("alert")).to_have_text(
        "This vector store is gone, or you may not see it any more."
    )


async def test_the_menu_of_a_row_asks_the_server_and_says_what_it_says(stage: Stage) -> None:
    one = uuid.UUID(int=1)
    documents = await open_store(stage, row(one, "failed", retryable=True))
    page, asked = stage.page, []

    async def answer(route: Route) -> None:
        asked.append(route.request.url.removeprefix(SITE))
        if "retry" in route.request.url:
            documents.put(row(one, "queued"))
            return await route.fulfill(json={"document": str(one), "html": ""})
        return await route.fulfill(status=403, json={"code": "x", "message": "You may not.", "retryable": False})

    await page.route("**/documents/**", answer)
    more = page.get_by_role("button", name="Actions for 1.txt")
    await more.press("Enter")
    await expect(page.get_by_role("menuitem", name="Open")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(more).to_be_focused()
    await more.press("Enter")
    for _ in range(2):
        await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("menuitem", name="Try again")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-document]")).to_have_attribute("data-state", "queued")
    await more.press("Enter")
    await expect(page.get_by_role("menuitem", name="Try again")).to_be_hidden()
    await page.get_by_role("menuitem", name="Delete").press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").press("Enter")
    await more.press("Enter")
    await page.get_by_role("menuitem", name="Delete").press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("You may not.")
    await expect(page.locator("[data-document]")).to_have_count(1)
    assert asked == [f"/documents/{one}/retry/", f"/documents/{one}/delete/"]


async def test_why_something_was_not_done_is_in_view_at_the_end_of_a_long_list(stage: Stage) -> None:
    await open_store(stage, *(row(uuid.UUID(int=number), "failed", retryable=True) for number in range(1, 41)))
    page = stage.page
    refusal = {"code": "conflict", "message": "It is there already.", "retryable": False}
    await page.route("**/retry/", lambda route: route.fulfill(status=409, json=refusal))
    await page.locator("[data-menu]").last.press("Enter")
    await page.get_by_role("menuitem", name="Try again").press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("It is there already.")
    await expect(page.get_by_role("alert")).to_be_in_viewport(ratio=1)


async def test_what_was_uploaded_stands_in_the_list(stage: Stage) -> None:
    documents = await open_store(stage)
    one = row(uuid.UUID(int=1), "queued")
    documents.put(one)
    chip = render_to_string("retrieval/_partials/document.html", {"document": one})
    uploaded = {"document": str(one.id), "html": chip, "created": True, "kept_as": "1.txt"}
    await stage.page.route("**/files/", lambda route: route.fulfill(status=201, json=uploaded))
    await stage.page.get_by_label("Add files").set_input_files(
        {"name": "1.txt", "mimeType": "text/plain", "buffer": b"x"}
    )
    await expect(stage.page.get_by_role("row").get_by_role("link", name="1.txt")).to_be_visible()
    await expect(stage.page.locator(".upload-row")).to_contain_text("1.txt")
