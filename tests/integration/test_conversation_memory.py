"""The switch of one conversation: chosen before the first message or later, and told to whoever watches it."""

import uuid
from typing import Any

import pytest

from chat.models import Assistant, Conversation
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.chat_client import Tab, tab_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def person(transactional_db: None) -> User:
    factories.embedding_model(name="hashing-512", is_default=True)
    return factories.user()


@pytest.fixture
def assistant(person: User) -> Assistant:
    return factories.assistant(owner=person, model=factories.chat_model(is_default=True), remembers=True)


async def choose(tab: Tab, conversation: uuid.UUID, *, uses: bool) -> dict[str, Any]:
    ref = uuid.uuid4().hex
    await tab.send(type="conversation.memory", conversation=conversation, uses_memory=uses, ref=ref)
    while True:
        frame = await tab.receive()
        if frame.get("ref") == ref:
            return frame


async def uses_memory(conversation: uuid.UUID) -> bool:
    return (await in_database(Conversation.objects.get, id=conversation)).uses_memory


async def test_every_tab_that_watches_is_told_and_no_other(person: User, assistant: Assistant) -> None:
    talk = await in_database(factories.conversation, person, assistant)
    other = await in_database(factories.conversation, person, assistant)
    async with tab_of(person) as tab, tab_of(person) as watching, tab_of(person) as elsewhere:
        await watching.send(type="subscribe", topic=f"conversation:{talk.id}")
        await watching.until("subscribed")
        await elsewhere.send(type="subscribe", topic=f"conversation:{other.id}")
        await elsewhere.until("subscribed")
        for uses in (False, True):
            answer = await choose(tab, talk.id, uses=uses)
            assert (answer["type"], answer["uses_memory"]) == ("conversation.memory", uses)
            told = await watching.until("conversation.memory")
            assert (told["conversation"], told["uses_memory"]) == (str(talk.id), uses)
            assert await uses_memory(talk.id) is uses
        assert "conversation.memory" not in [frame["type"] for frame in await elsewhere.answers()]
        assert await uses_memory(other.id)


async def test_a_foreign_conversation_answers_like_a_missing_one(person: User, assistant: Assistant) -> None:
    talk = await in_database(factories.conversation, person, assistant)
    outsider = await in_database(factories.superuser)
    async with tab_of(outsider) as tab:
        foreign = await choose(tab, talk.id, uses=False)
        missing = await choose(tab, uuid.uuid4(), uses=False)
    assert (foreign["type"], foreign["code"]) == ("error", "not_found")
    assert {**foreign, "ref": None} == {**missing, "ref": None}
    assert await uses_memory(talk.id)


@pytest.mark.parametrize("uses", [True, False, None])
async def test_the_first_message_brings_the_choice_along(person: User, assistant: Assistant, uses: bool | None) -> None:
    talk = uuid.uuid4()
    choice = {} if uses is None else {"uses_memory": uses}
    async with tab_of(person) as tab:
        await tab.ask("Hello?", talk, assistant=assistant.id, **choice)
        assert await uses_memory(talk) is (uses is not False)
        # later ones do not change it
        await tab.ask("And?", talk, uses_memory=uses is False)
    assert await uses_memory(talk) is (uses is not False)
