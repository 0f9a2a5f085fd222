"""Writing and sending, without a server of ours: what the page itself promises."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.template.loader import render_to_string
from playwright.async_api import Route, expect

from chat.rendering.markdown import render as render_markdown
from retrieval.selectors import DocumentView
from tests.browser.elements import (
    ANSWER,
    CITATION,
    CONVERSATION,
    SITE,
    Stage,
    created,
    live,
    serve_static,
    staged,
    storing,
    stream,
    turn_html,
    turn_view,
)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


async def test_a_message_goes_out_streams_and_ends_without_a_jump(stage: Stage) -> None:
    turn = uuid.uuid4()
    stage.answer = storing(turn)
    page = await stage.open(is_new=True)
    await page.get_by_role("textbox").fill("Which <ships>?\nAll?")
    await page.keyboard.press("Enter")
    (frame,) = await stage.sent("turn.create")
    assert frame["text"] == "Which <ships>?\nAll?"
    assert frame["assistant"] == str(uuid.UUID(int=9))
    assert frame["conversation"] == str(CONVERSATION)
    shown = page.locator(f"parley-turn[data-turn='{turn}']")
    await expect(shown).to_be_visible()
    await expect(page.get_by_role("textbox")).to_have_value("")
    await expect(page).to_have_url(f"{SITE}/c/{CONVERSATION}/")
    await expect(page.locator("parley-welcome")).to_have_count(0)
    topics = [sent["topic"] for sent in await stage.sent("subscribe", 2)]
    assert sorted(topics) == sorted({f"conversation:{CONVERSATION}", "feed"})

    await stream(stage, turn, ANSWER)
    answer = shown.locator("[data-answer]")
    await expect(answer).to_contain_text("The end of it.")
    await expect(page.get_by_role("button", name="Stop the answer")).to_be_visible()
    height = await answer.evaluate("element => element.getBoundingClientRect().height")
    first = await answer.locator("p").first.element_handle()
    stage.send(type="turn.final", turn=str(turn), status="completed", html=turn_html(turn, frame["text"], ANSWER))
    await expect(shown).not_to_have_attribute("data-live", "")
    await expect(page.get_by_role("button", name="Stop the answer")).to_be_hidden()
    assert await answer.evaluate("element => element.getBoundingClientRect().height") == height
    # the final HTML found what was there already: nodes, and with them a selection, stay
    assert first is not None
    assert await first.evaluate("element => element.isConnected")
    await expect(page.locator("[data-announcer]")).to_have_text("The answer is complete.")
    shown_html = await answer.evaluate(
        """element => {
          const copy = element.cloneNode(true);
          for (const own of copy.querySelectorAll("parley-copy")) own.replaceChildren();
          return copy.innerHTML;
        }"""
    )
    stored_html = await page.evaluate(
        """html => {
          const template = document.createElement("template");
          template.innerHTML = html;
          return template.innerHTML;
        }""",
        render_markdown(ANSWER, (CITATION,)),
    )
    assert shown_html == stored_html


async def test_frames_apply_in_order_of_epoch_and_number_only(stage: Stage) -> None:
    turn = uuid.uuid4()
    page = await stage.open(turn_view(turn, "Hello", is_live=True, status="in_progress"))
    answer = page.locator("[data-answer]")
    place = {"turn": str(turn), "epoch": 2}
    stage.send(type="turn.snapshot", **place, number=5, handle=1, blocks=["<p>one</p>", "<p>two"])
    stage.send(type="turn.blocks", **place, number=5, first=0, blocks=[{"keep": 0, "html": "<p>repeated</p>"}])
    stage.send(type="turn.blocks", turn=str(turn), epoch=1, number=9, first=0, blocks=[{"keep": 0, "html": "old"}])
    stage.send(type="turn.snapshot", turn=str(turn), epoch=1, number=9, handle=1, blocks=["<p>older</p>"])
    stage.send(type="turn.blocks", **place, number=6, first=1, blocks=[{"keep": 6, "html": " and 🙂</p>"}])
    await expect(answer).to_have_text("onetwo and 🙂")
    stage.send(type="turn.blocks", **place, number=7, first=1, blocks=[{"keep": 13, "html": "!</p>"}])
    await expect(answer).to_have_text("onetwo and 🙂!")
    stage.send_text(1, 8, 4, "?")
    stage.send_text(1, 8, 4, " twice")
    stage.send_text(2, 9, 4, " foreign")
    await expect(answer).to_have_text("onetwo and 🙂!?")
    stage.send_text(1, 9, 8, " 🙂")
    await expect(answer).to_have_text("onetwo and 🙂🙂!?")
    stage.send(type="turn.blocks", **place, number=10, first=1, blocks=[])
    await expect(answer).to_have_text("one")
    stage.send(type="turn.snapshot", turn=str(turn), epoch=3, number=0, handle=1, blocks=["<p>taken over</p>"])
    await expect(answer).to_have_text("taken over")


async def test_offline_messages_are_kept_over_a_reload_and_sent_once(stage: Stage) -> None:
    turn, second = uuid.uuid4(), uuid.uuid4()
    page = await stage.open(turn_view(uuid.uuid4(), "Before", "Yes."))
    stage.refuse = True
    await stage.sockets[-1].close(code=1011)
    await expect(page.get_by_text("No connection.")).to_be_visible()
    box = page.get_by_role("textbox")
    for text in ("Written offline", "And another"):
        await box.fill(text)
        await box.press("Enter")
        await expect(box).to_have_value("")
    await expect(page.get_by_text("Kept. It goes out").locator("visible=true")).to_have_count(2)

    stage.frames.clear()
    turns = iter((turn, second))

    def store(frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["type"] != "turn.create":
            return None
        ident = next(turns)
        return created(frame, ident, turn_html(ident, frame["text"], "Done."))

    stage.answer = store
    stage.refuse = False
    await page.reload()
    await expect(page.locator("parley-turn[data-turn]")).to_have_count(3)
    first, other = await stage.sent("turn.create", 2)
    assert [first["text"], other["text"]] == ["Written offline", "And another"]
    # the second follows the first, whose turn was not known when it was written
    assert other["parent"] == str(turn)
    await page.reload()
    await stage.sent("subscribe", 4)
    await asyncio.sleep(0.3)
    assert len(await stage.sent("turn.create")) == 2


async def test_a_refused_message_says_why_and_comes_back(stage: Stage) -> None:
    page = await stage.open(turn_view(uuid.uuid4(), "Before", "Yes."))
    stage.answer = lambda frame: (
        {"type": "error", "code": "limit_exceeded", "message": "Too many messages.", "retryable": False}
        if frame["type"] == "turn.create"
        else None
    )
    await page.get_by_role("textbox").fill("My long words")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_text("Too many messages.")).to_be_visible()
    await expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    await page.get_by_role("button", name="Edit", exact=True).click()
    await expect(page.get_by_role("textbox")).to_have_value("My long words")
    assert await page.evaluate("Object.keys(localStorage).filter(key => key.includes('outbox')).length") == 0


async def test_what_was_sent_too_fast_goes_out_again_by_itself(stage: Stage) -> None:
    turn, seen = uuid.uuid4(), set[str]()

    def answer(frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["type"] not in seen:
            seen.add(frame["type"])
            reason = {"code": "limit_exceeded", "message": "That was too fast.", "retryable": True}
            return {"type": "error", **reason, "wait": 0.3}
        return storing(turn)(frame)

    stage.answer = answer
    page = await stage.open(is_new=True)
    first, again = await stage.sent("subscribe", 2)
    assert first == again
    await page.get_by_role("textbox").fill("Hasty?")
    await page.keyboard.press("Enter")
    first, again = await stage.sent("turn.create", 2)
    assert first == again
    await expect(page.locator(f"parley-turn[data-turn='{turn}']")).to_be_visible()
    await expect(page.get_by_text("That was too fast.")).to_have_count(0)


def watched(frames: list[dict[str, Any]]) -> list[str]:
    return sorted(frame["topic"] for frame in frames)


async def test_a_right_that_is_withdrawn_is_said_and_what_is_left_goes_on(stage: Stage) -> None:
    talk = f"conversation:{CONVERSATION}"
    page = await stage.open(turn_view(uuid.uuid4(), "Now", is_live=True, status="in_progress"))
    assert watched(await stage.sent("subscribe", 2)) == [talk, "feed"]
    notice = page.get_by_text("This conversation is gone")
    await expect(notice).to_be_hidden()
    stage.frames.clear()
    stage.send(type="unsubscribed", topic=talk, code="not_found")
    await stage.sockets[-1].close(code=4403)
    await expect(notice).to_be_visible()
    await expect(page.get_by_text("Working on it…")).to_have_count(0)
    await expect(page.get_by_role("button", name="Stop the answer")).to_be_hidden()
    assert watched(await stage.sent("subscribe")) == ["feed"], "the rest is watched over a new connection"
    # and over every later one
    await stage.sockets[-1].close(code=1012)
    assert watched(await stage.sent("subscribe", 2)) == ["feed", "feed"]
    await expect(page.locator("parley-connection")).to_be_hidden()


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_refused_subscription_is_repeated_or_said(stage: Stage, retryable: bool) -> None:
    talk, refusals = f"conversation:{CONVERSATION}", 2 if retryable else 1
    asked: list[str] = []

    def answer(frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["type"] != "subscribe":
            return None
        asked.append(frame["topic"])
        if frame["topic"] != talk or asked.count(talk) > refusals:
            return {"type": "subscribed", "topic": frame["topic"]}
        code = "unavailable" if retryable else "not_found"
        return {"type": "error", "code": code, "message": "Not now.", "retryable": retryable}

    stage.answer = answer
    page = await stage.open(turn_view(uuid.uuid4(), "Before", "Yes."))
    notice = page.get_by_text("This conversation is gone")
    await expect(notice).to_be_visible(visible=not retryable)
    before = await stage.sent("subscribe", 4 if retryable else 2)
    # the next connection takes up what may be watched
    await stage.sockets[-1].close(code=1012)
    await stage.sent("subscribe", len(before) + (2 if retryable else 1))
    assert sorted(asked) == [talk] * (4 if retryable else 1) + ["feed"] * 2


async def test_nothing_too_long_goes_out_and_shift_enter_begins_a_line(stage: Stage) -> None:
    page = await stage.open(turn_view(uuid.uuid4(), "Before", "Yes."))
    box = page.get_by_role("textbox")
    await box.fill("a" * 201)
    await expect(page.get_by_text("201 / 200")).to_be_visible()
    await box.press("Enter")
    await expect(page.get_by_text("A message takes at most 200 characters.")).to_be_visible()
    await expect(box).to_have_value("a" * 201)
    await box.fill("one")
    await box.press("Shift+Enter")
    await box.press_sequentially("two")
    await expect(box).to_have_value("one\ntwo")
    assert not [frame for frame in stage.frames if frame["type"] == "turn.create"]
    await page.reload()
    await expect(page.get_by_role("textbox")).to_have_value("one\ntwo")


async def test_escape_stops_the_running_answer(stage: Stage) -> None:
    turn = uuid.uuid4()
    page = await stage.open(turn_view(turn, "Now", is_live=True, status="in_progress"))
    await page.get_by_role("textbox").press("Escape")
    (frame,) = await stage.sent("turn.stop")
    assert frame["turn"] == str(turn)


async def test_try_again_asks_for_a_sibling_that_takes_the_place(stage: Stage) -> None:
    parent, failed, again = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    page = await stage.open(
        turn_view(parent, "Before", "Yes."),
        turn_view(failed, "Now", status="failed", error_message="Away.", can_retry=True),
    )

    def store(frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["type"] != "turn.retry":
            return None
        return created(frame | {"parent": str(parent)}, again, live(again, "Now"))

    stage.answer = store
    await page.get_by_role("button", name="Try again").click()
    (frame,) = await stage.sent("turn.retry")
    assert frame["turn"] == str(failed)
    await expect(page.locator(f"parley-turn[data-turn='{again}']")).to_be_visible()
    await expect(page.locator("parley-turn")).to_have_count(2)


async def test_without_files_the_composer_leaves_no_room_for_them(stage: Stage) -> None:
    page = await stage.open(is_new=True)
    await expect(page.locator(".composer__files")).to_be_hidden()


async def test_files_show_their_progress_and_their_failures(stage: Stage) -> None:
    ident = uuid.uuid4()
    view = DocumentView(ident, "a.txt", "queued", "Waiting", "", None, False, f"/documents/{ident}/", 3)

    async def take(route: Route) -> None:
        if b"bad.bin" in (route.request.post_data_buffer or b""):
            answer = {"code": "unsupported", "message": "This kind of file cannot be read.", "retryable": False}
            return await route.fulfill(status=400, json=answer)
        html = render_to_string("retrieval/_partials/document.html", {"document": view})
        return await route.fulfill(status=201, json={"document": str(ident), "html": html})

    await stage.page.route("**/upload/", take)
    page = await stage.open(is_new=True)
    await page.get_by_role("textbox").fill("Kept words")
    await page.locator("input[type=file]").set_input_files(
        [
            {"name": "a.txt", "mimeType": "text/plain", "buffer": b"abc"},
            {"name": "bad.bin", "mimeType": "text/plain", "buffer": b"bad"},
            {"name": "big.txt", "mimeType": "text/plain", "buffer": b"x" * 1001},
        ]
    )
    chip = page.locator(f"[data-document='{ident}']")
    await expect(chip).to_have_attribute("data-state", "queued")
    await expect(page.get_by_text("This kind of file cannot be read.")).to_be_visible()
    await expect(page.get_by_role("textbox")).to_have_value("Kept words")
    ready = DocumentView(ident, "a.txt", "ready", "Ready", "", None, False, f"/documents/{ident}/", 3)
    html = render_to_string("retrieval/_partials/document.html", {"document": ready})
    stage.send(type="document.changed", document=str(ident), store=str(uuid.uuid4()), state="ready", html=html)
    await expect(chip).to_have_attribute("data-state", "ready")
    stage.answer = storing(uuid.uuid4())
    await page.get_by_role("button", name="Send").click()
    (frame,) = await stage.sent("turn.create")
    assert frame["files"] == [str(ident)]


async def test_files_chosen_before_the_scripts_ran_are_taken(stage: Stage) -> None:
    ready = asyncio.Event()

    async def late(route: Route) -> None:
        await ready.wait()
        await serve_static(route)

    await stage.page.route(re.compile(r"/static/js/(start|chat)"), late)
    failure = {"code": "empty", "message": "This file is empty.", "retryable": False}
    await stage.page.route("**/upload/", lambda route: route.fulfill(status=422, json=failure))
    opening = asyncio.create_task(stage.open(is_new=True))
    field = await stage.page.wait_for_selector("#composer-attach", state="attached")
    assert field is not None
    await field.set_input_files([{"name": "early.txt", "mimeType": "text/plain", "buffer": b""}])
    await expect(stage.page.get_by_role("button", name="Send")).to_be_disabled()
    ready.set()
    page = await opening
    await expect(page.get_by_text("early.txt")).to_be_visible()
    await expect(page.get_by_text("This file is empty.")).to_be_visible()
