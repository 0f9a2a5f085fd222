"""Fields that encrypt at rest: keys of model servers and tools are unreadable in a database dump."""

import base64
import hashlib
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


def _cipher() -> MultiFernet:
    """Derive Fernet keys from SECRET_KEY and its fallbacks, so that rotating the key leaves secrets readable."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.blake2b(secret.encode(), person=b"parley.fields", digest_size=32).digest() for secret in secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """A text that is stored encrypted and authenticated (Fernet). Cannot be searched by value."""

    description = "Encrypted text"

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return _cipher().encrypt(value.encode()).decode() if value else value

    def from_db_value(self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper) -> str | None:
        if not value:
            return value
        try:
            return _cipher().decrypt(value.encode()).decode()
        except InvalidToken as error:
            raise ImproperlyConfigured(
                "A stored secret cannot be read with this SECRET_KEY: put the former key into SECRET_KEY_FALLBACKS."
            ) from error
