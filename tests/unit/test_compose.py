"""docker-compose.yml and Dockerfile without a Docker engine: what can be said from the files alone."""

import ast
import copy
import json
import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for

from config.local.commands import beat_command, web_command, worker_command
from tests.compose_file import COMPOSE_FILE, ROOT, SECRETS, MissingVariable, interpolate, named_settings, read

APPLICATION = ("migrate", "web", "worker", "beat")
# What config.local decides for its own children, and what the compose file says in its own way.
NOT_PASSED_ON = {
    "DATABASE_OWNER_URL": "only for those that change tables",
    "DEBUG": "never in containers",
    "ENV_FILE": "Compose reads .env",
    "STATIC_ROOT": "below DATA_DIR",
    "REDIS_LOG_URL": "REDIS_URL",
    "REDIS_CHANNEL_URL": "REDIS_URL",
    "PORT": "PUBLIC_URL is made of it",
}


@pytest.fixture
def compose() -> dict[str, Any]:
    return read()


def _problems(document: dict[str, Any]) -> list[str]:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    validator = validator_for(schema)(schema)
    return [error.message for error in validator.iter_errors(document)]


def test_it_fits_the_compose_specification(compose: dict[str, Any]) -> None:
    assert _problems(compose) == []


@pytest.mark.parametrize(
    ("service", "change"),
    [
        ("web", {"comand": ["true"]}),
        ("web", {"restart": 3}),
        ("redis", {"healthcheck": {"tests": ["CMD", "true"]}}),
        ("beat", {"depends_on": {"redis": {"condition": "service_awake"}}}),
    ],
)
def test_the_specification_refuses_mistakes(compose: dict[str, Any], service: str, change: dict[str, Any]) -> None:
    broken = copy.deepcopy(compose)
    broken["services"][service] |= change
    assert _problems(broken)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_secret_has_a_default(name: str) -> None:
    with pytest.raises(MissingVariable, match=f"{name}: .*compose.env.example"):
        read({other: value for other, value in SECRETS.items() if other != name})


def test_the_example_names_every_variable_of_the_file() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE.read_text()))
    example = (ROOT / "deploy/compose.env.example").read_text()
    named = set(re.findall(r"^#? ?([A-Z_]+)=", example, flags=re.MULTILINE))
    settings = {"PORT", "HOST", "PUBLIC_URL", "WEB_PROCESSES", "WORKER_CONCURRENCY"}
    assert used == named | settings
    assert set(SECRETS) <= named


def test_interpolation() -> None:
    assert interpolate("${A}-${B:-c${A}}-$$D", {"A": "1"}) == "1-c1-$D"
    with pytest.raises(MissingVariable, match="A: why"):
        interpolate("${A:?why}", {"A": ""})


def test_the_commands_are_those_of_make_up(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["web"]["command"] == list(web_command(host="0.0.0.0", port=8000, python="python"))
    assert services["worker"]["command"] == list(worker_command(concurrency=2, python="python"))
    schedule = Path(services["beat"]["command"][-2])
    assert services["beat"]["command"] == list(beat_command(schedule=schedule, python="python"))
    # the only folder of the read-only container that can be written to
    assert str(schedule.parent) == services["beat"]["tmpfs"][0].partition(":")[0]


def test_every_setting_reaches_the_containers() -> None:
    read_by_django = _settings_read(ROOT / "config/settings.py")
    assert len(read_by_django) > 40
    assert read_by_django - named_settings("web") == set(NOT_PASSED_ON)
    assert named_settings("web") - read_by_django == {"FORWARDED_ALLOW_IPS"}  # uvicorn's own


def _settings_read(path: Path) -> set[str]:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return {
        str(call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "env"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def test_only_what_changes_tables_knows_the_owner(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        holds_it = SECRETS["POSTGRES_OWNER_PASSWORD"] in json.dumps(service)
        assert holds_it == (name in {"postgres", "migrate"}), name
        assert (SECRETS["POSTGRES_ADMIN_PASSWORD"] in json.dumps(service)) == (name == "postgres"), name


def test_containers_are_confined(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert "privileged" not in service, name
        assert name in APPLICATION or service["user"] not in {"root", "0"}, name


def test_only_web_can_be_reached_and_servers_reach_nothing(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["web"]
    assert compose["services"]["web"]["ports"][0]["host_ip"] == "127.0.0.1"
    assert compose["networks"]["inside"]["internal"] is True
    for name in ("postgres", "redis", "migrate", "beat"):
        assert compose["services"][name]["networks"] == ["inside"], name


def test_one_image_for_all_and_never_a_stranger_s(compose: dict[str, Any]) -> None:
    for name in APPLICATION:
        service = compose["services"][name]
        assert (service["image"], service["build"], service["pull_policy"]) == ("parley:local", ".", "build"), name
    assert re.fullmatch(r"pgvector/pgvector:0\.8\.\d+-pg18", compose["services"]["postgres"]["image"])


def test_what_is_mounted_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert (ROOT / source).is_file() if source.startswith("./") else source in compose["volumes"], name
            assert target.startswith("/")
        for needed in service.get("depends_on", {}):
            assert needed in compose["services"]


# The image -----------------------------------------------------------------------------------------------------


def _instructions() -> Iterator[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def test_the_image_runs_the_web_command_by_itself(compose: dict[str, Any]) -> None:
    [command] = [rest for word, rest in _instructions() if word == "CMD"]
    assert json.loads(command) == compose["services"]["web"]["command"]


def test_what_the_image_copies_exists_and_reaches_the_builder() -> None:
    admitted = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE))
    copied = set()
    for word, rest in _instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = shlex.split(rest)
            copied |= set(sources)
    assert copied == admitted
    assert [name for name in copied if not (ROOT / name).exists()] == []
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert rooms <= copied


def test_the_image_is_not_root_and_its_packages_are_locked() -> None:
    found = list(_instructions())
    assert [rest for word, rest in found if word == "USER"] == ["parley"]
    assert [word for word, _ in found].index("USER") > [word for word, _ in found].index("ENV")
    assert found[-1][0] == "CMD"
    installs = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
    assert len(installs) == 1
    assert "--require-hashes -r requirements.lock" in installs[0]


@pytest.mark.parametrize("name", ["Dockerfile", "docker-compose.yml", "requirements.lock", "requirements-dev.lock"])
def test_no_package_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"index-url|find-links|trusted-host|@ ?https?://", text)
