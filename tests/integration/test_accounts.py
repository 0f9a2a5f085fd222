"""Signing in: the link that works once, and who may not come in at all."""

import threading
from datetime import timedelta
from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from core.accounts.links import LIFETIME, find_link, make_sign_in_link, redeem_link
from core.accounts.sessions import user_of_session
from core.models import SignInLink, User
from core.models.grants import Role
from retrieval.models import VectorStore
from tests import factories

pytestmark = pytest.mark.django_db


def path(link: str) -> str:
    return urlsplit(link).path


def token(link: str) -> str:
    return path(link).rstrip("/").rpartition("/")[2]


def signed_in(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


# Links ------------------------------------------------------------------------------------------------------------


def test_a_link_signs_in_once(client: Client) -> None:
    person = factories.user()
    link = make_sign_in_link(user=person)
    assert link.startswith(django_settings.PUBLIC_URL + "/sign-in/")
    response = client.post(path(link))
    assert (response.status_code, response.headers["Location"]) == (302, "/")
    assert signed_in(client) == str(person.pk)
    person.refresh_from_db()
    assert person.last_login is not None
    again = Client().post(path(link))
    assert again.status_code == 410
    assert "does not work any more" in again.text


def test_looking_at_a_link_does_not_use_it_up(client: Client) -> None:
    """Mail scanners and link previews fetch addresses."""
    person = factories.user()
    link = make_sign_in_link(user=person)
    for _ in range(3):
        page = client.get(path(link))
        assert page.status_code == 200
        assert person.email in page.text
        assert "no-store" in page.headers["Cache-Control"]
    assert signed_in(client) is None
    client.post(path(link))
    assert signed_in(client) == str(person.pk)


def test_the_link_needs_the_pages_own_form() -> None:
    """Another site cannot sign a person in as somebody else by a form of its own."""
    link = make_sign_in_link(user=factories.user())
    assert Client(enforce_csrf_checks=True).post(path(link)).status_code == 403
    assert find_link(token(link)) is not None


def test_the_token_is_stored_nowhere() -> None:
    link = make_sign_in_link(user=factories.user())
    row = SignInLink.objects.values().get()
    assert token(link) not in str(row)


@pytest.mark.parametrize("case", ["old", "used", "inactive", "wrong"])
def test_links_that_do_not_work_all_look_the_same(client: Client, case: str) -> None:
    person = factories.user()
    link = make_sign_in_link(user=person)
    if case == "old":
        SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif case == "used":
        SignInLink.objects.update(used_at=timezone.now())
    elif case == "inactive":
        User.objects.update(is_active=False)
    else:
        link = link.replace(token(link), "x" * 43)
    for response in (client.get(path(link)), client.post(path(link))):
        assert response.status_code == 410
        assert person.email not in response.text
    assert signed_in(client) is None


def test_a_link_lives_for_its_time_and_not_longer() -> None:
    make_sign_in_link(user=factories.user())
    lives = SignInLink.objects.get().expires_at - timezone.now()
    assert LIFETIME - timedelta(minutes=1) < lives <= LIFETIME


def test_a_new_link_ends_the_earlier_ones_of_that_person_only() -> None:
    person, other = factories.user(), factories.user()
    first, foreign = make_sign_in_link(user=person), make_sign_in_link(user=other)
    second = make_sign_in_link(user=person)
    assert find_link(token(first)) is None
    assert find_link(token(second)) is not None
    assert find_link(token(foreign)) is not None


@pytest.mark.django_db(transaction=True)
def test_of_many_who_use_a_link_at_once_one_comes_in() -> None:
    link = token(make_sign_in_link(user=factories.user()))
    barrier = threading.Barrier(6)
    let_in: list[bool] = []

    def use() -> None:
        barrier.wait(60)
        try:
            let_in.append(redeem_link(link) is not None)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(let_in) == [False] * 5 + [True]


def test_a_session_that_was_there_before_does_not_become_the_persons(client: Client) -> None:
    """Session fixation: a key that somebody planted is not the key after signing in."""
    client.get("/account/login/")
    session = client.session
    session["planted"] = True
    session.save()
    before = session.session_key
    client.cookies[django_settings.SESSION_COOKIE_NAME] = before or ""
    client.post(path(make_sign_in_link(user=factories.user())))
    assert client.session.session_key != before


# Passwords and the command --------------------------------------------------------------------------------------------


def test_a_person_without_a_password_cannot_sign_in_with_one(client: Client) -> None:
    person = factories.user()
    assert authenticate(email=person.email, password="") is None
    response = client.post("/account/login/", {"login": person.email, "password": "anything-at-all"})
    assert response.status_code == 200
    assert signed_in(client) is None


def test_the_address_is_known_in_any_letter_case(client: Client) -> None:
    person = factories.user("Ada@Example.org", password="difference-engine")
    response = client.post("/account/login/", {"login": "ada@example.ORG", "password": "difference-engine"})
    assert response.status_code == 302
    assert signed_in(client) == str(person.pk)
    person.email = " ADA@EXAMPLE.ORG "
    person.save()
    assert User.objects.get_by_natural_key("Ada@example.org") == person
    assert User.objects.get().email == "ada@example.org"


def test_nobody_signs_up(client: Client) -> None:
    form = {"email": "new@example.org", "password1": "long-enough-secret", "password2": "long-enough-secret"}
    client.post("/account/signup/", form)
    assert not User.objects.exists()


def test_the_command_prints_a_fresh_link_any_time(client: Client) -> None:
    person = factories.user("ada@example.org")
    printed = []
    for _ in range(2):
        out = StringIO()
        call_command("sign_in_link", "ADA@example.org", stdout=out)
        printed.append(out.getvalue().strip())
    assert printed[0] != printed[1]
    client.post(path(printed[1]))
    assert signed_in(client) == str(person.pk)


def test_the_command_says_why_it_prints_none() -> None:
    with pytest.raises(CommandError, match="Nobody has the address"):
        call_command("sign_in_link", "nobody@example.org")
    factories.user("off@example.org", is_active=False)
    with pytest.raises(CommandError, match="switched off"):
        call_command("sign_in_link", "off@example.org")
    assert not SignInLink.objects.exists()


def test_a_user_needs_an_address() -> None:
    with pytest.raises(ValueError, match="address"):
        User.objects.create_user("")


# Sessions, as a socket asks for them ------------------------------------------------------------------------------


def test_a_session_is_asked_anew_each_time(client: Client) -> None:
    person = factories.user(password="difference-engine")
    client.force_login(person)
    key = client.session.session_key or ""
    assert user_of_session(key) == person
    person.set_password("analytical-engine")
    person.save()
    assert user_of_session(key) is None, "a new password ends the sessions of the old one"
    client.force_login(person)
    key = client.session.session_key or ""
    User.objects.update(is_active=False)
    assert user_of_session(key) is None
    User.objects.update(is_active=True)
    assert user_of_session(key) == person
    client.logout()
    assert user_of_session(key) is None
    assert user_of_session("made-up") is None


# Who sees what ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "wanted", "sees"),
    [
        (Role.READER, Role.READER, True),
        (Role.READER, Role.EDITOR, False),
        (Role.EDITOR, Role.READER, True),
        (Role.EDITOR, Role.EDITOR, True),
        (Role.EDITOR, Role.OWNER, False),
        (Role.OWNER, Role.EDITOR, True),
    ],
)
@pytest.mark.parametrize("subject", ["teammate", "team", "everyone"])
def test_a_grant_gives_its_role_and_those_below(subject: str, granted: Role, wanted: Role, sees: bool) -> None:
    if (subject, granted) == ("everyone", Role.OWNER):
        return  # the database refuses it
    people = factories.cast()
    store = factories.store(owner=people.owner)
    factories.grant(store, {"teammate": people.teammate, "team": people.team, "everyone": None}[subject], granted)
    assert (store in VectorStore.objects.visible_to(people.teammate, wanted)) is sees
    assert store in VectorStore.objects.visible_to(people.owner, Role.OWNER)
    expected = sees and subject == "everyone"
    assert (store in VectorStore.objects.visible_to(people.outsider, wanted)) is expected


def test_without_a_grant_only_the_owner_and_a_superuser_see_it() -> None:
    people = factories.cast()
    store = factories.store(owner=people.owner)
    factories.grant(factories.assistant(), people.teammate, Role.OWNER)
    for person, sees in [
        (people.owner, True),
        (people.teammate, False),
        (people.outsider, False),
        (factories.superuser(), True),
        (factories.superuser(is_active=False), False),
    ]:
        assert (store in VectorStore.objects.visible_to(person)) is sees


def test_an_inactive_owner_and_an_anonymous_visitor_see_nothing(client: Client, settings: Settings) -> None:
    owner = factories.user(is_active=False)
    factories.grant(factories.store(owner=owner), None)
    assert not VectorStore.objects.visible_to(owner).exists()
    assert settings.LOGIN_URL == "account_login"
    response = client.get("/")
    assert response.status_code == 302
    assert "/account/login/" in response.headers["Location"]


def test_the_rule_is_part_of_one_statement(django_assert_num_queries: object) -> None:
    people = factories.cast()
    store = factories.store(owner=people.owner)
    factories.grant(store, people.team)
    list(VectorStore.objects.visible_to(people.teammate))  # the content type is read once per process
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert list(VectorStore.objects.visible_to(people.teammate)) == [store]
