"""Tokens for scripts: shown once, kept as a hash, ended at once."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from core.accounts.access import MAX_TOKENS, find_access_token, make_access_token
from core.errors import InvalidInputError, LimitError
from core.models import AccessToken, User
from tests import factories

pytestmark = pytest.mark.django_db

PAGE = "/account/tokens/"
SECRET = re.compile(r"parley_[\w-]{43}")


def make(user: User, *, name: str = "backup", scope: str = "read", days: int | None = 30) -> str:
    return make_access_token(user=user, name=name, scope=scope, days=days)[1]


def test_a_token_is_shown_once_and_kept_as_a_hash(client: Client) -> None:
    person = factories.user()
    client.force_login(person)
    response = client.post(PAGE, {"name": "Nightly  sync", "scope": "write", "days": "90"})
    (secret,) = set(SECRET.findall(response.text))
    assert "no-store" in response.headers["Cache-Control"]
    row = AccessToken.objects.get()
    assert (row.user, row.name, row.scope) == (person, "Nightly sync", "write")
    assert row.expires_at is not None
    assert timedelta(days=89) < row.expires_at - timezone.now() < timedelta(days=90)
    assert secret not in str(AccessToken.objects.values())
    assert find_access_token(secret) == row
    again = client.get(PAGE).text
    assert "Nightly sync" in again
    assert not SECRET.search(again)


def test_it_ends_when_it_is_revoked(client: Client) -> None:
    person = factories.user()
    secret = make(person)
    client.force_login(person)
    client.post(f"{PAGE}{AccessToken.objects.get().pk}/revoke/")
    assert find_access_token(secret) is None
    assert not AccessToken.objects.exists()


def test_nobody_else_sees_or_revokes_it(client: Client) -> None:
    secret = make(factories.user(), name="The owner's own")
    client.force_login(factories.user())
    assert "The owner" not in client.get(PAGE).text
    address = f"{PAGE}{AccessToken.objects.get().pk}/revoke/"
    assert client.post(address, headers={"Accept": "application/json"}).status_code == 404
    assert find_access_token(secret) is not None


def test_it_dies_with_its_person_and_its_time() -> None:
    person = factories.user()
    secret, endless = make(person), make(person, days=None)
    AccessToken.objects.filter(expires_at__isnull=False).update(
        created_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert find_access_token(secret) is None
    assert find_access_token(endless) is not None
    person.is_active = False
    person.save()
    assert find_access_token(endless) is None


@pytest.mark.parametrize("wrong", ["", "parley_", "parley_" + "x" * 43, "Bearer", "sk-123"])
def test_what_is_no_token_finds_nothing(wrong: str) -> None:
    make(factories.user())
    assert find_access_token(wrong) is None


def test_its_last_use_is_noted_to_the_minute() -> None:
    secret = make(factories.user())
    find_access_token(secret)
    first = AccessToken.objects.get().last_used_at
    assert first is not None
    find_access_token(secret)
    assert AccessToken.objects.get().last_used_at == first
    AccessToken.objects.update(last_used_at=first - timedelta(minutes=2))
    find_access_token(secret)
    assert AccessToken.objects.get().last_used_at > first - timedelta(minutes=2)  # type: ignore[operator]


@pytest.mark.parametrize(
    "values", [{"name": " \0 "}, {"name": "x" * 101}, {"scope": "all"}, {"days": 0}, {"days": 10_000}]
)
def test_what_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        make(factories.user(), **values)  # type: ignore[arg-type]
    assert not AccessToken.objects.exists()


def test_their_number_is_limited() -> None:
    person = factories.user()
    for _ in range(MAX_TOKENS):
        make(person)
    with pytest.raises(LimitError, match="Revoke one first"):
        make(person)
    make(factories.user())
