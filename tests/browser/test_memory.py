"""Memory on a real site: facts changed, deleted and switched off in their place, and the switch of a conversation."""

import re

import pytest
from playwright.async_api import Page, expect

from chat.models import Assistant, Conversation, Fact, MemoryOff
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.browser.conftest import Watched

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def person(transactional_db: None) -> User:
    factories.embedding_model(name="hashing-512", is_default=True)
    factories.chat_model(is_default=True)
    return factories.user()


@pytest.fixture
def assistant(person: User) -> Assistant:
    return factories.assistant(owner=person, remembers=True, name="Harbour master")


@pytest.fixture
def facts(person: User, assistant: Assistant) -> list[Fact]:
    turn = factories.turn(factories.conversation(person, assistant), text="I sail and eat no fish.", answer="Good.")
    return [factories.fact(person, assistant, text, item=turn.input_item) for text in ("Sails.", "Eats no fish.")]


async def open_page(watched: Watched, person: User, path: str = "/memory/") -> Page:
    await watched.sign_in(person)
    page = await watched.page()
    await page.goto(watched.site.url + path)
    return page


async def stored() -> list[str]:
    return await in_database(lambda: list(Fact.objects.order_by("created_at").values_list("text", flat=True)))


async def test_a_fact_is_changed_in_its_place_with_the_keyboard(
    desktop: Watched, person: User, facts: list[Fact]
) -> None:
    page = await open_page(desktop, person)
    texts = page.locator(".fact__text")
    await expect(texts).to_have_text(["Eats no fish.", "Sails."])
    await page.get_by_role("button", name="Edit").first.press("Enter")
    box = page.get_by_role("textbox", name="What should be remembered")
    await expect(box).to_be_focused()
    await expect(box).to_have_value("Eats no fish.")
    await box.press("Escape")
    await expect(box).to_have_count(0)
    await expect(page.get_by_role("button", name="Edit").first).to_be_focused()
    await page.keyboard.press("Enter")
    await box.fill("Eats fish on Fridays.")
    await box.press("Enter")
    await expect(texts).to_have_text(["Eats fish on Fridays.", "Sails."])
    await expect(page.get_by_text("In your words")).to_have_count(1)
    await expect(page.get_by_role("button", name="Edit").first).to_be_focused()
    assert await stored() == ["Sails.", "Eats fish on Fridays."]
    await page.reload()
    await expect(texts).to_have_text(["Eats fish on Fridays.", "Sails."])


async def test_who_saves_later_in_another_tab_is_told_first(desktop: Watched, person: User, facts: list[Fact]) -> None:
    desktop.expected.append("409")
    page, other = await open_page(desktop, person), await open_page(desktop, person)
    for tab in (page, other):
        await tab.get_by_role("button", name="Edit").first.click()
    await page.get_by_role("textbox", name="What should be remembered").fill("Eats cod.")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".fact__text").first).to_have_text("Eats cod.")
    box = other.get_by_role("textbox", name="What should be remembered")
    await box.fill("Eats crab.")
    await other.get_by_role("button", name="Save").click()
    await expect(other.get_by_role("alert").filter(has_text="to “Eats cod.”")).to_be_visible()
    await expect(box).to_have_value("Eats crab.")
    assert await stored() == ["Sails.", "Eats cod."]
    await other.get_by_role("button", name="Save").click()
    await expect(other.locator(".fact__text").first).to_have_text("Eats crab.")
    assert await stored() == ["Sails.", "Eats crab."]


