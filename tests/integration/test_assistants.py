"""Assistants and their versions: drafts, what can be published, and what happens when two people do it at once."""

import threading
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from chat.models import Assistant, AssistantVersion, FallbackModel
from chat.services import assistants
from chat.services.version_rules import check_shapes
from core import endpoints
from core.models import Endpoint, EndpointModel
from tests import factories
from tests.admin_pages import draft

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _default_model(settings: Any) -> None:
    for name in ("CHAT_BASE_URL", "CHAT_API_KEY", "EMBEDDING_BASE_URL", "EMBEDDING_API_KEY"):
        setattr(settings, name, "")
    endpoints.sync_environment_endpoints()


def problems(**values: Any) -> dict[str, list[str]]:
    with pytest.raises(assistants.InvalidVersionError) as caught:
        assistants.publish(version=draft(**values), by=None)
    return caught.value.problems


def switched_off(model: EndpointModel) -> EndpointModel:
    Endpoint.objects.filter(pk=model.endpoint_id).update(enabled=False)
    return model


def server_model(**values: Any) -> EndpointModel:
    return factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:9/v1"), **values)


# Drafts -----------------------------------------------------------------------------------------------------------


def test_a_new_assistant_gets_a_draft_and_is_not_offered_yet() -> None:
    made = Assistant.objects.create(name="Tutor")
    assert (assistants.draft_of(assistant=made).number, made.versions.get().published_at) == (1, None)
    assert not Assistant.objects.usable().exists()


def test_there_is_one_draft_however_often_it_is_asked_for() -> None:
    made = Assistant.objects.create(name="Tutor")
    assert assistants.draft_of(assistant=made) == assistants.draft_of(assistant=made) == made.versions.get()


def test_a_draft_is_a_copy_of_the_newest_version_with_stores_and_fallbacks() -> None:
    first = draft(
        instructions="Teach.",
        input_messages=[{"role": "developer", "content": "{{tone}}"}],
        variables={"tone": "kind"},
        parameters={"temperature": 0.2},
        tools=[{"name": "current_time", "config": {"zone": "Europe/Paris"}}],
        strategy="hybrid",
        strategy_parameters={"turns": 4},
        retrieval="tool",
        retrieval_parameters={"whole_tokens": 900},
        passages=3,
        starters=["Why?"],
        remembers=True,
        failure_message="Call us.",
        model=server_model(),
        utility_model=server_model(),
    )
    store, stand_in = factories.store(), server_model()
    first.stores.add(store)
    FallbackModel.objects.create(version=first, model=stand_in, position=2)
    assistants.publish(version=first, by=None)
    copy = assistants.draft_of(assistant=first.assistant)
    identity = {"id", "number", "published_at", "published_by", "created_at"}
    for field in AssistantVersion._meta.concrete_fields:
        if field.name not in identity:
            assert getattr(copy, field.attname) == getattr(first, field.attname), field.name
    assert (copy.number, copy.published_at) == (2, None)
    assert list(copy.stores.all()) == [store]
    assert [(fallback.model, fallback.position) for fallback in copy.fallbacks.all()] == [(stand_in, 2)]


def test_a_draft_from_an_older_version_and_only_while_there_is_none() -> None:
    first = assistants.publish(version=draft(instructions="one"), by=None)
    second = assistants.draft_of(assistant=first.assistant)
    with pytest.raises(assistants.VersionConflictError, match="Version 2 is a draft"):
        assistants.draft_from(version=first)
    second.instructions = "two"
    second.save()
    assistants.publish(version=second, by=None)
    again = assistants.draft_from(version=first)
    assert (again.number, again.instructions) == (3, "one")


# Publishing -------------------------------------------------------------------------------------------------------


def test_publishing_makes_it_the_version_people_talk_to() -> None:
    person = factories.superuser()
    before = timezone.now()
    version = assistants.publish(version=draft(), by=person)
    made = Assistant.objects.usable().get()
    assert made.published_version == version
    assert version.published_by == person
    assert version.published_at is not None
    assert before <= version.published_at <= timezone.now()


def test_numbers_have_no_holes_where_a_draft_was_thrown_away() -> None:
    first = assistants.publish(version=draft(), by=None)
    assistants.draft_of(assistant=first.assistant).delete()
    second = assistants.publish(version=assistants.draft_of(assistant=first.assistant), by=None)
    assert second.number == 2


def test_published_twice_is_a_clear_error() -> None:
    version = draft()
    assistants.publish(version=version, by=None)
    with pytest.raises(assistants.VersionConflictError, match="published already"):
        assistants.publish(version=version, by=None)


def test_an_archived_assistant_leaves_the_list_and_comes_back() -> None:
    version = assistants.publish(version=draft(), by=None)
    assistants.archive(assistant=version.assistant)
    assistants.archive(assistant=version.assistant)
    assert not Assistant.objects.usable().exists()
    second = assistants.draft_of(assistant=version.assistant)
    with pytest.raises(assistants.VersionConflictError, match="archived"):
        assistants.publish(version=second, by=None)
    assistants.restore(assistant=version.assistant)
    assert assistants.publish(version=second, by=None).number == 2


