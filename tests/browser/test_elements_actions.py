"""What one does with turns that are there, without a server of ours: change, take back, let go on."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from chat.rendering.shapes import Switch
from retrieval.selectors import DocumentView
from tests.browser.elements import CONVERSATION, Stage, created, live, staged, turn_html, turn_view

ONE, TWO, NEW = (uuid.UUID(int=number) for number in (11, 12, 13))
REFUSED = {"type": "error", "code": "conflict", "message": "Not now.", "retryable": False}
Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


def answering(kind: str, frame_of: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    return lambda frame: frame_of(frame) if frame["type"] == kind else None


def withdrawn(turn: uuid.UUID, *, active: uuid.UUID | None, text: str | None) -> dict[str, Any]:
    return {
        "type": "turn.withdrawn",
        "conversation": str(CONVERSATION),
        "turn": str(turn),
        "active": str(active) if active else None,
        "text": text,
    }


def document(number: int) -> DocumentView:
    ident = uuid.UUID(int=number)
    return DocumentView(ident, f"file-{number}.txt", "ready", "Ready", "", None, False, f"/documents/{ident}/", 3)


class TestEdit:
    async def test_enter_sends_the_other_words_and_the_turn_takes_the_place(self, stage: Stage) -> None:
        page = await stage.open(turn_view(ONE, "First", "Yes."), turn_view(TWO, "Old\nwords", "No."))
        stage.answer = answering(
            "turn.edit", lambda frame: created(frame | {"parent": str(ONE)}, NEW, live(NEW, frame["text"]))
        )
        old = page.locator(f"[data-turn='{TWO}']")
        await old.get_by_role("button", name="Edit the message").press("Enter")
        box = old.get_by_role("textbox", name="Message")
        await expect(box).to_be_focused()
        await expect(box).to_have_value("Old\nwords")
        await expect(old.locator(".question__text")).to_be_hidden()
        await box.fill("New words")
        await box.press("Control+Enter")
        (frame,) = await stage.sent("turn.edit")
        assert (frame["turn"], frame["text"]) == (str(TWO), "New words")
        assert "files" not in frame
        await expect(page.locator("parley-turn")).to_have_count(2)
        # whoever works with the keyboard is where the new turn is, not at the top of the page
        await expect(page.locator(f"[data-turn='{NEW}']")).to_be_focused()

    async def test_escape_gives_everything_back_and_stops_nothing(self, stage: Stage) -> None:
        page = await stage.open(
            turn_view(ONE, "Before", "Yes."), turn_view(TWO, "Now", is_live=True, status="in_progress")
        )
        first = page.locator(f"[data-turn='{ONE}']")
        button = first.get_by_role("button", name="Edit the message")
        await button.click()
        await first.get_by_role("textbox").fill("Never mind")
        await first.get_by_role("textbox").press("Escape")
        await expect(first.locator("parley-editor")).to_have_count(0)
        await expect(first.locator(".question__text")).to_have_text("Before")
        await expect(button).to_be_focused()
        assert not [frame for frame in stage.frames if frame["type"] == "turn.stop"]
        # a message that is being answered offers no editing
        await expect(page.locator(f"[data-turn='{TWO}'] [data-edit]")).to_have_count(0)

    async def test_a_refused_change_is_kept_and_sent_again_under_the_same_id(self, stage: Stage) -> None:
        page = await stage.open(turn_view(ONE, "Before", "Yes."))
        stage.answer = answering("turn.edit", lambda _frame: REFUSED)
        await page.get_by_role("button", name="Edit the message").click()
        box = page.locator("parley-editor textarea")
        await box.fill("After")
        await page.locator("parley-editor").get_by_role("button", name="Send").click()
        await expect(page.locator("parley-editor").get_by_role("alert")).to_have_text("Not now.")
        await expect(box).to_have_value("After")
        await box.press("Enter")
        one, other = await stage.sent("turn.edit", 2)
        assert one["client_id"] == other["client_id"]
        await box.fill("Something else")
        await box.press("Enter")
        assert (await stage.sent("turn.edit", 3))[2]["client_id"] != one["client_id"]
        await box.fill("  ")
        await expect(page.locator("parley-editor").get_by_role("button", name="Send")).to_be_disabled()

    async def test_without_a_connection_the_words_stay(self, stage: Stage) -> None:
        page = await stage.open(turn_view(ONE, "Before", "Yes."))
        stage.refuse = True
        await stage.sockets[-1].close(code=1011)
        await expect(page.get_by_text("No connection. What you send")).to_be_visible()
        await page.get_by_role("button", name="Edit the message").click()
        box = page.locator("parley-editor textarea")
        await box.fill("After")
        await box.press("Enter")
        await expect(page.get_by_text("Your words are kept here")).to_be_visible()
        await expect(box).to_have_value("After")

    async def test_a_file_can_be_left_out(self, stage: Stage) -> None:
        page = await stage.open(turn_view(ONE, "Both", "Yes.", documents=(document(21), document(22))))
        await page.get_by_role("button", name="Edit the message").click()
        editor = page.locator("parley-editor")
        await expect(editor.locator("[data-document]")).to_have_count(2)
        await editor.get_by_role("button", name="Leave this file out").first.click()
        await editor.get_by_role("textbox").press("Enter")
        (frame,) = await stage.sent("turn.edit")
        assert frame["files"] == [str(document(22).id)]

    async def test_switches_stand_below_what_they_switch(self, stage: Stage) -> None:
        page = await stage.open(
            turn_view(ONE, "Words", "Yes.", messages=Switch(2, 3, NEW, TWO), answers=Switch(1, 2, None, TWO))
        )
        messages = page.locator(".question").get_by_role("group", name="Versions of the message")
        await expect(messages).to_have_text("2/3")
        await expect(messages.get_by_role("link", name="Previous version")).to_have_attribute("href", f"?turn={NEW}")
        answers = page.locator(".answer").get_by_role("group", name="Other answers")
        await expect(answers).to_have_text("1/2")
        await expect(answers.get_by_role("link", name="Previous answer")).to_have_count(0)
        await expect(answers.get_by_role("link", name="Next answer")).to_have_attribute("href", f"?turn={TWO}")


class TestWithdraw:
    async def test_words_and_files_go_back_to_the_composer(self, stage: Stage) -> None:
        page = await stage.open(
            turn_view(ONE, "Now", is_live=True, status="in_progress"),
            turn_view(TWO, "Next?", is_live=True, status="queued", documents=(document(21),)),
        )
        stage.answer = answering("turn.withdraw", lambda _frame: withdrawn(TWO, active=ONE, text="Next?"))
        await page.get_by_role("button", name="Withdraw").press("Enter")
        (frame,) = await stage.sent("turn.withdraw")
        assert frame["turn"] == str(TWO)
        await expect(page.locator("parley-turn")).to_have_count(1)
        box = page.get_by_role("textbox", name="Message")
        await expect(box).to_have_value("Next?")
        await expect(box).to_be_focused()
        await expect(page.locator("parley-composer [data-document]")).to_have_count(1)
        await expect(page.get_by_role("button", name="Remove file-21.txt")).to_be_visible()

    async def test_what_was_being_written_is_not_lost(self, stage: Stage) -> None:
        page = await stage.open(
            turn_view(ONE, "Now", is_live=True, status="in_progress"),
            turn_view(TWO, "Next?", is_live=True, status="queued"),
        )
        stage.answer = answering("turn.withdraw", lambda _frame: withdrawn(TWO, active=ONE, text="Next?"))
        await page.get_by_role("textbox", name="Message").fill("A draft")
        await page.get_by_role("button", name="Withdraw").click()
        await expect(page.get_by_role("textbox", name="Message")).to_have_value("A draft\nNext?")

    async def test_another_tab_only_stops_showing_it(self, stage: Stage) -> None:
        page = await stage.open(
            turn_view(ONE, "Now", is_live=True, status="in_progress"),
            turn_view(TWO, "Next?", is_live=True, status="queued"),
        )
        stage.send(**withdrawn(TWO, active=ONE, text="Next?"))
        await expect(page.locator("parley-turn")).to_have_count(1)
        await expect(page.get_by_role("textbox", name="Message")).to_have_value("")

    async def test_once_it_is_answered_it_is_too_late(self, stage: Stage) -> None:
        page = await stage.open(turn_view(ONE, "Now", is_live=True, status="queued"))
        stage.answer = answering("turn.withdraw", lambda _frame: REFUSED)
        button = page.get_by_role("button", name="Withdraw")
        await button.click()
        await expect(page.get_by_text("Not now.")).to_be_visible()
        await expect(button).to_be_enabled()
        stage.send(type="turn.state", turn=str(ONE), epoch=1, number=1, status="in_progress", label="Thinking…")
        await expect(button).to_be_hidden()

    async def test_escape_stops_what_runs_and_leaves_what_waits(self, stage: Stage) -> None:
        page = await stage.open(
            turn_view(ONE, "Now", is_live=True, status="in_progress"),
            turn_view(TWO, "Next?", is_live=True, status="queued"),
        )
        await page.get_by_role("textbox").press("Escape")
        (frame,) = await stage.sent("turn.stop")
        assert frame["turn"] == str(ONE)
        assert not [frame for frame in stage.frames if frame["type"] == "turn.withdraw"]

    async def test_escape_withdraws_where_nothing_runs_yet(self, stage: Stage) -> None:
        page = await stage.open(turn_view(ONE, "Now", is_live=True, status="queued"))
        stage.answer = answering("turn.withdraw", lambda _frame: withdrawn(ONE, active=None, text="Now"))
        await page.get_by_role("textbox").press("Escape")
        await expect(page.locator("parley-turn")).to_have_count(0)
        await expect(page.get_by_role("textbox")).to_have_value("Now")


class TestContinue:
    async def test_the_answer_goes_on_in_its_place(self, stage: Stage) -> None:
        cut = turn_view(
            ONE, "Which?", "The light", status="incomplete", error_message="Short.", can_continue=True, can_retry=True
        )  # fmt: skip
        page = await stage.open(cut)
        stage.answer = answering(
            "turn.continue",
            lambda frame: created(
                frame | {"parent": None}, NEW,
                turn_html(NEW, "Which?", "The light", status="queued", is_live=True),
            ),
        )  # fmt: skip
        await page.get_by_role("button", name="Continue").press("Enter")
        (frame,) = await stage.sent("turn.continue")
        assert frame["turn"] == str(ONE)
        shown = page.locator("parley-turn")
        await expect(shown).to_have_attribute("data-turn", str(NEW))
        await expect(shown).to_be_focused()
        await expect(page.get_by_text("Which?")).to_have_count(1)
        answer = shown.locator("[data-answer]")
        # the beginning stays in view until the text of the running turn comes
        stage.send(type="turn.snapshot", turn=str(NEW), epoch=1, number=0, handle=1, blocks=[])
        stage.send(type="turn.state", turn=str(NEW), epoch=1, number=1, status="in_progress", label="Thinking…")
        await expect(shown.locator("[data-label]")).to_have_text("Thinking…")
        await expect(answer).to_have_text("The light")
        stage.send(type="turn.snapshot", turn=str(NEW), epoch=1, number=2, handle=1, blocks=["<p>The light</p>"])
        stage.send(
            type="turn.blocks", turn=str(NEW), epoch=1, number=3, first=0, blocks=[{"keep": 12, "html": "house.</p>"}]
        )
        await expect(answer).to_have_text("The lighthouse.")

    async def test_it_is_offered_at_the_end_of_the_conversation_only(self, stage: Stage) -> None:
        cut = {"status": "cancelled", "error_message": "Stopped.", "can_continue": True, "can_retry": True}
        page = await stage.open(turn_view(ONE, "One", "So", **cut), turn_view(TWO, "Two", "And", **cut))
        await expect(page.get_by_role("button", name="Continue")).to_have_count(1)
        await expect(page.locator(f"[data-turn='{TWO}'] [data-continue]")).to_be_visible()
        button = page.get_by_role("button", name="Continue")
        # until it is answered a second wish is none, and the focus stays
        for _ in range(2):
            await button.focus()
            await button.press("Enter")
        (frame,) = await stage.sent("turn.continue")
        await expect(button).to_be_disabled()
        await expect(button).to_be_focused()
        stage.send(**REFUSED, ref=frame["ref"])
        await expect(page.get_by_text("Not now.")).to_be_visible()
        await expect(button).to_be_enabled()


async def test_where_no_model_answered_the_assistant_says_what_it_was_given_to_say(stage: Stage) -> None:
    page = await stage.open(
        turn_view(
            ONE, "Hello", status="failed", error_message="The key is refused.", failure_message="Call <us>.\nSoon."
        )
    )
    await expect(page.locator(".answer__instead")).to_have_text("Call <us>.\nSoon.", use_inner_text=True)
    await expect(page.get_by_text("The key is refused.")).to_be_visible()
    await expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    await expect(page.get_by_role("button", name="Answer again")).to_be_visible()


async def test_a_turn_of_another_branch_is_not_put_into_this_one(stage: Stage) -> None:
    page = await stage.open(turn_view(ONE, "First", "Yes."))
    elsewhere = created({"client_id": str(uuid.uuid4()), "parent": str(TWO)}, NEW, live(NEW, "Elsewhere"))
    stage.send(**elsewhere)
    stage.send(**created({"client_id": str(uuid.uuid4()), "parent": str(ONE)}, TWO, live(TWO, "Here")))
    await expect(page.get_by_text("Here", exact=True)).to_be_visible()
    await expect(page.get_by_text("Elsewhere")).to_have_count(0)
