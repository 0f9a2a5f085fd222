"""Pictures in a real browser: pages of a PDF, the marked passage of a citation, and pictures of messages."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from chat.models import Assistant
from core.bridge import in_database
from core.models import User
from retrieval.models import Document
from tests import factories
from tests.browser.conftest import Watched
from tests.ingesting import put
from tests.pdfs import is_near, opened, picture, plain_pdf
from tests.responses_server import ResponsesServer
from tests.stored import until_stored

pytestmark = pytest.mark.django_db(transaction=True)

PLACE = "element => { const box = element.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; }"
TIDE = "The tide at Korsund turns at six in the morning, all year round."
ALIVE = "image => image.complete && image.naturalWidth > 0"


@pytest.fixture
def scripted(person: User, upstream: ResponsesServer) -> Assistant:
    endpoint = factories.responses_endpoint(upstream.base_url)
    model = factories.chat_model(endpoint=endpoint, name="scripted", is_default=True)
    return factories.assistant(owner=person, model=model, name="Harbour master")


async def drawn(image: Locator) -> None:
    """Wait until a picture is there, whatever it took."""
    await expect(image).to_be_visible()
    page = image.page
    await page.wait_for_function(ALIVE, arg=await image.element_handle(), timeout=60_000)


async def drop(page: Page, content: bytes, name: str, folder: Path) -> None:
    path = folder / name
    path.write_bytes(content)
    await page.locator("input[type=file]").first.set_input_files(str(path))


async def test_pages_are_shown_without_anything_moving(desktop: Watched, person: User) -> None:
    def make() -> Document:
        store = factories.store(owner=person, name="Papers")
        return put(store, plain_pdf(*(f"Page {number} of it." for number in range(1, 13))), "papers.pdf")

    document = await in_database(make)
    await desktop.sign_in(person)
    page = await desktop.page()
    await page.goto(f"{desktop.site.url}{document.get_absolute_url()}")
    await expect(page.get_by_role("link", name="Pages", exact=True)).to_be_visible(timeout=60_000)
    await page.get_by_role("link", name="Pages", exact=True).click()
    pictures = page.locator("parley-page-picture img")
    await expect(pictures).to_have_count(10)
    before = await pictures.nth(3).evaluate(PLACE)
    await drawn(pictures.first)
    await pictures.last.scroll_into_view_if_needed()
    await drawn(pictures.last)
    await page.evaluate("scrollTo(0, 0)")
    await page.locator("main").evaluate("element => element.scrollTo(0, 0)")
    after = await pictures.nth(3).evaluate(PLACE)
    assert after[2:] == before[2:]
    await expect(pictures.first).to_have_attribute("alt", "Page 1")
    assert desktop.unexpected() == []


async def test_a_busy_server_is_asked_again_and_a_broken_page_says_so(desktop: Watched, person: User) -> None:
    def make() -> Document:
        return put(factories.store(owner=person), plain_pdf("One.", "Two."), "papers.pdf")

    document = await in_database(make)
    await desktop.sign_in(person)
    page = await desktop.page()
    # what the server says to pictures that it does not give, and what the browser says of it
    desktop.expected += ["status of 503", "status of 422"]
    asked: list[str] = []

    async def first(route: Any) -> None:
        asked.append(route.request.url)
        if len(asked) <= 2:  # the picture, and the question why
            await route.fulfill(status=503, json={"code": "too_many_drawn", "message": "Busy.", "retryable": True})
        else:
            await route.continue_()

    async def second(route: Any) -> None:
        answer = {"code": "corrupt_file", "message": "This page is damaged.", "retryable": False}
        await route.fulfill(status=422, json=answer)

    await page.route("**/pages/1.webp*", first)
    await page.route("**/pages/2.webp*", second)
    await page.goto(f"{desktop.site.url}{document.get_absolute_url()}")
    await page.get_by_role("link", name="Pages", exact=True).click(timeout=60_000)
    await drawn(page.locator("parley-page-picture img").first)
    await expect(page.get_by_text("This page is damaged.")).to_be_visible()
    assert len(asked) >= 3
    assert desktop.unexpected() == []


async def test_a_citation_shows_its_page_with_the_passage_marked(
    desktop: Watched, person: User, scripted: Assistant, tmp_path: Path
) -> None:
    await desktop.sign_in(person)
    page = await desktop.page()
    await page.goto(desktop.site.url)
    await drop(page, plain_pdf(f"Harbour rules\n\n{TIDE}"), "rules.pdf", tmp_path)
    await expect(page.locator(".document[data-state=ready]")).to_have_count(1, timeout=60_000)
    await page.get_by_role("textbox").fill("When does the tide turn at Korsund?")
    await page.keyboard.press("Enter")
    await expect(page.locator("parley-turn[data-status=completed]")).to_have_count(1, timeout=60_000)
    await page.locator("parley-turn [data-answer] a.citation").first.click()
    panel = page.locator("parley-citation-panel")
    shown = panel.locator("parley-page-picture")
    await drawn(shown.locator("img"))
    marks = shown.locator("rect")
    await expect(marks.first).to_be_attached()
    # the marks lie within the picture, and on its upper part, where the words are
    frame = await shown.locator("img").evaluate(PLACE)
    for place in [await mark.evaluate(PLACE) for mark in await marks.all()]:
        assert place[0] >= frame[0]
        assert place[0] + place[2] <= frame[0] + frame[2] + 1
        assert place[1] + place[3] <= frame[1] + frame[3] / 3
    await expect(panel.locator("mark")).to_have_count(1)
    assert desktop.unexpected() == []


async def test_who_may_not_read_the_store_sees_the_passage_and_no_page(
    desktop: Watched, person: User, upstream: ResponsesServer
) -> None:
    def make() -> None:
        store = factories.store(owner=factories.user())
        put(store, plain_pdf(TIDE), "rules.pdf")
        model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), is_default=True)
        assistant = factories.assistant(owner=store.owner, model=model, stores=[store], name="Harbour master")
        factories.grant(assistant, person)

    await in_database(make)
    await desktop.sign_in(person)
    page = await desktop.page()
    await page.goto(desktop.site.url)

    await until_stored(Document.objects.filter(state="ready").exists)
    await page.get_by_role("textbox").fill("When does the tide turn at Korsund?")
    await page.keyboard.press("Enter")
    await expect(page.locator("parley-turn[data-status=completed]")).to_have_count(1, timeout=60_000)
    await page.locator("parley-turn [data-answer] a.citation").first.click()
    panel = page.locator("parley-citation-panel")
    await expect(panel.locator("mark")).to_contain_text("tide")
    await expect(panel.locator("parley-page-picture")).to_have_count(0)
    assert desktop.unexpected() == []


async def test_a_picture_of_a_message_is_seen_by_model_and_person(
    phone: Watched, person: User, scripted: Assistant, upstream: ResponsesServer, tmp_path: Path
) -> None:
    upstream.script({"text": "It is red."})
    await phone.sign_in(person)
    page = await phone.page()
    await page.goto(phone.site.url)
    await drop(page, picture("JPEG", size=(1200, 800)), "sail.jpg", tmp_path)
    chip = page.locator(".composer .document[data-state=ready]")
    await drawn(chip.locator("img"))
    await expect(chip.get_by_text("The model does not see pictures.")).to_be_hidden()
    await page.get_by_role("textbox").fill("Which colour is the sail?")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("parley-turn[data-status=completed]")).to_have_count(1, timeout=60_000)
    thumbnail = page.locator("parley-turn .question__files img")
    await drawn(thumbnail)
    parts = upstream.requests[0].body["input"][-1]["content"]
    assert [part["type"] for part in parts] == ["input_text", "input_image"]
    await page.reload()
    await drawn(thumbnail)
    # as the browser has it, not as the file was
    source = await thumbnail.get_attribute("src")
    response = await page.request.get(f"{phone.site.url}{source}")
    image = opened(await response.body())
    assert image.format == "WEBP"
    assert is_near(image.convert("RGB").getpixel((9, 9)), (200, 30, 40))
    other = await phone.page()
    await other.goto(page.url)
    await drawn(other.locator("parley-turn .question__files img"))
    assert phone.unexpected() == []


async def test_where_the_model_sees_none_the_composer_says_so(
    desktop: Watched, person: User, upstream: ResponsesServer, tmp_path: Path
) -> None:
    def make() -> None:
        endpoint = factories.responses_endpoint(upstream.base_url, capabilities={"input_image": False})
        model = factories.chat_model(endpoint=endpoint, is_default=True)
        factories.assistant(owner=person, model=model, name="Harbour master")
        sighted = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url))
        factories.assistant(owner=person, model=sighted, name="Look-out")

    await in_database(make)
    await desktop.sign_in(person)
    page = await desktop.page()
    warning = page.get_by_text("The model does not see pictures.")
    for name, blind in (("Look-out", False), ("Harbour master", True)):
        await page.goto(desktop.site.url)
        await page.get_by_text(name).first.click()
        await drop(page, picture(), "sail.png", tmp_path)
        await drawn(page.locator(".composer .document[data-state=ready] img"))
        await expect(warning).to_be_visible(visible=blind)
    await page.get_by_role("textbox").fill("Which colour is the sail?")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("The model did not see the picture: its server takes none.")).to_be_visible(
        timeout=60_000
    )
    assert desktop.unexpected() == []


async def test_a_picture_pasted_into_a_message_goes_with_it(
    desktop: Watched, person: User, scripted: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "It is red."})
    await desktop.sign_in(person)
    page = await desktop.page()
    await page.goto(desktop.site.url)
    text = page.get_by_role("textbox")
    await text.fill("Which colour is the sail?")
    await text.evaluate(
        """(text, bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            text.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        list(picture("PNG", size=(120, 80))),
    )
    chip = page.locator(".composer .document[data-state=ready]")
    await drawn(chip.locator("img"))
    await expect(chip).to_contain_text("Pasted picture ")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("parley-turn[data-status=completed]")).to_have_count(1, timeout=60_000)
    parts = upstream.requests[0].body["input"][-1]["content"]
    assert [part["type"] for part in parts] == ["input_text", "input_image"]
    assert parts[0]["text"] == "Which colour is the sail?"
