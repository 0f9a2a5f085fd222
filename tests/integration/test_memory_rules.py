"""When a turn may read and write facts, and which facts a person has: one rule each."""

import itertools
import uuid

import pytest
from django.db.models.functions import Now

from chat.models import Assistant, AssistantVersion, Conversation, Fact, MemoryOff
from chat.selectors.memory import current_facts, remembers
from core.models import User
from tests import factories

pytestmark = pytest.mark.django_db


def version_of(assistant: Assistant) -> AssistantVersion:
    assert assistant.published_version is not None
    return assistant.published_version


@pytest.mark.parametrize(
    ("kept", "wanted", "used"), [pytest.param(*flags) for flags in itertools.product([True, False], repeat=3)]
)
def test_all_three_have_to_want_it(kept: bool, wanted: bool, used: bool) -> None:
    assistant = factories.assistant(remembers=kept)
    conversation = factories.conversation(factories.user(), assistant, uses_memory=used)
    if not wanted:
        MemoryOff.objects.create(user=conversation.user, assistant=assistant)
    may = remembers(version=version_of(assistant).pk, conversation=conversation.pk)
    assert may is (kept and wanted and used)


def test_it_is_one_persons_switch_for_one_assistant() -> None:
    assistant, other = factories.assistant(remembers=True), factories.assistant(remembers=True)
    person = factories.user()
    MemoryOff.objects.create(user=person, assistant=other)
    MemoryOff.objects.create(user=factories.user(), assistant=assistant)
    conversation = factories.conversation(person, assistant)
    assert remembers(version=version_of(assistant).pk, conversation=conversation.pk)
    assert not remembers(version=version_of(other).pk, conversation=conversation.pk), "not the conversation's assistant"


def test_what_is_deleted_or_not_there_is_not_remembered() -> None:
    assistant = factories.assistant(remembers=True)
    conversation = factories.conversation(factories.user(), assistant)
    Conversation.objects.update(deleted_at=Now())
    assert not remembers(version=version_of(assistant).pk, conversation=conversation.pk)
    assert not remembers(version=version_of(assistant).pk, conversation=uuid.uuid4())


def test_facts_are_those_of_one_person_and_one_assistant() -> None:
    assistant, person = factories.assistant(), factories.user()
    here, gone = factories.conversation(person, assistant), factories.conversation(person, assistant, deleted_at=Now())

    def fact(text: str, *, of: User = person, to: Assistant = assistant, **fields: object) -> Fact:
        return Fact.objects.create(user=of, assistant=to, text=text, **fields)

    first, second = fact("Likes tea."), fact("Is on the train.", conversation=here)
    fact("Was on the train.", conversation=gone)
    fact("Liked coffee.", superseded_by=first)
    fact("Is somebody else.", of=factories.user())
    fact("Told another assistant.", to=factories.assistant())
    assert list(current_facts(person).filter(assistant=assistant)) == [second, first]
