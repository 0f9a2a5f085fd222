"""Search: the fused ranking is the formula, the permission is in the statement, the text is the revision's."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.models import EndpointModel
from core.models.grants import Role
from core.tokens import count_tokens
from retrieval import ingestion, services
from retrieval.embeddings import embedder_for
from retrieval.errors import EmbeddingDimensionError, EmbeddingUnavailableError
from retrieval.models import Chunk, ChunkEmbedding, ChunkWeights, Document, Revision, VectorStore
from retrieval.search import Passage, Query, fusion, retrieve, retrieve_now
from retrieval.search.lexical import AVERAGE_LENGTH, K1, B
from retrieval.search.terms import terms
from retrieval.selectors import embedding_target
from tests import factories
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db

WORDS = [
    *("anchor", "buoy", "chart", "deck", "ebb", "ferry", "gale", "harbour", "island", "jetty", "keel", "lighthouse"),
    *("mooring", "net", "oar", "pilot", "quay", "reef", "sail", "tide"),
]


def ask(text: str, scope: Sequence[VectorStore], limit: int = 8) -> list[Passage]:
    stores = VectorStore.objects.filter(pk__in=[store.pk for store in scope])
    return retrieve_now(Query.of(text), scope=stores, limit=limit)


def dice_of(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - not for secrets


def random_store(seed: int, documents: int = 25, **fields: Any) -> VectorStore:
    """A store of short documents of random words, some words rarer than others."""
    store, dice = factories.store(owner=factories.user(), **fields), dice_of(seed)
    weights = [1 / (rank + 1) for rank in range(len(WORDS))]
    for _ in range(documents):
        words = dice.choices(WORDS, weights, k=dice.randint(3, 40))
        factories.indexed_document(store, text=" ".join(words))
    return store


def reference_shares(store: VectorStore, question: str) -> dict[int, float]:
    """BM25 of each chunk by the textbook, divided by what full coverage would give."""
    texts = {chunk.pk: terms(f"{chunk.header}\n{chunk.text}") for chunk in Chunk.objects.filter(store=store)}
    asked = Counter(terms(question))
    holding = {term: sum(term in found for found in texts.values()) for term in asked}
    idf = {term: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for term, n in holding.items()}
    total = sum(count * idf[term] for term, count in asked.items())
    shares = {}
    for pk, found in texts.items():
        counts, norm = Counter(found), K1 * (1 - B + B * len(found) / AVERAGE_LENGTH)
        gained = (asked[term] * idf[term] * counts[term] / (counts[term] + norm) for term in asked)
        shares[pk] = sum(gained) / total
    return shares


def reference_cosines(store: VectorStore, question: str) -> dict[int, float]:
    (asked,) = embedder_for(embedding_target(store.embedding_model)).embed([question], kind="query")
    rows = ChunkEmbedding.objects.filter(store=store)
    return {row.chunk_id: float(np.dot(np.array(row.embedding), asked)) for row in rows}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_the_ranking_is_the_formula(share: float) -> None:
    store, question = random_store(7, dense_share=share), "lighthouse at the quay, lighthouse on the reef"
    lexical, dense = reference_shares(store, question), reference_cosines(store, question)
    found = ask(question, [store], limit=100)
    assert len(found) >= 6
    for passage in found:
        assert passage.lexical_score == pytest.approx(lexical[passage.chunk_id], abs=1e-5)
        assert passage.dense_score == pytest.approx(dense[passage.chunk_id], abs=2e-3)
        fused = share * passage.dense_score + (1 - share) * passage.lexical_score
        assert passage.score == pytest.approx(fused)
    assert [passage.score for passage in found] == sorted((passage.score for passage in found), reverse=True)
    said_something = {
        pk for pk in lexical if lexical[pk] > fusion.LEXICAL_FLOOR or dense[pk] > fusion.DENSE_FLOOR + 0.01
    }
    assert said_something <= {passage.chunk_id for passage in found}


def test_a_store_that_does_not_say_takes_what_suits_its_model(upstream: ResponsesServer) -> None:
    served = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    for store, share in (
        (factories.store(), fusion.HASHING_DENSE_SHARE),
        (factories.store(model=served), fusion.DENSE_SHARE),
    ):
        factories.indexed_document(store, text="Spring tides rise 2.4 metres at the north pier.")
        (found,) = ask("How high do spring tides rise?", [store])
        assert found.score == pytest.approx(share * found.dense_score + (1 - share) * found.lexical_score)


def test_a_limit_keeps_the_best() -> None:
    store = random_store(3)
    everything = ask("harbour pilot", [store], limit=100)
    assert [each.chunk_id for each in ask("harbour pilot", [store], limit=4)] == [p.chunk_id for p in everything[:4]]


def test_the_right_document_comes_first() -> None:
    store = factories.store(owner=factories.user())
    factories.indexed_document(store, text="The ferry to Maroy leaves at seven.", name="ferries.txt")
    right = factories.indexed_document(store, text="Spring tides rise 2.4 metres at the north pier.", name="tides.txt")
    best, *_ = ask("How high do spring tides rise?", [store])
    assert (best.document_id, best.document_name, best.revision_id) == (right.pk, "tides.txt", right.revision_id)
    assert best.text == "Spring tides rise 2.4 metres at the north pier."
    assert (best.start, best.end, best.page_start, best.tokens) == (0, len(best.text), None, count_tokens(best.text))


def test_nothing_is_found_where_nothing_is_said() -> None:
    store = factories.store(owner=factories.user())
    factories.indexed_document(store, text="Spring tides rise 2.4 metres at the north pier.")
    assert ask("zebra xylophone", [store]) == []
    assert ask("", [store]) == []
    assert ask("?!", [store]) == []
    assert ask("Where is the zebra?", [store]) == []
    assert ask("tides", []) == []
    assert ask("tides", [factories.store()]) == []
    assert retrieve_now(Query.of("tides"), scope=VectorStore.objects.none(), limit=5) == []


def test_either_side_may_be_left_out() -> None:
    store = random_store(11)
    scope = VectorStore.objects.filter(pk=store.pk)
    by_words = retrieve_now(Query(dense=(), lexical="harbour"), scope=scope, limit=5)
    assert by_words
    assert all(passage.dense_score == 0 < passage.lexical_score for passage in by_words)
    by_meaning = retrieve_now(Query(dense=(("harbour", 1.0),), lexical=""), scope=scope, limit=5)
    assert by_meaning
    assert all(passage.lexical_score == 0 < passage.dense_score for passage in by_meaning)


def stores_of(passages: Iterable[Passage]) -> set[VectorStore]:
    return set(VectorStore.objects.filter(documents__in=[passage.document_id for passage in passages]))


class TestPermission:
    def test_only_stores_in_scope_answer(self) -> None:
        cast = factories.cast()
        own, shared = factories.store(owner=cast.owner), factories.store(owner=cast.outsider)
        secret = factories.store(owner=cast.outsider)
        for store in (own, shared, secret):
            factories.indexed_document(store, text=f"The harbour code of {store.name} is 4711.")
        factories.grant(shared, cast.team, Role.READER)
        everywhere = retrieve_now(Query.of("harbour code"), scope=VectorStore.objects.all(), limit=10)
        assert len(everywhere) == 3
        visible_to = {cast.owner: {own, shared}, cast.teammate: {shared}, cast.outsider: {shared, secret}}
        for person, visible in visible_to.items():
            found = retrieve_now(Query.of("harbour code"), scope=VectorStore.objects.visible_to(person), limit=10)
            assert stores_of(found) == visible

    def test_foreign_passages_are_never_found(self) -> None:
        people = [factories.user() for _ in range(4)]
        for number, person in enumerate(people):
            store, dice = factories.store(owner=person), dice_of(number)
            for _ in range(8):
                factories.indexed_document(store, text=" ".join(dice.choices(WORDS, k=20)))
        dice = dice_of(99)
        for _ in range(60):
            person, words = dice.choice(people), dice.choices(WORDS, k=dice.randint(1, 4))
            found = retrieve_now(Query.of(" ".join(words)), scope=VectorStore.objects.visible_to(person), limit=50)
            assert {store.owner for store in stores_of(found)} <= {person}

    def test_the_scope_is_a_part_of_the_statement(self) -> None:
        person = factories.user()
        store = factories.store(owner=person)
        factories.indexed_document(store, text="The harbour code is 4711.")
        with CaptureQueriesContext(connection) as queries:
            assert retrieve_now(Query.of("harbour code"), scope=VectorStore.objects.visible_to(person), limit=5)
        (statement,) = [query["sql"] for query in queries if "<#>" in query["sql"]]
        assert "core_grant" in statement
        assert len(queries) <= 6


class TestDocumentsThatCount:
    def test_a_deleted_document_is_not_found_at_once(self) -> None:
        owner = factories.user()
        store = factories.store(owner=owner)
        gone = factories.indexed_document(store, text="The harbour code is 4711.")
        kept = factories.indexed_document(store, text="The harbour code was 1234.")
        services.delete_document(user=owner, document_id=gone.pk)
        assert Chunk.objects.filter(document=gone).exists()
        assert [each.document_id for each in ask("harbour code", [store])] == [kept.pk]

    def test_one_that_is_made_again_answers_meanwhile(self) -> None:
        store = factories.store(owner=factories.user())
        document = factories.indexed_document(store, text="The harbour code is 4711.")
        Document.objects.update(state="embedding")
        assert [each.document_id for each in ask("harbour code", [store])] == [document.pk]

    def test_one_that_is_not_ready_yet_does_not_answer(self) -> None:
        store = factories.store(owner=factories.user())
        factories.document(store, text="The harbour code is 4711.")
        assert ask("harbour code", [store]) == []


def test_neighbours_are_one_passage() -> None:
    store = factories.store(owner=factories.user(), chunk_tokens=32, chunk_overlap=6)
    padding = " ".join(f"Item {n} is about knots." for n in range(40))
    text = f"{padding}\n\nThe tide at Korsund turns early.   \n\n  " + "The tide at Korsund rises high. " * 12 + padding
    document = factories.indexed_document(store, text=text)
    assert document.chunk_count > 10
    passages = ask("tide Korsund", [store], limit=6)
    assert len(passages) < 6
    assert all(text[each.start : each.end] == each.text for each in passages)
    assert max(each.tokens for each in passages) > 32
    spans = sorted((each.start, each.end) for each in passages)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))


def test_models_are_searched_each_with_its_own_vectors(upstream: ResponsesServer) -> None:
    served = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    one, two = factories.store(), factories.store(model=served)
    texts = {one: "The harbour code is 4711.", two: "The code of the harbour is 4711."}
    documents = [factories.indexed_document(store, text=text) for store, text in texts.items()]
    found = ask("harbour code", [one, two])
    assert {each.document_id for each in found} == {document.pk for document in documents}
    assert len(set(ChunkEmbedding.objects.values_list("model", flat=True))) == 2


def test_each_language_is_searched_by_its_own_stems() -> None:
    store = factories.store()
    german = factories.indexed_document(store, text="Die Häuser am Hafen wurden verkauft.", language="de", name="a")
    factories.indexed_document(store, text="Die Leuchttürme stehen auf den Inseln.", language="de", name="b")
    factories.indexed_document(store, text="The lighthouses stand upon the islands.", language="en", name="c")
    best, *_ = ask("Haus verkaufen Hafen", [store])
    assert best.document_id == german.pk
    assert 0.3 < best.lexical_score <= 1


async def test_asynchronous_code_finds_the_same(transactional_db: None) -> None:
    store = await sync_to_async(random_store)(5, 10)
    scope = VectorStore.objects.filter(pk=store.pk)
    expected = await sync_to_async(retrieve_now)(Query.of("harbour tide"), scope=scope, limit=5)
    assert expected
    assert await retrieve(Query.of("harbour tide"), scope=scope, limit=5) == expected


def test_older_turns_weigh_less() -> None:
    store = factories.store(dense_share=1.0)
    tides = factories.indexed_document(store, text="Spring tides rise at the north pier.")
    factories.indexed_document(store, text="Ferries leave from the south quay.")
    said = (("Spring tides at the north pier", 1.0), ("Ferries from the south quay", 0.5))
    found = retrieve_now(Query(dense=said, lexical=""), scope=VectorStore.objects.all(), limit=2)
    assert found[0].document_id == tides.pk
    turned = tuple((text, 1.5 - weight) for text, weight in said)
    found = retrieve_now(Query(dense=turned, lexical=""), scope=VectorStore.objects.all(), limit=2)
    assert found[0].document_id != tides.pk


def test_a_server_that_changed_its_vectors_is_told(upstream: ResponsesServer) -> None:
    served = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    store = factories.store(model=served)
    factories.indexed_document(store, text="The harbour code is 4711.")
    EndpointModel.objects.filter(pk=served.pk).update(dimensions=99)
    with pytest.raises(EmbeddingDimensionError):
        ask("harbour", [store])


def test_a_server_that_is_away_is_told(upstream: ResponsesServer) -> None:
    served = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    store = factories.store(model=served)
    factories.indexed_document(store, text="The harbour code is 4711.")
    away = {"status": 503, "headers": {"retry-after": "60"}, "endpoint": "embeddings"}
    upstream.script(away)
    with pytest.raises(EmbeddingUnavailableError):
        ask("harbour", [store])


def test_weights_fit_the_chunks() -> None:
    store = random_store(1, 5)
    assert ChunkWeights.objects.filter(store=store).count() == Chunk.objects.filter(store=store).count() == 5


def paged_document(store: VectorStore, *texts: str) -> Document:
    """A document of these pages, indexed."""
    made = factories.document(store, text="\n".join(texts))
    starts = [sum(len(text) + 1 for text in texts[:page]) for page in range(len(texts))]
    pages = [[start, start + len(text)] for start, text in zip(starts, texts, strict=True)]
    Revision.objects.create(document=made, text="\n".join(texts), pages=pages, extractor="test")
    ingestion.ingest([factories.claim(ingestion.INGEST, made.pk)])
    made.refresh_from_db()
    return made


def test_a_passage_over_the_end_of_a_page_knows_its_pages() -> None:
    store = factories.store(owner=factories.user())
    pages = [f"Harbour rule {page}. " + "The pilot waits at the quay. " * 25 for page in range(1, 4)]
    made = paged_document(store, pages[0], "", *pages[1:])
    (found,) = ask("harbour pilot quay", [store], limit=50)
    assert made.revision is not None
    assert (found.page_start, found.page_end) == (1, 4)
    assert [made.revision.text[start : start + 14] for start, _ in found.page_starts] == [
        "Harbour rule 2",
        "Harbour rule 3",
    ]
    assert [page for _, page in found.page_starts] == [3, 4], "an empty page holds nothing"


def test_the_same_text_in_two_stores_is_found_once_and_others_take_its_place() -> None:
    person = factories.user()
    stores = [factories.store(owner=person) for _ in range(2)]
    for store in stores:
        factories.indexed_document(store, text="The pilot of the harbour waits at the quay.")
    factories.indexed_document(stores[1], text="No harbour without a pilot.")
    found = ask("harbour pilot", stores, limit=2)
    assert len({passage.text for passage in found}) == len(found) == 2
