"""A vector store shared on a real site: one shares it, another finds it, works in it, and loses it.

One test: the site's process keeps the numbers of content types, and emptying the database after a test makes new ones.
"""

import pytest
from playwright.async_api import Page, expect

from core.bridge import in_database
from core.models import User
from retrieval.models import VectorStore
from tests import factories
from tests.browser.conftest import Watched

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other(transactional_db: None) -> User:
    return factories.user("otto@example.org")


@pytest.fixture
def store(person: User) -> VectorStore:
    made = factories.store(owner=person, name="Harbour papers", description="Tides and pilots of Korsund")
    for name in ("tides.txt", "pilots.txt"):
        factories.document(made, name=name, state="ready")
    return made


async def opened(watched: Watched, user: User, path: str) -> Page:
    await watched.sign_in(user)
    page = await watched.page()
    await page.goto(watched.site.url + path)
    return page


async def test_one_shares_and_the_other_finds_it_and_loses_it(
    desktop: Watched, phone: Watched, person: User, other: User, store: VectorStore
) -> None:
    theirs = await opened(phone, other, "/library/")
    await expect(theirs.get_by_text("Begin with a vector store")).to_be_visible()

    mine = await opened(desktop, person, store.get_absolute_url())
    await mine.get_by_role("link", name="Settings").click()
    await mine.get_by_label("E-mail").first.fill("Otto@Example.org")
    await mine.get_by_role("button", name="Share", exact=True).click()
    await expect(mine.get_by_text("Shared with otto@example.org.")).to_be_visible()
    await expect(mine.locator("[data-share='person']")).to_contain_text("otto@example.org")

    await theirs.reload()
    await theirs.get_by_role("link", name="Harbour papers").click()
    await expect(theirs.get_by_role("link", name="tides.txt")).to_be_visible()
    await expect(theirs.get_by_role("link", name="Settings")).to_have_count(0)
    await theirs.get_by_role("searchbox").fill("pilots")
    await theirs.get_by_role("searchbox").press("Enter")
    await expect(theirs.get_by_role("link", name="tides.txt")).to_have_count(0)
    await expect(theirs.get_by_role("link", name="pilots.txt")).to_be_visible()

    # a page that asks for what it may not see any more
    phone.expected.append("404 (Not Found)")
    await mine.get_by_role("button", name="Take access away from otto@example.org").click()
    await expect(mine.get_by_text("Access taken away.")).to_be_visible()
    await expect(theirs.get_by_text("or you may not see it any more")).to_be_visible()
    await theirs.goto(phone.site.url + "/library/")
    await expect(theirs.get_by_text("Begin with a vector store")).to_be_visible()

    await mine.locator("#share-subject").select_option("everyone")
    await expect(mine.locator("#share-email")).to_be_hidden()
    await mine.get_by_role("button", name="Share", exact=True).click()
    await expect(mine.locator("[data-share='everyone']")).to_be_visible()
    await theirs.reload()
    await theirs.get_by_role("link", name="Harbour papers").click()

    await mine.get_by_label("To delete it, write its name").fill("Harbour papers")
    await mine.get_by_role("button", name="Delete the vector store").click()
    await expect(mine.get_by_text("“Harbour papers” is deleted.")).to_be_visible()
    await expect(mine.get_by_text("Begin with a vector store")).to_be_visible()
    await expect(theirs.get_by_text("or you may not see it any more")).to_be_visible()
    assert not await in_database(lambda: VectorStore.objects.visible_to(person).exists())