def test_what_is_stored_counts_not_what_the_caller_holds() -> None:
    version = draft()
    AssistantVersion.objects.filter(pk=version.pk).update(parameters={"temperature": 9})
    with pytest.raises(assistants.InvalidVersionError):
        assistants.publish(version=version, by=None)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_publish_at_once_one_is_told() -> None:
    version = draft()
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def publish() -> None:
        barrier.wait(60)
        try:
            assistants.publish(version=version, by=None)
            outcomes.append("published")
        except assistants.VersionConflictError:
            outcomes.append("told")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["published", "told"]


@pytest.mark.django_db(transaction=True)
def test_two_who_ask_for_a_draft_at_once_get_the_same_one() -> None:
    version = assistants.publish(version=draft(), by=None)
    barrier = threading.Barrier(4)
    drafts: set[Any] = set()

    def ask() -> None:
        barrier.wait(60)
        try:
            drafts.add(assistants.draft_of(assistant=version.assistant).pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(drafts) == 1


# What cannot be published -------------------------------------------------------------------------------------------

GOOD: dict[str, list[Any]] = {
    "parameters": [
        {},
        {"temperature": 0, "top_p": 1, "max_output_tokens": 16, "parallel_tool_calls": False},
        {"temperature": 2.0, "top_p": 0.0, "service_tier": "flex", "tool_choice": "auto"},
        {"reasoning": {"effort": "high", "summary": "auto"}, "tool_choice": {"type": "function", "name": "clock"}},
        {"text": {"verbosity": "low", "format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
        {"text": {"format": {"type": "text"}}},
        {"temperature": None},
    ],
    "starters": [[], ["x" * 300] * 8],
    "variables": [{}, {"name": "", "_a1": "b"}],
    "input_messages": [
        [],
        [{"role": "developer", "content": "Hello"}],
        [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}],
    ],
    "tools": [[], [{"name": "clock", "config": {"zone": "UTC"}, "policy": "ask"}]],
    "strategy_parameters": [{}, {"turns": 1, "tokens": 100}],
}

BAD: list[tuple[str, Any, str]] = [
    ("parameters", {"temperature": 2.1}, "temperature: This has to be less than or equal to 2."),
    ("parameters", {"temperature": -0.1}, "temperature: This has to be greater than or equal to 0."),
    ("parameters", {"temperature": True}, "temperature: This has to be a valid number."),
    ("parameters", {"temperature": float("nan")}, "temperature: This has to be less than or equal to 2."),
    ("parameters", {"top_p": 1.01}, "top_p: This has to be less than or equal to 1."),
    ("parameters", {"max_output_tokens": 15}, "max_output_tokens: This has to be greater than or equal to 16."),
    ("parameters", {"max_output_tokens": 16.5}, "max_output_tokens: This has to be a valid integer."),
    ("parameters", {"temprature": 1}, "temprature: This name is not known."),
    ("parameters", {"reasoning": {"effort": "huge"}}, "reasoning.effort: This has to be 'none'"),
    ("parameters", {"reasoning": {"budget": 1}}, "reasoning.budget: This name is not known."),
    ("parameters", {"reasoning": "high"}, "reasoning: This has to be an object."),
    ("parameters", {"text": {"verbosity": "chatty"}}, "text.verbosity: This has to be 'low', 'medium' or 'high'."),
    ("parameters", {"text": {"format": {"type": "xml"}}}, "text.format: The type has to be one of 'text'"),
    ("parameters", {"text": {"format": {"type": "json_schema"}}}, "text.format.name: This has to be given."),
    ("parameters", {"tool_choice": "maybe"}, "tool_choice: This has to be 'none', 'auto' or 'required'."),
    ("parameters", {"tool_choice": {"type": "function"}}, "tool_choice.name: This has to be given."),
    ("parameters", {"parallel_tool_calls": "yes"}, "parallel_tool_calls: This has to be a valid boolean."),
    ("parameters", {"service_tier": "gold"}, "service_tier: This has to be 'auto'"),
    ("parameters", [], "This has to be an object."),
    ("starters", ["x"] * 9, "List should have at most 8 items"),
    ("starters", ["x" * 301], "0: String should have at most 300 characters."),
    ("starters", ["  "], "0: String should have at least 1 character."),
    ("starters", "Why?", "This has to be a list."),
    ("starters", [1], "0: This has to be a text."),
    ("variables", {"a b": "x"}, "a b: String should match pattern"),
    ("variables", {"a": 1}, "a: This has to be a text."),
    ("variables", [], "This has to be an object."),
    ("input_messages", [{"role": "user", "content": "{{who}}"}], "{{who}} is not among the variables."),
    ("input_messages", [{"role": "king", "content": "x"}], "0.role: This has to be 'user'"),
    ("input_messages", [{"role": "user", "content": ""}], "0.content: String should have at least 1 character."),
    ("input_messages", [{"role": "user"}], "0.content: This has to be given."),
    ("input_messages", [{"role": "user", "content": [{"type": "input_text"}]}], "0.content.0.text: This has to be"),
    ("input_messages", [{"role": "user", "content": "x"}] * 33, "List should have at most 32 items"),
    ("input_messages", {}, "This has to be a list."),
    ("tools", [{"name": "a b"}], "0.name: String should match pattern"),
    ("tools", [{"name": "a"}, {"name": "a"}], "a stands there twice."),
    ("strategy_parameters", {"turns": 0}, "turns: This has to be greater than or equal to 1."),
    ("strategy_parameters", {"days": 3}, "days: This name is not known."),
    ("retrieval_parameters", [], "This has to be an object."),
    ("retrieval_parameters", {"filter": {"type": "like"}}, "filter: type: this has to be one of eq, "),
    (
        "retrieval_parameters",
        {"filter": {"type": "and", "filters": [{"type": "eq", "key": "a"}]}},
        "filter: filters.0.value: this has to be a text",
    ),
]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in GOOD.items() for value in values])
def test_shapes_that_are_taken(field: str, value: Any) -> None:
    assert check_shapes({field: value}) == {}


