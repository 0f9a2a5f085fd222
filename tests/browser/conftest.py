"""A real browser on a real site. Every test fails on a script error, a refused policy, or a request that leaves."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, WebSocket, async_playwright, expect

from core.bridge import in_database
from core.models import User, Work
from tests import backends, factories
from tests.factories import session_of
from tests.frames import FrameError, check_received, check_sent
from tests.site import APPLICATION, Site, running_site
from tests.waiting import wait_until

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# The worker may still be starting, and the machine busy with other tests.
expect.set_options(timeout=30_000)
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="package")
def site(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for these tests; each makes its own people and rows.

    It ends before a test of another folder begins: it would run the turns and the work of that one too.
    """
    with django_db_blocker.unblock(), running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@dataclass
class Watched:
    """A browser context that notes what must not happen. `expected` are console texts that a test provokes."""

    context: BrowserContext
    site: Site
    problems: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    async def page(self) -> Page:
        page = await self.context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("request", self._request)
        page.on("websocket", self._socket)
        await page.add_init_script(VIOLATIONS)
        return page

    async def sign_in(self, user: User) -> None:
        session = await in_database(session_of, user)
        await self.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": self.site.url, "httpOnly": True}]
        )

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob", "about"} and address.netloc != urlsplit(self.site.url).netloc:
            self.problems.append(f"a request left the site: {request.url}")

    def _socket(self, socket: WebSocket) -> None:
        """Both ends keep to the protocol."""
        socket.on("framesent", lambda text: self._frame(check_sent, text))
        socket.on("framereceived", lambda text: self._frame(check_received, text))

    def _frame(self, check: Callable[[str], object], text: str | bytes) -> None:
        try:
            check(str(text))
        except FrameError as error:
            self.problems.append(str(error))

    def unexpected(self) -> list[str]:
        return [problem for problem in self.problems if not any(text in problem for text in self.expected)]


@pytest.fixture
def person(transactional_db: None) -> User:
    factories.embedding_model(name="hashing-512", is_default=True)
    return factories.user()


@pytest.fixture
async def desktop(transactional_db: None, site: Site) -> AsyncIterator[Watched]:
    """A context at desktop width."""
    async for watched in _context(site, width=1280, height=860):
        yield watched


@pytest.fixture
async def phone(transactional_db: None, site: Site) -> AsyncIterator[Watched]:
    """A context at phone width, with touch."""
    async for watched in _context(site, width=390, height=780):
        yield watched


def chromium() -> str:
    """Where the browser is. Skips the test where there is none, but never in CI."""
    path = shutil.which("chromium")
    if path is None:
        missing = "Chromium is needed for the browser tests: apt-get install chromium"
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)
    return path


def _quieten() -> None:
    """Wait until the site does nothing more: emptying all tables while it works in some of them can be a deadlock.

    What it has not begun with, it need not begin with.
    """

    def quiet() -> bool:
        Work.objects.filter(state=Work.State.WAITING).delete()
        return not Work.objects.filter(state=Work.State.RUNNING).exists() and not backends.busy({APPLICATION})

    wait_until(quiet)


async def _context(site: Site, *, width: int, height: int) -> AsyncIterator[Watched]:
    path = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = await browser.new_context(viewport={"width": width, "height": height}, has_touch=width < 500)
        context.set_default_timeout(30_000)
        watched = Watched(context, site)
        yield watched
        await context.close()
        await browser.close()
    await in_database(_quieten)
    assert not watched.unexpected()
