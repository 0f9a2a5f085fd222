"""A document as people read it: its text with what is marked, its chunks, words in it, and what can be done with it."""

import html
import io
import re
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from core.models import User
from core.models.grants import Role
from retrieval.models import Chunk, Document, Revision, VectorStore
from tests import factories

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
SENTENCES = [f"Sentence {number} tells of the tide at pier {number * 7}. " for number in range(480)]
TEXT = "# The <tides>\n\n" + "".join(SENTENCES).strip()


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


@pytest.fixture
def store(cast: factories.Cast) -> VectorStore:
    made = factories.store(owner=cast.owner, name="Harbour papers", chunk_tokens=90, chunk_overlap=40)
    factories.grant(made, cast.team, Role.READER)
    return made


@pytest.fixture
def document(store: VectorStore) -> Document:
    made = factories.indexed_document(store, text=TEXT, name="tides.txt")
    Revision.objects.update(headings=[[0, 1, "The <tides>"]], warnings=["Two pictures were left out."])
    return made


def as_(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page_of(person: User, document: Document, **query: Any) -> Any:
    page = as_(person).get(document.get_absolute_url(), query)
    assert page.status_code == HTTPStatus.OK
    return page


def shown_text(page: str) -> str:
    """What the browser shows of the text: no mark changes a character of it."""
    sheets = re.findall(r'<div class="sheet__text" dir="auto">(.*?)</div>', page, re.DOTALL)
    without_cuts = (re.sub(r'<a class="cut".*?</a>', "", sheet) for sheet in sheets)
    return html.unescape("".join(re.sub(r"<[^>]*>", "", sheet) for sheet in without_cuts))


class TestText:
    @pytest.mark.parametrize("query", [{}, {"borders": "1"}, {"q": "tide at"}, {"q": "tide", "borders": "1"}])
    def test_marks_change_no_character(self, cast: factories.Cast, document: Document, query: dict[str, str]) -> None:
        text, number = "", 1
        while True:
            page = page_of(cast.teammate, document, page=str(number), **query)
            text += shown_text(page.content.decode())
            if not page.context["page_obj"].has_next():
                break
            number += 1
        assert text == TEXT

    def test_headings_are_headings(self, cast: factories.Cast, document: Document) -> None:
        page = page_of(cast.owner, document).content.decode()
        assert '<span class="sheet__heading" role="heading" aria-level="2"># The &lt;tides&gt;</span>' in page

    def test_every_chunk_has_its_border_and_what_two_share_is_seen(
        self, cast: factories.Cast, document: Document
    ) -> None:
        numbers: list[int] = []
        shared = ""
        for number in range(1, page_of(cast.owner, document).context["page_obj"].paginator.num_pages + 1):
            sheets = page_of(cast.owner, document, borders="1", page=number).context["sheets"]
            for piece in (piece for sheet in sheets for piece in sheet.stretches):
                numbers += piece.begins
                shared += piece.text if piece.shared else ""
        chunks = list(Chunk.objects.order_by("position"))
        assert numbers == [chunk.position + 1 for chunk in chunks]
        overlaps = (TEXT[after.start : before.end] for before, after in pairwise(chunks))
        assert shared == "".join(overlaps) != ""

    def test_words_are_found_wherever_they_stand(self, cast: factories.Cast, document: Document) -> None:
        page = page_of(cast.owner, document, q="TIDE  at pier")
        places = page.context["places"]
        expected = [match.start() for match in re.finditer("tide at pier", TEXT)]
        assert [place.offset for place, _, _ in places] == expected[: len(places)]
        assert len(places) == 200
        place, screen, _ = places[-1]
        there = page_of(cast.owner, document, q="tide at pier", page=screen)
        assert f'<mark id="at-{place.offset}">tide at pier</mark>' in there.content.decode()

    @pytest.mark.parametrize("words", ["no such words", "pier.*", "(", "\\d", "100%", "a_b", "\0"])
    def test_what_is_looked_for_is_words_and_no_pattern(
        self, cast: factories.Cast, document: Document, words: str
    ) -> None:
        assert page_of(cast.owner, document, q=words).context["places"] == []

    def test_words_in_two_lines_are_found(self, cast: factories.Cast, store: VectorStore) -> None:
        made = factories.indexed_document(store, text="The beam\nreaches (far) out.")
        assert len(page_of(cast.owner, made, q="beam reaches (far)").context["places"]) == 1

    def test_all_that_is_known_of_it_is_shown(self, cast: factories.Cast, document: Document) -> None:
        Document.objects.update(language="nb", attributes={"year": 1912})
        page = page_of(cast.teammate, document).content.decode()
        for shown in (
            "tides.txt",
            "Two pictures were left out.",
            "Norwegian Bokm",
            document.sha256[:12],
            "year",
            "1912",
        ):
            assert shown in page, shown

    def test_a_reader_gets_no_menu(self, cast: factories.Cast, document: Document) -> None:
        assert "data-row-menu" not in page_of(cast.teammate, document).content.decode()
        assert "data-row-menu" in page_of(cast.owner, document).content.decode()


class TestChunks:
    def test_each_is_shown_exactly(self, cast: factories.Cast, document: Document) -> None:
        seen, number = [], 1
        while True:
            page = page_of(cast.teammate, document, view="chunks", page=number)
            seen += [chunk for chunk, _ in page.context["chunks"]]
            if not page.context["page_obj"].has_next():
                break
            number += 1
        stored = list(Chunk.objects.order_by("position"))
        assert [(chunk.number, chunk.start, chunk.end) for chunk in seen] == [
            (chunk.position + 1, chunk.start, chunk.end) for chunk in stored
        ]
        assert all(chunk.repeated + chunk.text == TEXT[chunk.start : chunk.end] for chunk in seen)
        assert any(chunk.repeated for chunk in seen[1:])
        assert number > 1

    def test_what_is_only_for_indexing_is_said_so(self, cast: factories.Cast, document: Document) -> None:
        page = page_of(cast.owner, document, view="chunks").content.decode()
        header = Chunk.objects.order_by("position")[0].header
        assert "tides.txt" in header
        assert page.count("Only for indexing") == 20
        assert html.escape(header) in page

    def test_a_link_leads_to_one(self, cast: factories.Cast, document: Document) -> None:
        page = page_of(cast.owner, document, view="chunks", chunk="23")
        assert page.context["page_obj"].number == 2
        assert 'id="chunk-23"' in page.content.decode()
        for wrong in ("0", "-1", "x", "9" * 30):
            assert page_of(cast.owner, document, view="chunks", chunk=wrong).status_code == HTTPStatus.OK

    def test_from_a_chunk_to_its_place_in_the_text(self, cast: factories.Cast, document: Document) -> None:
        chunks = page_of(cast.owner, document, view="chunks", chunk="23").context["chunks"]
        chunk, screen = chunks[-1]
        there = page_of(cast.owner, document, borders="1", page=screen).content.decode()
        assert f'id="c{chunk.number}"' in there


@pytest.mark.parametrize("view", ["text", "chunks"])
def test_a_page_costs_the_same_however_long_the_document(
    cast: factories.Cast, document: Document, view: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = as_(cast.owner)
    with django_assert_max_num_queries(15):
        client.get(document.get_absolute_url(), {"view": view, "page": "2", "q": "tide", "borders": "1"})


class TestStates:
    @pytest.mark.parametrize(
        ("state", "fields", "said"),
        [
            ("queued", {}, "It waits its turn"),
            ("extracting", {"progress_done": 3, "progress_total": 9}, "Reading (3 of 9)"),
            ("failed", {"error_message": "It needs a password."}, "It needs a password."),
        ],
    )
    def test_what_is_not_ready_says_how_far_it_is(
        self, cast: factories.Cast, store: VectorStore, state: str, fields: dict[str, Any], said: str
    ) -> None:
        made = factories.document(store, state=state, **fields)
        for view in ("text", "chunks"):
            assert said in page_of(cast.teammate, made, view=view).content.decode()

    def test_another_try_is_offered_where_it_may_help(self, cast: factories.Cast, store: VectorStore) -> None:
        made = factories.document(store, state="failed", error_retryable=True)
        retry = reverse("retrieval:retry", args=[made.pk])
        assert retry in page_of(cast.owner, made).content.decode()
        assert retry not in page_of(cast.teammate, made).content.decode()

    def test_gone_foreign_and_never_there_are_told_alike(self, cast: factories.Cast, document: Document) -> None:
        foreign = as_(cast.outsider).get(document.get_absolute_url())
        Document.objects.update(life="deleting")
        gone = as_(cast.outsider).get(document.get_absolute_url())
        assert foreign.status_code == gone.status_code == HTTPStatus.NOT_FOUND
        assert "This document is not here" in gone.content.decode()
        tokens = re.compile(r'(content|value|nonce)="[^"]{20,}"')
        assert tokens.sub("", foreign.content.decode()) == tokens.sub("", gone.content.decode())


class TestActions:
    def act(self, person: User, document: Document, action: str, **form: Any) -> Any:
        return as_(person).post(reverse(f"retrieval:{action}", args=[document.pk]), form, headers=JSON)

    def test_rename(self, cast: factories.Cast, document: Document) -> None:
        assert self.act(cast.owner, document, "rename", name=" new.txt ").json()["document"] == str(document.pk)
        document.refresh_from_db()
        assert document.name == "new.txt"
        assert self.act(cast.owner, document, "rename", name=" ").json()["code"] == "invalid_input"

    def test_move(self, cast: factories.Cast, document: Document) -> None:
        target = factories.store(
            owner=cast.owner, name="Elsewhere", model=document.store.embedding_model, chunk_tokens=90, chunk_overlap=40
        )
        assert "Elsewhere" in page_of(cast.owner, document).content.decode()
        answer = self.act(cast.owner, document, "move", store=str(target.pk)).json()
        assert answer["store"] == str(target.pk)
        assert self.act(cast.owner, document, "move", store="x").json()["code"] == "invalid_input"

    def test_replace_and_dismiss(
        self, cast: factories.Cast, document: Document, tmp_path: Any, settings: Settings
    ) -> None:
        location = {"location": str(tmp_path / "files"), "base_url": None}
        settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
        body = io.BytesIO(b"Other tides")
        body.name = "tides 2.txt"
        assert self.act(cast.owner, document, "replace", file=body).json()["document"] == str(document.pk)
        document.refresh_from_db()
        assert document.notice_kind == "running"
        page = page_of(cast.owner, document).content.decode()
        assert html.escape(document.notice) in page
        assert "data-noticed" in page
        assert self.act(cast.owner, document, "dismiss").status_code == HTTPStatus.OK
        document.refresh_from_db()
        assert document.notice == ""

    @pytest.mark.parametrize("name", ["rename", "move", "replace", "dismiss"])
    def test_only_editors_may(self, cast: factories.Cast, document: Document, name: str) -> None:
        form = {"name": "x", "store": str(document.store_id), "file": io.BytesIO(b"x")}
        assert self.act(cast.teammate, document, name, **form).status_code == HTTPStatus.FORBIDDEN
        assert self.act(cast.outsider, document, name, **form).status_code == HTTPStatus.NOT_FOUND
