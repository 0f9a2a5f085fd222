"""The admin as staff meet it: people with permissions, addresses, a draft to work on."""

from typing import Any

from django.contrib.auth.models import Permission
from django.urls import reverse

from chat.models import Assistant, AssistantVersion
from chat.services import assistants
from core.models import User
from tests import factories


def staff(*permissions: str) -> User:
    """A person who may enter the admin and has these permissions of the framework."""
    person = factories.user(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return person


def page(name: str, *arguments: Any) -> str:
    return reverse(f"admin:{name}", args=arguments)


def draft(**values: Any) -> AssistantVersion:
    version = assistants.draft_of(assistant=Assistant.objects.create(name="Tutor"))
    for name, value in values.items():
        setattr(version, name, value)
    version.save()
    return version