@pytest.mark.parametrize(("field", "value", "sentence"), BAD)
def test_shapes_that_are_refused_in_words(field: str, value: Any, sentence: str) -> None:
    found = check_shapes({field: value})
    assert list(found) == [field]
    assert any(said.startswith(sentence) for said in found[field]), found


def test_a_refused_draft_stays_a_draft_and_every_problem_is_named() -> None:
    found = problems(parameters={"temperature": 3, "x": 1}, starters=["x"] * 9)
    assert set(found) == {"parameters", "starters"}
    assert len(found["parameters"]) == 2
    version = AssistantVersion.objects.get()
    assert (version.published_at, version.assistant.published_version) == (None, None)


def test_the_answer_cannot_be_longer_than_the_model_gives() -> None:
    model = server_model(context_window=8000, max_output_tokens=1000)
    assert problems(model=model, parameters={"max_output_tokens": 1001})["parameters"] == [
        f"max_output_tokens: {model} gives at most 1000 tokens; 1001 are wanted."
    ]
    assert assistants.publish(version=draft(model=model, parameters={"max_output_tokens": 1000}), by=None)


def test_without_a_model_of_its_own_the_default_ones_limit_counts() -> None:
    EndpointModel.objects.filter(purpose="chat", is_default=True).update(max_output_tokens=500)
    assert "at most 500" in problems(parameters={"max_output_tokens": 501})["parameters"][0]


def test_models_have_to_be_chat_models_that_are_switched_on() -> None:
    off = switched_off(server_model())
    assert problems(model=off)["model"] == [f"{off} is switched off."]
    assert problems(utility_model=off)["model"] == [f"{off} is switched off."]
    embedder = factories.embedding_model()
    assert problems(model=embedder)["model"] == [f"{embedder} is no chat model."]


def test_fallbacks_have_to_be_others_and_switched_on() -> None:
    model, off = server_model(), switched_off(server_model())
    version = draft(model=model)
    FallbackModel.objects.create(version=version, model=model, position=1)
    FallbackModel.objects.create(version=version, model=off, position=2)
    with pytest.raises(assistants.InvalidVersionError) as caught:
        assistants.publish(version=version, by=None)
    assert caught.value.problems == {
        "fallbacks": [f"{off} is switched off.", f"{model} is the model itself and cannot stand in for it."]
    }


def test_facts_that_nobody_would_read_or_find_are_not_kept() -> None:
    for strategy in ("full", "window", "summary"):
        problems = assistants.problems_of(draft(strategy=strategy, remembers=True))
        assert list(problems) == ["remembers"]
        assert "Facts are sent only under" in problems["remembers"][0]
    hybrid = draft(strategy="hybrid", remembers=True)
    assert assistants.problems_of(hybrid) == {}
    EndpointModel.objects.filter(purpose="embedding").update(is_default=False)
    assert "Facts are found by their vectors" in assistants.problems_of(hybrid)["strategy"][0]


def test_stores_need_an_embedding_model_that_is_switched_on() -> None:
    model = switched_off(factories.embedding_model(endpoint=factories.responses_endpoint("http://127.0.0.1:9/v1")))
    version = draft()
    version.stores.add(factories.store(name="Manuals", model=model), factories.store())
    with pytest.raises(assistants.InvalidVersionError, match="switched off") as caught:
        assistants.publish(version=version, by=None)
    assert caught.value.problems == {"stores": [f"Manuals: {model} is switched off."]}
