"""Reading, without a server of ours: scrolling, citations, copying."""

import uuid
from collections.abc import AsyncIterator

import pytest
from django.template.loader import render_to_string
from playwright.async_api import Route, expect

from chat.rendering.markdown import render as render_markdown
from tests.browser.elements import ANSWER, CITATION, Stage, staged, turn_html, turn_view
from tests.waiting import until


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


async def test_the_view_stays_where_the_reader_put_it(stage: Stage) -> None:
    turn = uuid.uuid4()
    words = "\n\n".join(f"Paragraph {number} of a long answer." for number in range(60))
    page = await stage.open(
        turn_view(uuid.uuid4(), "Before", words), turn_view(turn, "Now", is_live=True, status="in_progress")
    )
    thread = page.locator("parley-thread")
    gap = "element => element.scrollHeight - element.clientHeight - element.scrollTop"
    assert await thread.evaluate(gap) < 2
    stage.send(type="turn.snapshot", turn=str(turn), epoch=1, number=1, handle=1, blocks=["<p>line</p>"] * 40)
    await expect(page.locator("[data-answer]").last).to_contain_text("line")
    await page.wait_for_timeout(100)
    assert await thread.evaluate(gap) < 2

    await thread.hover()
    await page.mouse.wheel(0, -900)
    jump = page.get_by_role("button", name="Jump to the latest")
    await expect(jump).to_be_visible()
    top = await thread.evaluate("element => element.scrollTop")
    stage.send(type="turn.snapshot", turn=str(turn), epoch=1, number=2, handle=1, blocks=["<p>line</p>"] * 80)
    await expect(page.locator("[data-answer]").last.locator("p")).to_have_count(80)
    assert await thread.evaluate("element => element.scrollTop") == top
    await jump.click()
    await expect(jump).to_be_hidden()
    assert await thread.evaluate(gap) < 2


async def test_a_citation_opens_beside_the_answer_and_gives_the_focus_back(stage: Stage) -> None:
    context = {"citation": CITATION, "before": "before ", "quote": "the passage", "after": " after", "gone": False}
    body = render_to_string("chat/_partials/citation.html", context)
    await stage.page.route("**/citations/**", lambda route: route.fulfill(body=body, content_type="text/html"))
    page = await stage.open(turn_view(uuid.uuid4(), "Before", ANSWER))
    chip = page.locator("a.citation")
    await chip.focus()
    await page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Source")
    await expect(panel.locator("mark")).to_have_text("the passage")
    await expect(panel.get_by_role("heading", name="Source")).to_be_focused()
    await expect(chip).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(chip).to_be_focused()


async def test_a_citation_that_is_not_stored_yet_is_shown_when_the_answer_ends(stage: Stage) -> None:
    turn = uuid.uuid4()
    context = {"citation": CITATION, "before": "before ", "quote": "the passage", "after": " after", "gone": False}
    body = render_to_string("chat/_partials/citation.html", context)
    asked: list[str] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=404 if len(asked) == 1 else 200, body=body, content_type="text/html")

    await stage.page.route("**/citations/**", answer)
    page = await stage.open(turn_view(turn, "Now", is_live=True, status="in_progress"))
    blocks = [str(render_markdown(ANSWER, (CITATION,)))]
    stage.send(type="turn.snapshot", turn=str(turn), epoch=1, number=1, handle=1, blocks=blocks)
    await page.locator("a.citation").click()
    panel = page.get_by_role("complementary", name="Source")
    await until(lambda: asked)
    await expect(panel.locator("[aria-busy]")).to_be_visible()
    stage.send(type="turn.final", turn=str(turn), status="completed", html=turn_html(turn, "Now", ANSWER))
    await expect(panel.locator("mark")).to_have_text("the passage")
    assert len(asked) == 2


async def test_code_and_answers_can_be_copied(stage: Stage) -> None:
    await stage.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = await stage.open(turn_view(uuid.uuid4(), "Before", ANSWER))
    copied: list[str] = []
    await page.expose_function("copied", lambda text: copied.append(text))
    await page.evaluate(
        "document.addEventListener('copy', () => copied(document.activeElement.value ?? getSelection().toString()))"
    )
    await page.get_by_role("button", name="Copy the code").click()
    await expect(page.locator("[data-announcer]")).to_have_text("Copied")
    await page.get_by_role("button", name="Copy the answer").click()
    await until(lambda: len(copied) >= 2)
    assert copied == ["if x: pass\n", ANSWER]
