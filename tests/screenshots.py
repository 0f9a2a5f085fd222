"""Takes the pictures in `docs/screenshots`: `make screenshots`.

A whole site on servers of its own, with a scripted model server and the files in `tests/files`. What differs from one
run to the next (how long an answer took) is set to one value, so that the pictures change only when the pages do.
"""

import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from chat.models import Assistant, AssistantVersion, Fact, Item, Turn
from core.bridge import in_database
from core.models import User
from retrieval.models import VectorStore
from tests import factories
from tests.browser.conftest import ARGUMENTS, chromium
from tests.ingesting import put_file
from tests.responses_server import ResponsesServer
from tests.site import Site, running_site
from tests.upstream.answers import given_passages, input_items
from tests.upstream.script import Body, Script

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
MAX_BYTES = 200_000
COLOURS = 256
DESKTOP = {"width": 1440, "height": 900}
WIDE = {"width": 1440, "height": 640}
PHONE = {"width": 390, "height": 844}
EARLIER = ("When do spring tides come?", "Berths at the north pier", "Spare wicks", "Who keeps the horn?")
QUESTION = (
    "We arrive at night with a boat of 16 metres. Do we need a pilot, how far does the beam of the lighthouse reach, "
    "and how high are the tides?"
)
ANSWER = """**Yes, take a pilot.** Boats longer than 14 metres need one [{rules}]. Before you come in:

1. Call on channel 13, in English [{pilots}].
2. Give your length and draught.

**Steer by the light.** The lamp of Korsund lighthouse is lit at sunset, and its beam reaches eighteen nautical miles
[{light}].

| Tide | Rises |
|------|-------|
| Spring tide | 2.4 m at the north pier |
| Neap tide | 1.1 m |

Spring tides rise more than a metre higher than neap tides [{tides}]."""
CITED = {
    "rules": "longer than 14 metres",
    "pilots": "channel 13",
    "light": "eighteen nautical miles",
    "tides": "Spring tides rise",
}


def _answer(body: Body) -> Script:
    """The answer with the numbers that the passages of this request have; a refusal if one of them did not come."""
    passages = given_passages(input_items(body))
    numbers = {name: [given.number for given in passages if words in given.text] for name, words in CITED.items()}
    missing = [name for name, found in numbers.items() if not found]
    if missing:
        return Script(status=400, body={"error": {"message": f"these passages did not come: {missing}"}})
    return Script(text=ANSWER.format(**{name: found[0] for name, found in numbers.items()}))


