"""Moving a store to another embedding model, as its owner sees it: what it takes, then how far it is, by itself."""

from decimal import Decimal

from playwright.async_api import expect

from core.bridge import in_database
from core.models import EndpointModel, User
from retrieval.models import VectorStore
from tests import factories
from tests.browser.conftest import Watched
from tests.ingesting import put
from tests.responses_server import ResponsesServer
from tests.stored import until_stored


def _store(person: User, upstream: ResponsesServer) -> tuple[VectorStore, EndpointModel]:
    endpoint = factories.responses_endpoint(upstream.base_url, name="Model server")
    other = factories.embedding_model(endpoint=endpoint, name="embed-large", input_price=Decimal("0.13"))
    store = factories.store(owner=person, name="Harbour handbook", chunk_tokens=32, chunk_overlap=0)
    put(store, b"\n\n".join(b"Buoy %d lies %d fathoms off the pier." % (n, n) for n in range(300)), "buoys.txt")
    return store, other


async def test_it_is_asked_for_and_watched(desktop: Watched, person: User, upstream: ResponsesServer) -> None:
    await desktop.sign_in(person)
    page = await desktop.page()
    store, other = await in_database(_store, person, upstream)
    await until_stored(lambda: store.documents.filter(state="ready").exists())
    await page.goto(f"{desktop.site.url}/library/{store.pk}/indexing/")
    await page.get_by_label("Another model").select_option(str(other.pk))
    await page.get_by_role("button", name="See what it takes").click()
    await expect(page.get_by_text("Requests at least")).to_be_visible()
    upstream.script({"hold": "half", "endpoint": "embeddings", "when_text": "Buoy 7 "})
    await page.get_by_role("button", name="Move to embed-large").click()
    progress = page.locator("parley-reindexing")
    await expect(progress).to_contain_text("Indexing")
    await expect(progress.get_by_role("button", name="Cancel")).to_be_visible()
    upstream.let_go("half")
    await expect(progress).to_contain_text("Switched, clearing up")
    await expect(progress.get_by_role("button", name="Cancel")).to_be_hidden()
