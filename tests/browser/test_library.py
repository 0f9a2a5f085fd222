"""The library on a real site: lists that live, filters, many documents at once, the keyboard, a document being read."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.async_api import Page, expect

from core.bridge import in_database
from core.models import User
from retrieval import realtime, services
from retrieval.models import Document, VectorStore
from tests import factories
from tests.browser.conftest import Watched
from tests.ingesting import put

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store(person: User) -> VectorStore:
    return factories.store(owner=person, name="Harbour papers")


async def open_page(watched: Watched, person: User, path: str) -> Page:
    await watched.sign_in(person)
    page = await watched.page()
    await page.goto(watched.site.url + path)
    return page


def fill(store: VectorStore, number: int) -> None:
    for index in range(number):
        made = factories.document(store, name=f"paper {index:02}.txt", state=("ready", "failed")[index % 2])
        Document.objects.filter(pk=made.pk).update(created_at=timezone.now() - timedelta(minutes=index))


async def test_filters_and_order_are_in_the_address_and_the_way_back_leads_through_them(
    desktop: Watched, person: User, store: VectorStore
) -> None:
    await in_database(fill, store, 60)
    page = await open_page(desktop, person, store.get_absolute_url())
    shown = page.locator("tbody[data-rows] tr")
    await expect(shown).to_have_count(50)
    await page.locator(".tabs__tab", has_text="Failed").press("Enter")
    await expect(shown).to_have_count(30)
    await expect(page).to_have_url(re.compile(r"\?state=failed$"))
    await expect(page.locator(".tabs__tab", has_text="Failed")).to_be_focused()
    await page.get_by_role("columnheader", name="Name").get_by_role("link").press("Enter")
    await expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    await expect(page.locator(".row__name a").first).to_have_text("paper 01.txt")
    await expect(page.get_by_role("columnheader", name="Name").get_by_role("link")).to_be_focused()
    await page.get_by_role("searchbox").fill("paper 1")
    await page.keyboard.press("Enter")
    await expect(shown).to_have_count(10)
    await expect(page).to_have_url(re.compile(r"q=paper\+1"))
    await expect(page.locator("[data-announcer]")).to_have_text("10 documents")
    await page.go_back()
    await expect(shown).to_have_count(30)
    await page.go_back()
    await page.go_back()
    await expect(shown).to_have_count(50)
    await page.reload()
    await page.get_by_role("link", name="Next").press("Enter")
    await expect(shown).to_have_count(10)


async def test_many_are_deleted_at_once_and_the_next_page_moves_up(
    desktop: Watched, person: User, store: VectorStore
) -> None:
    await in_database(fill, store, 60)
    page = await open_page(desktop, person, store.get_absolute_url())
    await page.get_by_role("checkbox", name="Select all on this page").check()
    await expect(page.locator("[data-bulk] [data-number]")).to_have_text("50")
    await page.locator("tbody[data-rows] input").nth(3).uncheck()
    await page.locator("[data-bulk]").get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("49 documents")
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.locator("[data-outcome]")).to_contain_text("49 being deleted.")
    await expect(page.get_by_role("link", name="paper 03.txt")).to_be_visible()
    await expect(page.locator(".tabs__tab", has_text="All")).to_contain_text("11")
    assert await in_database(Document.objects.live().count) == 11


async def test_all_of_a_list_goes_and_what_could_not_is_named(
    desktop: Watched, person: User, store: VectorStore
) -> None:
    await in_database(fill, store, 60)
    page = await open_page(desktop, person, store.get_absolute_url())
    first = page.get_by_role("checkbox", name="Select paper 00.txt")
    await first.check()
    await page.get_by_role("checkbox", name="Select paper 05.txt").click(modifiers=["Shift"])
    await expect(page.locator("[data-bulk] [data-number]")).to_have_text("6")
    await page.locator("[data-bulk]").get_by_role("button", name="Try again").click()
    await expect(page.locator("[data-outcome]")).to_contain_text("3 tried again.")
    await expect(page.locator("[data-refused] li")).to_have_count(3)
    await expect(page.locator("[data-refused]")).to_contain_text("paper 00.txt")
    await first.check()
    await page.locator("[data-everything]").check()
    await expect(page.locator("[data-bulk] [data-number]")).to_have_text("60")
    await page.locator("[data-bulk]").get_by_role("button", name="Attributes").click()
    await page.get_by_role("dialog").get_by_role("textbox").fill("year: 1912")
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(page.locator("[data-outcome]")).to_contain_text("60 changed.")
    assert await in_database(Document.objects.filter(attributes__year=1912).count) == 60


async def test_a_document_is_renamed_with_the_keyboard_alone(
    desktop: Watched, person: User, store: VectorStore
) -> None:
    await in_database(fill, store, 3)
    page = await open_page(desktop, person, store.get_absolute_url())
    more = page.get_by_role("button", name="Actions for paper 01.txt")
    await more.press("Enter")
    await page.get_by_role("menuitem", name="Rename").press("Enter")
    await expect(page.get_by_role("textbox", name="Name")).to_be_focused()
    await page.keyboard.type("tides")  # what says the kind was not selected
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="tides.txt")).to_be_visible()
    await expect(page.get_by_role("button", name="Actions for tides.txt")).to_be_focused()


async def test_what_is_read_now_is_seen_to_become_ready(desktop: Watched, person: User, store: VectorStore) -> None:
    page = await open_page(desktop, person, store.get_absolute_url())
    await expect(page.get_by_text("No documents yet")).to_be_visible()
    document = await in_database(put, store, b"High water is at six.", "tides.txt")
    await expect(page.locator("tbody[data-rows] tr")).to_have_attribute("data-state", "ready")
    await expect(page.get_by_text("No documents yet")).to_be_hidden()
    await expect(page.locator(".tabs__tab", has_text="Ready")).to_contain_text("1")
    await in_database(services.delete_document, user=person, document_id=document.pk)
    await expect(page.get_by_text("No documents yet")).to_be_visible()


async def test_the_page_of_a_document_follows_it(desktop: Watched, person: User, store: VectorStore) -> None:
    document = await in_database(factories.document, store, name="tides.txt", text="High water is at six.")
    page = await open_page(desktop, person, document.get_absolute_url())
    desktop.expected.append("404 (Not Found)")
    await expect(page.get_by_role("heading", name="It waits its turn")).to_be_visible()

    def fail() -> None:
        reason = {"error_code": "x", "error_message": "It is damaged.", "error_retryable": True}
        Document.objects.filter(pk=document.pk).update(state="failed", **reason)
        realtime.document_changed(document.pk, store.pk)

    await in_database(fail)
    await expect(page.get_by_text("It is damaged.")).to_be_visible()
    await page.locator("[data-live]").get_by_role("button", name="Try again").click()
    await page.goto(desktop.site.url + document.get_absolute_url())
    await expect(page.locator(".sheet__text")).to_have_text("High water is at six.")
    await page.get_by_role("button", name="Actions").click()
    await page.get_by_role("menuitem", name="Rename").click()
    await page.get_by_role("textbox", name="Name").fill("water.txt")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("water.txt")
    await in_database(services.delete_document, user=person, document_id=document.pk)
    await expect(page.get_by_role("heading", name="This document is gone")).to_be_visible()


@pytest.mark.parametrize("path", ["/library/", "{store}", "{store}?state=failed", "{document}"])
async def test_a_phone_shows_everything_without_scrolling_sideways(
    phone: Watched, person: User, store: VectorStore, path: str
) -> None:
    name = "A very long name of a paper without any sense " * 4 + "تقرير.txt"
    document = await in_database(factories.document, store, name=name, state="failed", error_message="Damaged. " * 20)
    await in_database(fill, store, 5)
    page = await open_page(
        phone, person, path.format(store=store.get_absolute_url(), document=document.get_absolute_url())
    )
    await expect(page.locator("main")).to_be_visible()
    beyond = "Math.max(document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth)"
    assert await page.evaluate(f"main = document.querySelector('main'), {beyond}") <= 0
    await page.set_viewport_size({"width": 320, "height": 640})
    assert await page.evaluate(beyond) <= 0
