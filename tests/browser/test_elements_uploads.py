"""Five hundred files at once in the page's upload area, without a server of ours."""

import re
import uuid
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import engines
from playwright.async_api import Page, Route, expect

from tests.browser.elements import Stage, staged

STORE = uuid.UUID(int=5)
MANY = 500
UUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
PAGE = engines["django"].from_string(
    """{% extends "shell.html" %}{% load static uploads importmap %}
    {% block scripts %}{% importmap "start.js" "library.js" %}{% endblock %}
    {% block page_styles %}
      <link rel="stylesheet" href="{% static "css/composer.css" %}">
      <link rel="stylesheet" href="{% static "css/uploads.css" %}">
    {% endblock %}
    {% block main %}<main class="page"><div class="page__inner">{% upload_area store %}</div></main>{% endblock %}"""
)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


class Server:
    """Takes every tenth file as there already, refuses every other tenth, and reads the others when it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.most = 0
        self.running = 0

    async def upload(self, route: Route) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        number = self.asked
        self.asked += 1
        ident, answer = str(uuid.UUID(int=number)), {"code": "x", "message": "This kind of file is not read."}
        if number % 10 == 1:
            await route.fulfill(status=415, json={**answer, "retryable": False})
        else:
            created = number % 10 != 2
            body = {"document": ident, "html": "", "created": created, "kept_as": "other.txt"}
            await route.fulfill(status=201, json=body)
        self.running -= 1

    async def states(self, route: Route) -> None:
        ids = UUIDS.findall(route.request.post_data or "")
        ready = {"state": "ready", "label": "Ready", "message": "", "retryable": False}
        await route.fulfill(json=dict.fromkeys(ids, ready))


async def open_area(stage: Stage) -> tuple[Page, Server]:
    def view(request: HttpRequest) -> HttpResponse:
        user = SimpleNamespace(pk=1, email="ada@example.org", is_staff=False)
        context = {"entries": [], "page": "library", "store": SimpleNamespace(id=STORE), "user": user}
        return HttpResponse(PAGE.render(context, request))

    server = Server()
    await stage.show(view, "/library/5/")
    await stage.page.route("**/files/", server.upload)
    await stage.page.route("**/states/", server.states)
    return stage.page, server


async def choose_many(page: Page) -> None:
    files: Any = [
        {"name": f"tides-{number:03}.txt", "mimeType": "text/plain", "buffer": b"Tides %d" % number}
        for number in range(MANY)
    ]
    await page.get_by_label("Add files").set_input_files(files)


async def test_five_hundred_files_each_have_a_line_and_three_go_at_a_time(stage: Stage) -> None:
    page, server = await open_area(stage)
    await choose_many(page)
    await expect(page.locator(".upload-row")).to_have_count(MANY)
    summary = page.locator("[data-summary]")
    await expect(summary).to_have_text("400 of 500 read, 50 there already, 50 refused", timeout=60_000)
    assert server.asked == MANY
    assert server.most <= 3
    await page.get_by_role("button", name="Show those not added").click()
    assert await page.locator(".upload-row:visible").count() == 100
