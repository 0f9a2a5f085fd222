"""The ceiling meets a server that counts otherwise, and branches longer than any strategy can use."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from chat.models import Assistant, Response, SentRequest, Summary, Turn
from chat.selectors.targets import MARGIN, prepared
from chat.turns.job import Claimed, Job, load_job
from chat.turns.measuring import HIGHEST, MEASURE
from core import statements
from core.bridge import in_database
from core.models import EndpointModel, User
from tests import factories
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

# The scripted server counts four characters to a token; of these words each is one to us.
LONG_WORDS = "temperature " * 400


@pytest.fixture
def model(upstream: ResponsesServer) -> EndpointModel:
    endpoint = factories.responses_endpoint(upstream.base_url)
    return factories.chat_model(endpoint=endpoint, name="scripted", context_window=6_000, max_output_tokens=500)


@pytest.fixture
def assistant(person: User, model: EndpointModel) -> Assistant:
    return factories.assistant(owner=person, model=model, retrieval="off", strategy="window")


def measure(model: EndpointModel, ratio: float | None, *, minutes_later: int = 0) -> float:
    """Store one measurement as if so much time had gone by since the last change, and return what the model has."""
    if minutes_later:
        then = timezone.now() - timedelta(minutes=minutes_later)
        EndpointModel.objects.filter(id=model.id).update(token_ratio_at=then)
    statements.execute(MEASURE, {"model": model.id, "ratio": ratio})
    model.refresh_from_db()
    return model.token_ratio


def row_version(model: EndpointModel) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid, xmin FROM core_endpointmodel WHERE id = %s", [model.id])
        return cursor.fetchone()


def test_the_ratio_rises_at_once_and_falls_slowly(model: EndpointModel) -> None:
    assert measure(model, 1.5) == 1.5
    assert measure(model, 1.1) == 1.5, "the next minute says little"
    assert measure(model, 1.1, minutes_later=11) == pytest.approx(1.45)
    assert measure(model, 1.1) == pytest.approx(1.45)
    assert measure(model, 1.3) == pytest.approx(1.45)
    assert measure(model, 1.46) == pytest.approx(1.46)
    for _ in range(40):
        measure(model, 1.1, minutes_later=11)
    assert model.token_ratio == pytest.approx(1.1)


def test_a_measurement_that_says_nothing_new_leaves_the_row_alone(model: EndpointModel) -> None:
    """Else each turn would make the memory of versions and models useless."""
    measure(model, 1.5)
    before = row_version(model)
    for ratio in (1.5, 1.2, None):
        measure(model, ratio)
    assert row_version(model) == before


def sizes() -> list[tuple[int, int]]:
    """What each request was counted as by the server, and its ceiling by our count."""
    responses = Response.objects.order_by("created_at").select_related("sent")
    return [(response.input_tokens or 0, response.sent.manifest["ceiling"]) for response in responses]


async def test_a_server_that_counts_more_gets_shorter_requests(
    person: User, assistant: Assistant, model: EndpointModel, upstream: ResponsesServer
) -> None:
    conversation = uuid.uuid4()
    async with running_turns(), tab_of(person) as tab:
        for number in range(6):
            more: dict[str, Any] = {} if number else {"assistant": assistant.id}
            await tab.ask(f"Question {number}. {LONG_WORDS}", conversation, **more)
            await tab.until("turn.final")
    counted = await in_database(sizes)
    await in_database(model.refresh_from_db)
    assert counted[0][1] == int((6_000 - 500) * (1 - MARGIN))
    assert 2 < model.token_ratio <= HIGHEST
    assert counted[-1][1] < counted[0][1] / 2
    # five messages of 1,200 of its tokens would not have fitted beside the sixth
    assert all(tokens <= 6_000 - 500 for tokens, _ceiling in counted)
    last = await in_database(SentRequest.objects.order_by("created_at").last)
    assert last is not None
    assert last.manifest["limits"] == {"window": 6_000, "answer": 500, "ratio": model.token_ratio}
    assert {"part": "window", "count": 5 - len(last.manifest["turns"]), "why": "over the ceiling"} in last.manifest[
        "dropped"
    ]


def branch(person: User, assistant: Assistant, turns: int) -> list[Turn]:
    """A branch with another one beside each of its turns."""
    conversation = factories.conversation(person, assistant)
    made: list[Turn] = []
    for number in range(turns):
        parent = made[-1] if made else None
        factories.turn(conversation, text=f"Aside {number}?", answer="Elsewhere.", parent=parent)
        made.append(factories.turn(conversation, text=f"Question {number}?", answer=f"{number}.", parent=parent))
    return made


def job_after(turn: Turn) -> Job:
    claimed = factories.turn(
        turn.conversation, text="And now?", parent=turn, status="in_progress", owner=uuid.uuid4(), epoch=1
    )
    return load_job(Claimed(claimed.id, 1, turn.conversation_id, turn.conversation.user_id))


@pytest.mark.parametrize(
    ("strategy", "loaded"), [({"strategy": "window"}, 20), ({"strategy": "summary"}, 20), ({"strategy": "full"}, 30)]
)
def test_no_more_turns_are_loaded_than_a_strategy_can_use(
    person: User, model: EndpointModel, strategy: dict[str, str], loaded: int
) -> None:
    made = branch(person, factories.assistant(owner=person, model=model, retrieval="off", **strategy), 30)
    job = job_after(made[-1])
    assert [turn.id for turn in job.past] == [turn.id for turn in made[30 - loaded :]]
    assert job.depth == 30


def test_a_short_window_still_leaves_the_search_its_questions(person: User, model: EndpointModel) -> None:
    short = {"strategy": "window", "strategy_parameters": {"turns": 1}}
    made = branch(person, factories.assistant(owner=person, model=model, **short), 6)
    assert [turn.user_text for turn in job_after(made[-1]).past] == ["Question 3?", "Question 4?", "Question 5?"]


def test_a_summary_is_found_beyond_the_window_and_says_how_much_it_stands_for(
    person: User, model: EndpointModel
) -> None:
    made = branch(person, factories.assistant(owner=person, model=model, strategy_parameters={"turns": 4}), 30)
    Summary.objects.create(conversation=made[0].conversation, turn=made[9], text="They began.", tokens=3)
    job = job_after(made[-1])
    assert job.summary is not None
    assert (job.summarised, job.depth, len(job.past)) == (10, 30, 4)


def test_what_is_in_memory_of_a_version_follows_its_models_ratio(person: User, model: EndpointModel) -> None:
    made = branch(person, factories.assistant(owner=person, model=model, strategy="window"), 1)
    before = job_after(made[0])
    measure(model, 1.0)
    conversation = made[0].conversation
    Turn.objects.filter(conversation=conversation, status="in_progress").update(
        status="completed", owner=None, finished_at=timezone.now()
    )
    known = prepared.cache_info().misses
    assert job_after(made[0]).models is before.models
    assert prepared.cache_info().misses == known
    Turn.objects.filter(conversation=conversation, status="in_progress").update(
        status="completed", owner=None, finished_at=timezone.now()
    )
    measure(model, 1.4)
    assert job_after(made[0]).models[0].row.token_ratio == 1.4