REMEMBERED = (
    ("Has a boat of 16 metres.", False),
    ("Wants distances in nautical miles, heights in metres.", False),
    ("Arrives at night.", True),
)
MOORED = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is signed in, and what there is to see."""

    person: User
    store: VectorStore
    draft: AssistantVersion
    assistant: Assistant


def _scene(upstream: ResponsesServer) -> Scene:
    person = User.objects.create_superuser("mira@harbour.example")
    endpoint = factories.responses_endpoint(upstream.base_url, name="Model server")
    factories.chat_model(endpoint=endpoint, name="scripted", is_default=True)
    embedder = factories.embedding_model(endpoint=endpoint, name="scripted-embedding", is_default=True)
    store = factories.store(
        owner=person, model=embedder, name="Harbour handbook", description="What everybody on duty has to know."
    )
    for name in ("harbour.docx", "lighthouse.pdf", "pilots.html", "tides.md"):
        put_file(store, name)
    assistant = factories.assistant(
        owner=person, stores=[store], name="Harbour master", remembers=True, strategy=AssistantVersion.Strategy.HYBRID
    )
    for title in EARLIER:
        factories.turn(factories.conversation(person, assistant, title=title), answer="It is in the handbook.")
    return Scene(person, store, _draft(assistant, store), assistant)


def _draft(assistant: Assistant, store: VectorStore) -> AssistantVersion:
    draft = AssistantVersion.objects.create(
        assistant=assistant,
        number=2,
        instructions="You answer for the harbour office of Korsund.\nBe brief, and say where it is written.",
        starters=["Do I need a pilot?", "What does a berth cost?"],
        parameters={"temperature": 0.2},
    )
    draft.stores.set([store])
    return draft


def _remember(scene: Scene) -> None:
    """What the assistant would have learnt, some of it on another day."""
    Fact.objects.all().delete()
    said = Turn.objects.select_related("input_item", "conversation").order_by("created_at")
    asked = next(turn for turn in said if turn.input_item and turn.input_item.text == QUESTION)
    for days, (text, here) in enumerate(REMEMBERED):
        fact = factories.fact(scene.person, scene.assistant, text, item=asked.input_item)
        fact.conversation = asked.conversation if here else None
        fact.edited_at = fact.created_at if days == 1 else None
        fact.save()
        Fact.objects.filter(pk=fact.pk).update(created_at=MOORED - timedelta(days=days))


def _settle() -> None:
    """Answers take as long as the machine is slow; here each took the same."""
    for turn in Turn.objects.exclude(started_at=None):
        turn.finished_at = (turn.started_at or turn.created_at) + timedelta(seconds=2.4)
        turn.save(update_fields=["finished_at"])


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        await browser.close()


@dataclass(frozen=True, slots=True)
class Studio:
    """Opens pages as the scene's person and keeps what they look like."""

    browser: Browser
    site: Site
    cookie: Any

    async def open(self, path: str, *, size: dict[str, int] | None = None, **options: Any) -> Page:
        options = {"locale": "en-GB", "reduced_motion": "reduce", "viewport": size or DESKTOP, **options}
        context = await self.browser.new_context(**options)
        await context.add_cookies([self.cookie])
        page = await context.new_page()
        await page.goto(self.site.url + path)
        return page

    async def keep(self, page: Page, name: str) -> None:
        """Few colours are enough for a page, and make a small file."""
        raw = await page.screenshot(animations="disabled", caret="hide")
        picture = Image.open(io.BytesIO(raw)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        FOLDER.mkdir(exist_ok=True)
        target = FOLDER / f"{name}.png"
        picture.save(target, optimize=True)
        assert target.stat().st_size < MAX_BYTES, f"{name} has {target.stat().st_size} bytes"
        await page.context.close()


@pytest.mark.django_db(transaction=True)
async def test_take_the_pictures(site: Site, browser: Browser, upstream: ResponsesServer) -> None:
    upstream.compute(_answer)
    scene = await in_database(_scene, upstream)
    session = await in_database(factories.session_of, scene.person)
    studio = Studio(browser, site, {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site.url})

    library = await studio.open(scene.store.get_absolute_url())
    await expect(library.locator(".row[data-state=ready]")).to_have_count(4, timeout=60_000)
    await studio.keep(library, "library")
    conversation = await _ask(studio)
    await in_database(_settle)

    desktop = await studio.open(conversation)
    await desktop.locator("a.citation").nth(2).click()
    await expect(desktop.locator("parley-citation-panel mark")).to_be_visible()
    await desktop.mouse.move(0, 0)
    await studio.keep(desktop, "desktop")
    await studio.keep(await studio.open(conversation, color_scheme="dark"), "dark")
    phone = await studio.open(conversation, size=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True)
    await studio.keep(phone, "phone")
    await in_database(_remember, scene)
    await studio.keep(await studio.open("/memory/", size=WIDE), "memory")
    await studio.keep(await studio.open(f"/admin/chat/assistantversion/{scene.draft.pk}/change/"), "admin")


async def _ask(studio: Studio) -> str:
    """Ask as a person does, and return the address of the conversation."""
    page = await studio.open("/")
    await page.get_by_role("textbox").fill(QUESTION)
    await page.keyboard.press("Enter")
    await expect(page.locator("parley-turn:not([data-live])")).to_have_attribute("data-status", "completed")
    answer = await in_database(Item.objects.get, role=Item.Role.ASSISTANT, conversation__title__startswith="We arrive")
    assert await in_database(answer.citations.count) == len(CITED)
    path = page.url.removeprefix(studio.site.url)
    await page.context.close()
    return path
