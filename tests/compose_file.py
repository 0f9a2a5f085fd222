"""Reads docker-compose.yml as Docker Compose does: YAML, then variables put into its strings.

The rules are those of the Compose specification, "Interpolation" and "environment".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"

# what somebody has to set; see deploy/compose.env.example
SECRETS = {
    "POSTGRES_ADMIN_PASSWORD": "admin0secret",
    "POSTGRES_OWNER_PASSWORD": "owner0secret",
    "POSTGRES_APP_PASSWORD": "app0secret",
    "REDIS_PASSWORD": "redis0secret",
    "SECRET_KEY": "a key that is long enough for every check of it, and for tests only",
}


class MissingVariable(Exception):
    """A `${NAME:?message}` whose variable is not set."""


def read(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with `variables` put in (`SECRETS` if none are given). Raises `MissingVariable`."""
    known = SECRETS if variables is None else variables
    resolved: dict[str, Any] = _resolve(yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8")), known)
    for service in resolved["services"].values():
        given = service.get("environment", {})
        service["environment"] = {
            name: str(known[name] if value is None else value)
            for name, value in given.items()
            if value is not None or name in known
        }
    return resolved


def named_settings(service: str) -> set[str]:
    """The names in a service's `environment`, those that are only passed on included."""
    services = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))["services"]
    return set(services[service]["environment"])


def _resolve(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return interpolate(node, variables)
    if isinstance(node, dict):
        return {key: _resolve(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(value, variables) for value in node]
    return node


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in for `${NAME}`, `${NAME:-default}` and `${NAME:?message}`; `$$` is a dollar sign."""
    result, rest = "", text
    while "$" in rest:
        before, _, rest = rest.partition("$")
        result += before
        if rest.startswith("$"):
            result, rest = result + "$", rest[1:]
        elif rest.startswith("{"):
            inside, rest = _braced(rest)
            result += _value(inside, variables)
        else:
            raise ValueError(f"a lone dollar sign in {text!r}")
    return result + rest


def _braced(text: str) -> tuple[str, str]:
    depth = 0
    for index, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return text[1:index], text[index + 1 :]
    raise ValueError(f"an open brace in {text!r}")


def _value(inside: str, variables: Mapping[str, str]) -> str:
    name, separator, rest = inside.partition(":")
    value = variables.get(name, "")
    if value or not separator:
        return value
    if rest.startswith("?"):
        raise MissingVariable(f"{name}: {rest[1:]}")
    if rest.startswith("-"):
        return interpolate(rest[1:], variables)
    raise ValueError(f"unknown form: {inside!r}")
