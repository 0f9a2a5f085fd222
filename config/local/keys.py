"""The secrets of one installation: made once, kept in one file that only its owner can read."""

import dataclasses
import json
import os
import secrets
from pathlib import Path

from config.local.errors import LocalError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keys:
    """Django's secret key and the passwords of PostgreSQL's three roles."""

    secret_key: str
    postgres_admin: str
    postgres_owner: str
    postgres_app: str


def read_keys(path: Path) -> Keys:
    """Raises `LocalError` where the file is missing or not what was written."""
    try:
        return Keys(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise LocalError(f"{path} is missing: nothing has been started on this data folder yet.") from error
    except (ValueError, TypeError) as error:
        raise LocalError(f"{path} is damaged; restore it from a backup of the data folder.") from error


def keep_keys(path: Path) -> Keys:
    """The keys in the file, made on the first start."""
    if path.exists():
        path.chmod(0o600)
        return read_keys(path)
    keys = Keys(**{field.name: secrets.token_urlsafe(48) for field in dataclasses.fields(Keys)})
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(keys), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    return keys
