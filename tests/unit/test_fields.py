"""Secrets at rest: what is written comes back, nobody else reads it, and a lost key is said in words."""

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from core.fields import EncryptedTextField

FIELD = EncryptedTextField()

# what PostgreSQL keeps: no NUL; what UTF-8 can say: no lone surrogates
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def written(value: str) -> str:
    stored: str = FIELD.get_prep_value(value)
    return stored


def read(stored: str | None) -> str | None:
    return FIELD.from_db_value(stored, None, connection)


@given(texts)
@settings(max_examples=200)
def test_what_is_written_comes_back(secret: str) -> None:
    assert read(written(secret)) == secret


@given(st.text(st.characters(categories=["L", "N"]), min_size=8))
@settings(max_examples=100)
def test_what_is_stored_says_nothing_about_it(secret: str) -> None:
    first, second = written(secret), written(secret)
    assert secret not in first
    assert first != second, "equal secrets must not be seen to be equal"


@pytest.mark.parametrize("nothing", ["", None])
def test_nothing_stays_nothing(nothing: str | None) -> None:
    assert FIELD.get_prep_value(nothing) == nothing
    assert read(nothing) == nothing


def test_another_key_reads_nothing_and_says_what_to_do() -> None:
    foreign = Fernet(Fernet.generate_key()).encrypt(b"secret").decode()
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY_FALLBACKS"):
        read(foreign)


def test_a_changed_ciphertext_is_refused() -> None:
    stored = written("secret")
    spoiled = stored[:-4] + ("AAAA" if stored[-4:] != "AAAA" else "BBBB")
    with pytest.raises(ImproperlyConfigured):
        read(spoiled)


def test_a_rotated_key_leaves_secrets_readable(settings: Settings) -> None:
    stored = written("secret")
    former, settings.SECRET_KEY = settings.SECRET_KEY, "n" * 60
    with pytest.raises(ImproperlyConfigured):
        read(stored)
    settings.SECRET_KEY_FALLBACKS = [former]
    assert read(stored) == "secret"
    renewed = written("secret")
    settings.SECRET_KEY_FALLBACKS = []
    assert read(renewed) == "secret", "what is written now needs the new key only"


def test_migrations_know_it_by_name() -> None:
    name, path, arguments, options = EncryptedTextField(blank=True, default="").deconstruct()
    assert (name, path, arguments, options) == (
        None,
        "core.fields.EncryptedTextField",
        [],
        {"blank": True, "default": ""},
    )
