"""The dialog with what was sent for an answer: opened from its foot, read, and closed by the keyboard."""

import pytest
from playwright.async_api import expect

from chat.models import Assistant
from core.models import User
from tests import factories
from tests.browser.conftest import Watched
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def assistant(person: User, upstream: ResponsesServer) -> Assistant:
    endpoint = factories.responses_endpoint(upstream.base_url)
    model = factories.chat_model(endpoint=endpoint, name="scripted", is_default=True)
    return factories.assistant(owner=person, model=model, instructions="Be brief and kind.")


async def test_what_was_sent_is_opened_read_and_closed_with_the_keyboard(
    phone: Watched, person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    await phone.sign_in(person)
    page = await phone.page()
    await page.goto(phone.site.url)
    for number in (1, 2):
        upstream.script({"text": f"Answer {number}."})
        await page.get_by_role("textbox").fill(f"Question {number}, which is a little longer?")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("parley-turn[data-status=completed]")).to_have_count(number)
    opener = page.get_by_role("link", name="What was sent").last
    await opener.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="What was sent")
    rows = dialog.get_by_role("row")
    await expect(rows.filter(has_text="Instructions")).to_be_visible()
    await expect(rows.filter(has_text="Earlier turns")).to_be_visible()
    await expect(rows.filter(has_text="Left free")).to_be_visible()
    widths = await dialog.locator("rect").evaluate_all("bars => bars.map((bar) => bar.getBoundingClientRect().width)")
    whole = await dialog.locator(".sent__bar").evaluate("bar => bar.getBoundingClientRect().width")
    assert sum(widths) == pytest.approx(whole, abs=2)
    await dialog.get_by_text("1 earlier turn", exact=True).click()
    await expect(dialog.get_by_text("Question 1, which is")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await dialog.locator("[data-body]").evaluate("body => body.scrollWidth <= body.clientWidth")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(opener).to_be_focused()
    assert not phone.unexpected()
