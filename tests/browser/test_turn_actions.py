"""Going on, changing and taking back, on a real site: what one tab does, a second tab and a reload show too."""

import re

import pytest
from playwright.async_api import Page, expect

from chat.models import Assistant, Item, Turn
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.browser.conftest import Watched
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def scripted(person: User, upstream: ResponsesServer) -> Assistant:
    endpoint = factories.responses_endpoint(upstream.base_url)
    model = factories.chat_model(endpoint=endpoint, name="scripted", is_default=True)
    return factories.assistant(owner=person, model=model, retrieval="off")


async def ask(page: Page, text: str) -> None:
    box = page.locator("parley-composer textarea")
    await box.fill(text)
    await box.press("Enter")


async def begin(watched: Watched, person: User, text: str, status: str) -> tuple[Page, Page]:
    """A tab that asked and whose turn has this status, and a second one on the same conversation."""
    await watched.sign_in(person)
    page = await watched.page()
    await page.goto(watched.site.url)
    await ask(page, text)
    await expect(page.locator(f"parley-turn[data-status={status}]")).to_have_count(1)
    other = await watched.page()
    await other.goto(page.url)
    await expect(other.locator("parley-turn")).to_have_count(1)
    return page, other


async def shown(page: Page) -> list[str]:
    """Messages and answers, in the order of the page."""
    return [text.strip() for text in await page.locator("[data-question], [data-answer]").all_inner_texts()]


async def the_same_everywhere(expected: list[str], *pages: Page) -> None:
    for page in pages:
        assert await shown(page) == expected
        await page.reload()
        await expect(page.locator("parley-turn")).to_have_count(len(expected) // 2)
        assert await shown(page) == expected


async def test_a_cut_answer_goes_on_as_the_same_answer(
    desktop: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script(
        {"text": "The light", "incomplete": "max_output_tokens"},
        {"text": "house is white.\n\nAnd tall.", "delay": 0.05},
    )
    page, other = await begin(desktop, person, "What is it like?", "incomplete")
    await expect(page.get_by_text("The answer was cut short by the model's limit.")).to_be_visible()
    await page.get_by_role("button", name="Continue").click()
    for tab in (page, other):
        await expect(tab.locator("parley-turn[data-status=completed] [data-answer]")).to_contain_text("And tall.")
        await expect(tab.locator("parley-turn")).to_have_count(1)
    await the_same_everywhere(["What is it like?", "The lighthouse is white.\n\nAnd tall."], page, other)
    await expect(page.locator(".branches")).to_have_count(0)
    assert await in_database(Item.objects.filter(role="user").count) == 1


async def test_an_edited_message_stands_beside_the_old_one(
    desktop: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "It is white."}, {"text": "It is 42 metres tall."})
    page, other = await begin(desktop, person, "What colour is it?", "completed")
    await page.locator(".question").hover()
    await page.get_by_role("button", name="Edit the message").click()
    await page.locator("parley-editor textarea").fill("How tall is it?")
    await page.keyboard.press("Enter")
    for tab in (page, other):
        await expect(tab.locator("parley-turn[data-status=completed] [data-answer]")).to_have_text(
            "It is 42 metres tall."
        )
        await expect(tab.locator(".question .branches")).to_contain_text("2/2")
    await the_same_everywhere(["How tall is it?", "It is 42 metres tall."], page, other)
    await page.get_by_role("link", name="Previous version").click()
    await expect(page.locator("[data-question]")).to_have_text("What colour is it?")
    await expect(page.locator("[data-answer]")).to_have_text("It is white.")
    await expect(page.locator(".question .branches")).to_contain_text("1/2")


async def test_a_waiting_message_is_taken_back(
    desktop: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "word " * 20_000, "delay": 0.03}, {"text": "To the third."})
    page, other = await begin(desktop, person, "Talk.", "in_progress")
    await ask(page, "Second?")
    await ask(page, "Third?")
    for tab in (page, other):
        await expect(tab.locator("parley-turn[data-status=queued]")).to_have_count(2)
    second = page.locator("parley-turn[data-status=queued]").first
    await second.get_by_role("button", name="Withdraw").click()
    box = page.locator("parley-composer textarea")
    await expect(box).to_have_value("Second?")
    for tab in (page, other):
        await expect(tab.locator("parley-turn")).to_have_count(2)
        await expect(tab.get_by_text("Second?", exact=True)).to_have_count(0)
    await expect(other.locator("parley-composer textarea")).to_have_value("")
    await page.get_by_role("button", name="Stop the answer").click()
    for tab in (page, other):
        await expect(tab.locator("parley-turn[data-status=completed] [data-answer]")).to_have_text("To the third.")
    said = (await shown(page))[1]
    assert re.fullmatch(r"(word ?)+", said)
    await the_same_everywhere(["Talk.", said, "Third?", "To the third."], page, other)
    assert await in_database(Turn.objects.filter(withdrawn_at__isnull=False).count) == 1


async def test_another_answer_that_waits_gives_way_to_the_one_before(
    desktop: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "First answer."}, {"text": "word " * 20_000, "delay": 0.03})
    page, other = await begin(desktop, person, "One?", "completed")
    await ask(page, "Two?")
    await expect(page.locator("parley-turn[data-status=in_progress]")).to_have_count(1)
    await page.locator("parley-turn").first.get_by_role("button", name="Answer again").click()
    for tab in (page, other):
        await expect(tab.locator("parley-turn")).to_have_count(1)
        await expect(tab.locator("parley-turn[data-status=queued]")).to_have_count(1)
    await page.get_by_role("button", name="Withdraw").click()
    for tab in (page, other):
        await expect(tab.locator("parley-turn")).to_have_count(2)
        await expect(tab.locator("[data-answer]").first).to_have_text("First answer.")
    await expect(page.locator("parley-composer textarea")).to_have_value("")
    await page.get_by_role("button", name="Stop the answer").click()
    await expect(page.locator("parley-turn[data-status=cancelled]")).to_have_count(1)


async def test_on_a_phone_everything_can_be_reached(
    phone: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "The light", "fault": "drop", "after": 2}, {"text": "Whole."})
    page, _ = await begin(phone, person, "What is a rather long question about lighthouses like?", "failed")
    await expect(page.get_by_role("button", name="Continue")).to_be_visible()
    await page.get_by_role("button", name="Edit the message").click()
    await expect(page.locator("parley-editor textarea")).to_be_focused()
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("parley-turn[data-status=completed]")).to_have_count(1)
    await expect(page.locator(".answer .branches")).to_contain_text("2/2")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