async def test_one_fact_is_deleted_then_all(phone: Watched, person: User, facts: list[Fact]) -> None:
    page = await open_page(phone, person)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.get_by_role("button", name="Delete", exact=True).first.click()
    await expect(page.locator(".fact__text")).to_have_text(["Sails."])
    await expect(page.get_by_role("button", name="Delete", exact=True)).to_be_focused()
    assert await stored() == ["Sails."]
    await page.get_by_role("button", name="Delete all").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(page.locator(".fact__text")).to_have_count(1)
    await page.get_by_role("button", name="Delete all").click()
    await dialog.get_by_role("button", name="Delete all").click()
    await expect(page.get_by_text("Nothing yet.")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete all")).to_have_count(0)
    assert await stored() == []


async def test_memory_is_switched_off_and_what_is_there_can_go(
    desktop: Watched, person: User, facts: list[Fact]
) -> None:
    page = await open_page(desktop, person)
    switch = page.get_by_role("switch", name="Remember things about me")
    await expect(switch).to_be_checked()
    await switch.focus()
    await switch.press("Space")
    await expect(switch).not_to_be_checked()
    await expect(switch).to_be_focused()
    await expect(page.get_by_text("It stays here until you delete it.")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete all")).to_be_visible()
    assert await in_database(MemoryOff.objects.filter(user=person).count) == 1
    await switch.click()
    await expect(switch).to_be_checked()
    assert await in_database(MemoryOff.objects.count) == 0


async def test_older_facts_come_on_demand(desktop: Watched, person: User, assistant: Assistant) -> None:
    def many() -> None:
        for number in range(30):
            factories.fact(person, assistant, f"Fact {number}.")

    await in_database(many)
    page = await open_page(desktop, person)
    await expect(page.locator(".fact__text")).to_have_count(20)
    await page.get_by_role("link", name="Older facts").click()
    await expect(page.locator(".fact__text")).to_have_text([f"Fact {number}." for number in reversed(range(30))])
    await page.get_by_role("searchbox").fill("fact 7")
    await page.keyboard.press("Enter")
    await expect(page.locator(".fact__text")).to_have_text(["Fact 27.", "Fact 17.", "Fact 7."])


async def test_a_fact_leads_to_its_message(desktop: Watched, person: User, assistant: Assistant) -> None:
    def long_talk() -> None:
        talk, turn = factories.conversation(person, assistant), None
        for number in range(30):
            turn = factories.turn(talk, text=f"Question {number}?", answer="Yes. " * 40, parent=turn)
            if number == 2:
                factories.fact(person, assistant, item=turn.input_item)

    await in_database(long_talk)
    page = await open_page(desktop, person)
    await page.get_by_role("link", name="Question 2?").click()
    await expect(page.get_by_text("Question 2?", exact=True)).to_be_in_viewport()
    await expect(page.get_by_text("Question 29?", exact=True)).not_to_be_in_viewport()


async def test_a_conversation_is_kept_out_of_memory_in_every_tab(
    desktop: Watched, person: User, facts: list[Fact]
) -> None:
    talk = await in_database(Conversation.objects.get)
    page = await open_page(desktop, person, talk.get_absolute_url())
    other = await open_page(desktop, person, talk.get_absolute_url())
    await page.get_by_role("button", name="Remembers").click()
    switch = page.get_by_role("switch", name="Use memory in this conversation")
    await expect(switch).to_be_checked()
    await switch.click()
    for tab in (page, other):
        await expect(tab.get_by_role("button", name="Memory off")).to_be_visible()
    assert not await in_database(Conversation.objects.filter(uses_memory=True).exists)
    await page.keyboard.press("Escape")
    await expect(switch).to_be_hidden()
    await page.reload()
    await expect(page.get_by_role("button", name="Memory off")).to_be_visible()


async def test_the_choice_can_come_before_the_first_message(phone: Watched, person: User, assistant: Assistant) -> None:
    plain = await in_database(lambda: factories.assistant(owner=person, name="Plain"))
    page = await open_page(phone, person, f"/?assistant={plain.pk}")
    await expect(page.locator("[data-sign]")).to_be_hidden()
    await page.get_by_text("Remembers you").click()
    await page.get_by_role("button", name="Remembers").click()
    await page.get_by_role("switch", name="Use memory in this conversation").click()
    await page.keyboard.press("Escape")
    await page.locator("parley-composer textarea").fill("Hello?")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("parley-turn")).to_have_count(1)
    await expect(page).to_have_url(re.compile("/c/"))
    await expect(page.get_by_role("button", name="Memory off")).to_be_visible()
    assert not (await in_database(Conversation.objects.get)).uses_memory


async def test_a_file_may_come_first_and_the_choice_is_kept(
    desktop: Watched, person: User, assistant: Assistant
) -> None:
    page = await open_page(desktop, person, "/")
    await page.get_by_role("button", name="Remembers").click()
    await page.get_by_role("switch", name="Use memory in this conversation").click()
    note = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"High water is at six."}
    await page.locator("parley-composer [data-pick]").set_input_files(note)
    await expect(page).to_have_url(re.compile("/c/"))
    await page.locator("parley-composer textarea").fill("When?")
    await page.keyboard.press("Enter")
    await expect(page.locator("parley-turn")).to_have_count(1)
    assert not (await in_database(Conversation.objects.get)).uses_memory
