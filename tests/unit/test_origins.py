"""Which pages may open a socket."""

import pytest
from pytest_django import Settings

from config.origins import is_ours


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["parley.example.org", "localhost", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://chat.example.org"]
    settings.SESSION_COOKIE_SECURE = False


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("https://parley.example.org", "parley.example.org"),
        ("https://parley.example.org", "PARLEY.example.org:443"),
        ("http://[::1]:8000", "[::1]:8000"),
        # a proxy that calls us by a name of its own
        ("https://chat.example.org", "web:8000"),
    ],
)
def test_pages_of_this_site(origin: str, host: str) -> None:
    assert is_ours(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("", "localhost"),
        ("null", "localhost"),
        ("localhost", "localhost"),
        ("file://", "localhost"),
        ("https://evil.example", "localhost"),
        ("http://localhost.evil.example", "localhost"),
        ("http://evil.example/localhost", "localhost"),
        ("http://evillocalhost", "localhost"),
        # another application on the same machine: it has the same cookies
        ("http://localhost:9000", "localhost:8000"),
        ("http://localhost", "localhost:8000"),
        ("http://localhost:8000", "localhost"),
        ("https://sub.parley.example.org", "parley.example.org"),
        ("http://chat.example.org", "web:8000"),
        # a foreign name that was made to lead here
        ("http://evil.example", "evil.example"),
        ("http://localhost:port", "localhost:8000"),
        ("http://localhost:99999", "localhost"),
        ("http://[::1", "[::1"),
        ("http://localhost", ""),
        ("http://localhost@evil.example", "localhost"),
        ("chrome-extension://localhost", "localhost"),
    ],
)
def test_all_others(origin: str, host: str) -> None:
    assert not is_ours(origin, host)


def test_behind_tls_a_plain_page_is_a_foreign_one(settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = True
    assert not is_ours("http://parley.example.org", "parley.example.org")
    assert is_ours("https://parley.example.org", "parley.example.org")
