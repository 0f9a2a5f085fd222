"""Who may talk to an assistant: the compiled statement answers as the rule in the ORM does, for everybody."""

import itertools
import uuid

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from chat.models import Assistant
from chat.selectors.assistants import usable_version
from core.models import User
from tests import factories

pytestmark = pytest.mark.django_db


def people() -> list[User]:
    group = Group.objects.create(name="readers")
    member = factories.user()
    member.groups.add(group)
    return [
        factories.user(),
        member,
        factories.user(is_active=False),
        factories.user(is_superuser=True),
        factories.user(is_superuser=True, is_active=False),
    ]


def test_it_answers_as_the_rule_does() -> None:
    everybody = people()
    owner, member = everybody[0], everybody[1]
    assistants = [factories.assistant(owner=owner) for _ in range(4)]
    factories.grant(assistants[1], None)
    factories.grant(assistants[2], member.groups.get())
    Assistant.objects.filter(id=assistants[3].id).update(archived_at=timezone.now())
    answers = []
    for person, assistant in itertools.product(everybody, assistants):
        allowed = Assistant.objects.usable().visible_to(person).filter(id=assistant.id).first()
        found = usable_version(person, assistant.id)
        assert found == (allowed.published_version_id if allowed else None), (person, assistant)
        answers.append(found is not None)
    assert answers.count(True) == 3 + 2 + 0 + 3 + 0


def test_one_that_is_not_there_cannot_be_used() -> None:
    assert usable_version(factories.user(), uuid.uuid4()) is None
