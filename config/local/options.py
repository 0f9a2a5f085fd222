"""The settings that decide what runs on this machine, read from the environment and from `.env`."""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from config.environment import Env
from config.local.errors import SettingError

BASE_DIR = Path(__file__).resolve().parent.parent.parent
ROOT_DATA_DIR = Path("/var/lib/parley")

# an empty line in `.env` means the default, but for these "none, though the common setting names one"
_MAY_BE_EMPTY = ("_BASE_URL", "_API_KEY")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How this machine runs Parley. `environment` is what the children inherit (the process's and `.env`'s)."""

    data_dir: Path
    host: str
    port: int
    public_url: str
    web_processes: int
    worker_concurrency: int
    service_user: str
    database_url: str
    redis_url: str
    environment: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def database_is_ours(self) -> bool:
        return not self.database_url

    @property
    def redis_is_ours(self) -> bool:
        return not self.redis_url


def read_options(environment: Mapping[str, str], *, as_root: bool, base_dir: Path = BASE_DIR) -> Options:
    """Read the settings; `environment` wins over the file `.env` (or the one that `ENV_FILE` names).

    Raises `SettingError` with a sentence that names the setting.
    """
    given, warnings = _with_env_file(environment, base_dir)
    port = _whole(given, "PORT", 8000, 1, 65535)
    public_url = (given.get("PUBLIC_URL") or f"http://localhost:{port}").rstrip("/")
    if urlsplit(public_url).scheme not in {"http", "https"} or not urlsplit(public_url).hostname:
        raise SettingError(f"PUBLIC_URL has to be like https://chat.example.org; it is {public_url!r}.")
    redis_url = _url(given, "REDIS_URL", {"redis", "rediss", "unix"})
    if redis_url.startswith("unix:") and not given.get("CELERY_BROKER_URL"):
        raise SettingError(
            "REDIS_URL names a Unix socket, which Celery writes in another way: set CELERY_BROKER_URL too, "
            "like redis+socket:///path/to/redis.sock?virtual_host=0."
        )
    default_data = ROOT_DATA_DIR if as_root else base_dir / ".data"
    return Options(
        data_dir=Path(given.get("DATA_DIR") or default_data).expanduser().resolve(),
        host=given.get("HOST") or "127.0.0.1",
        port=port,
        public_url=public_url,
        web_processes=_whole(given, "WEB_PROCESSES", 1, 1, 64),
        worker_concurrency=_whole(given, "WORKER_CONCURRENCY", 2, 1, 256),
        service_user=given.get("SERVICE_USER") or "parley",
        database_url=_url(given, "DATABASE_URL", {"postgresql", "postgres", "pgsql", "psql"}),
        redis_url=redis_url,
        environment=given,
        warnings=tuple(warnings),
    )


def known_names(base_dir: Path = BASE_DIR) -> frozenset[str]:
    """Names of all settings, as `.env.example` lists them (a test holds that list against the code)."""
    text = (base_dir / ".env.example").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, flags=re.MULTILINE))


def _with_env_file(environment: Mapping[str, str], base_dir: Path) -> tuple[dict[str, str], list[str]]:
    path = Path(environment.get("ENV_FILE") or base_dir / ".env")
    if not path.exists():
        if environment.get("ENV_FILE"):
            raise SettingError(f"ENV_FILE names {path}, which does not exist.")
        return dict(environment), []

    class FromFile(Env):
        ENVIRON: dict[str, str] = {}

    if os.access(path, os.R_OK):
        FromFile.read_env(str(path))
    meant = {name: value for name, value in FromFile.ENVIRON.items() if value or name.endswith(_MAY_BE_EMPTY)}
    return {**meant, **environment}, _unknown(FromFile.ENVIRON, path, base_dir)


def _unknown(from_file: Mapping[str, str], path: Path, base_dir: Path) -> list[str]:
    known = known_names(base_dir)
    warnings = []
    for name in sorted(set(from_file) - known):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        hint = f" Did you mean {close[0]}?" if close else ""
        warnings.append(f"{path.name} sets {name}, which Parley does not know.{hint}")
    return warnings


def _whole(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name) or str(default)
    if not text.strip().isdecimal() or not low <= int(text) <= high:
        raise SettingError(f"{name} has to be a whole number from {low} to {high}; it is {text!r}.")
    return int(text)


def _url(given: Mapping[str, str], name: str, schemes: set[str]) -> str:
    text = given.get(name, "").strip()
    if text and urlsplit(text).scheme not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in sorted(schemes))
        raise SettingError(f"{name} has to begin with {wanted}.")
    return text
