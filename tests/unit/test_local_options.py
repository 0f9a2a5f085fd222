"""Settings of the machine: defaults, `.env`, and one clear sentence where one is wrong."""

import ast
import re
from pathlib import Path

import pytest

from config.environment import Env, ImproperlyConfigured
from config.local.errors import SettingError
from config.local.options import BASE_DIR, ROOT_DATA_DIR, Options, known_names, read_options


def read(folder: Path, as_root: bool = False, **environment: str) -> Options:
    (folder / ".env.example").write_text((BASE_DIR / ".env.example").read_text(encoding="utf-8"), encoding="utf-8")
    return read_options(environment, as_root=as_root, base_dir=folder)


def test_defaults_listen_on_this_machine_only(tmp_path: Path) -> None:
    options = read(tmp_path)
    assert (options.host, options.port, options.public_url) == ("127.0.0.1", 8000, "http://localhost:8000")
    assert options.data_dir == tmp_path / ".data"
    assert options.database_is_ours
    assert options.redis_is_ours


def test_root_keeps_its_data_where_another_user_can_reach_it(tmp_path: Path) -> None:
    assert read(tmp_path, as_root=True).data_dir == ROOT_DATA_DIR
    assert read(tmp_path, as_root=True, DATA_DIR="/srv/chat").data_dir == Path("/srv/chat")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nWORKER_CONCURRENCY=3\n", encoding="utf-8")
    options = read(tmp_path, PORT="9002")
    assert (options.port, options.worker_concurrency) == (9002, 3)
    assert options.environment["WORKER_CONCURRENCY"] == "3"


def test_an_empty_line_means_the_default_but_for_endpoints(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=\nREDIS_LOG_URL=\nEMBEDDING_BASE_URL=\n", encoding="utf-8")
    options = read(tmp_path)
    assert options.port == 8000
    assert "REDIS_LOG_URL" not in options.environment
    assert options.environment["EMBEDDING_BASE_URL"] == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("WEB_PROCESSES", "1.5"),
        ("WORKER_CONCURRENCY", "0"),
        ("PUBLIC_URL", "chat.example.org"),
        ("PUBLIC_URL", "ftp://chat.example.org"),
        ("DATABASE_URL", "sqlite:///db.sqlite3"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("ENV_FILE", "/nonexistent/parley.env"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_its_setting(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingError, match=rf"^{name} [^\n]+\.$"):
        read(tmp_path, **{name: value})


def test_a_password_is_never_part_of_the_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as refused:
        read(tmp_path, DATABASE_URL="mysql://parley:hunter2@db/parley")
    assert "hunter2" not in str(refused.value)


def test_an_unknown_name_in_the_file_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PUBLIC_ULR=https://a.example\nPORT=8001\n", encoding="utf-8")
    (warning,) = read(tmp_path).warnings
    assert warning == ".env sets PUBLIC_ULR, which Parley does not know. Did you mean PUBLIC_URL?"


def test_a_number_that_is_none_names_its_setting() -> None:
    class Given(Env):
        ENVIRON = {"TURN_MAX_STEPS": "many", "DEBUG": "ture", "LOUD": "yes"}

    with pytest.raises(ImproperlyConfigured, match=r"TURN_MAX_STEPS has to be a whole number; it is 'many'\."):
        Given().int("TURN_MAX_STEPS", 12)
    with pytest.raises(ImproperlyConfigured, match=r"DEBUG has to be true or false; it is 'ture'\."):
        Given().bool("DEBUG", False)
    assert Given().bool("LOUD", False) is True
    assert Given().int("ABSENT", 7) == 7


def settings_read_by_the_code() -> set[str]:
    """Names in `env.<kind>("NAME", …)` of the settings and in `given.get("NAME")` and the like of `config.local`."""
    tree = ast.parse((BASE_DIR / "config" / "settings.py").read_text(encoding="utf-8"))
    names = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    source = (BASE_DIR / "config" / "local" / "options.py").read_text(encoding="utf-8")
    return names | set(re.findall(r'given(?:\.get\(|, )"([A-Z_]+)"', source))


def test_the_example_lists_every_setting_and_no_other() -> None:
    read_by_uvicorn = {"FORWARDED_ALLOW_IPS"}
    assert settings_read_by_the_code() | read_by_uvicorn == known_names()
