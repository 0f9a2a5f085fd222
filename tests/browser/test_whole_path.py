"""The main job, as a person does it: drop a file, ask, read the streamed answer, open the passage it cites."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from chat.models import Assistant, Item
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.browser.conftest import Watched
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

FILES = Path(__file__).parent.parent / "files"


@pytest.fixture
def person(transactional_db: None) -> User:
    user = factories.user(password="correct horse battery")
    factories.embedding_model(name="hashing-512", is_default=True)
    return user


@pytest.fixture
def scripted(person: User, upstream: ResponsesServer) -> Assistant:
    model = factories.chat_model(
        endpoint=factories.responses_endpoint(upstream.base_url), name="scripted", is_default=True
    )
    return factories.assistant(owner=person, model=model, name="Harbour master")


async def _drop(page: Page, *paths: Path) -> None:
    await page.locator("input[type=file]").first.set_input_files([str(path) for path in paths])


async def test_sign_in_drop_ask_stream_cite_reload(desktop: Watched, person: User, scripted: Assistant) -> None:
    page = await desktop.page()
    await page.goto(desktop.site.url)
    await page.get_by_label("E-mail").fill(person.email)
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("Harbour master").first).to_be_visible()

    await _drop(page, FILES / "lighthouse.pdf", FILES / "tides.md")
    await expect(page.locator(".document[data-state=ready]")).to_have_count(2)
    await page.get_by_role("textbox").fill("How tall is the lighthouse?")
    await page.keyboard.press("Enter")
    answer = page.locator("parley-turn [data-answer]")
    chip = answer.locator("a.citation").first
    await expect(page.locator("parley-turn[data-status=completed]")).to_have_count(1)
    await expect(chip).to_be_visible()
    assert "/c/" in page.url
    shown = await answer.inner_text()

    await chip.click()
    panel = page.locator("parley-citation-panel")
    await expect(panel.locator("mark")).to_be_visible()
    await expect(panel).to_contain_text("lighthouse.pdf")
    await expect(panel).to_contain_text("1")

    await page.reload()
    await expect(page.locator("parley-turn [data-answer]")).to_have_text(shown, use_inner_text=True)
    stored = await in_database(Item.objects.get, role="assistant")
    assert await in_database(stored.citations.count) >= 1


async def test_a_reload_in_the_middle_loses_nothing(
    desktop: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    words = [f"word{number}" for number in range(150)]
    upstream.script({"text": " ".join(words), "delay": 0.02, "hold": "reload", "held_after": 60})
    await desktop.sign_in(person)
    page = await desktop.page()
    await page.goto(desktop.site.url)
    await page.get_by_role("textbox").fill("Go on.")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-answer]")).to_contain_text("word5 ")
    await page.reload()
    await expect(page.locator("[data-answer]")).to_contain_text("word5 ")
    upstream.let_go("reload")
    await expect(page.locator("parley-turn[data-status=completed]")).to_be_visible()
    assert (await page.locator("[data-answer]").inner_text()).split() == words


async def test_stop_keeps_what_was_said(
    desktop: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "word " * 20_000, "delay": 0.03})
    await desktop.sign_in(person)
    page = await desktop.page()
    await page.goto(desktop.site.url)
    await page.get_by_role("textbox").fill("Talk.")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-answer]")).to_contain_text("word word")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator("parley-turn[data-status=cancelled]")).to_be_visible()
    stored = await in_database(Item.objects.get, role="assistant")
    assert (await page.locator("[data-answer]").inner_text()).split() == stored.text.split()


async def test_a_bad_file_says_why_and_the_text_is_kept(
    desktop: Watched, person: User, scripted: Assistant, tmp_path: Path
) -> None:
    empty, broken = tmp_path / "empty.txt", tmp_path / "broken.pdf"
    empty.write_bytes(b"")
    broken.write_bytes(b"%PDF-1.7\nnot really")
    await desktop.sign_in(person)
    desktop.expected.append("422 (Unprocessable")
    page = await desktop.page()
    await page.goto(desktop.site.url)
    await page.get_by_role("textbox").fill("What do they say?")
    await _drop(page, empty, broken)
    await expect(page.get_by_text("This file is empty.")).to_be_visible()
    await expect(page.locator(".document[data-state=failed]")).to_be_visible()
    assert await page.get_by_role("textbox").input_value() == "What do they say?"


async def test_the_phone_shows_the_same(phone: Watched, person: User, scripted: Assistant) -> None:
    await phone.sign_in(person)
    page = await phone.page()
    await page.goto(phone.site.url)
    await page.get_by_role("textbox").fill("Hello?")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("parley-turn[data-status=completed]")).to_be_visible()
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
