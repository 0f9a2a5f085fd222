"""Tools by themselves: their schemas, the registry, what a version has of them, and one run of one tool."""

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tests import tools as samples
from tools.base import AnyTool, Context, Limits, NoConfig, Policy, Shape, Tool
from tools.builtin.clock import CURRENT_TIME
from tools.errors import (
    InvalidArgumentsError,
    InvalidResultError,
    ToolCrashedError,
    ToolDeniedError,
    ToolError,
    ToolFailedError,
    ToolTimeoutError,
    UnknownToolError,
)
from tools.registry import installed
from tools.running import GRACE, cut, parse_arguments, run_tool
from tools.schema import strict_schema
from tools.toolbox import open_toolbox, problems

# Schemas --------------------------------------------------------------------------------------------------------------


class Inner(Shape):
    zone: Literal["UTC", "CET"]


class Outer(Shape):
    text: str = Field(description="What.", max_length=5)
    count: int = Field(default=3, ge=1)
    inner: Inner | None = None
    others: list[Inner] = Field(default_factory=list, max_length=2)


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [one for entry in schema for one in objects(entry)]
    if not isinstance(schema, dict):
        return []
    inner = [one for entry in schema.values() for one in objects(entry)]
    return [schema, *inner] if schema.get("type") == "object" else inner


def test_a_schema_is_closed_and_everything_is_required() -> None:
    schema = strict_schema(Outer)
    assert [found["additionalProperties"] for found in objects(schema)] == [False, False]
    assert all(found["required"] == list(found["properties"]) for found in objects(schema))
    assert schema["properties"]["text"] == {"type": "string", "description": "What."}
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1}
    assert schema["properties"]["inner"] == {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]}
    assert schema["properties"]["others"] == {"type": "array", "items": {"$ref": "#/$defs/Inner"}, "maxItems": 2}


class AnyNames(Shape):
    values: dict[str, int]


class AnyValue(Shape):
    value: Any


class Pair(Shape):
    pair: tuple[int, str]


@pytest.mark.parametrize("model", [AnyNames, AnyValue, Pair])
def test_what_cannot_be_described_strictly_is_no_tool(model: type[BaseModel]) -> None:
    with pytest.raises(ValueError, match="strictly"):
        tool(arguments=model)


def test_a_tool_is_offered_in_the_flat_form() -> None:
    assert samples.ADD.definition == {
        "type": "function",
        "name": "add",
        "description": "Adds.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "The first number.", "minimum": -1000},
                "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    }


# Registry and toolbox -------------------------------------------------------------------------------------------------


async def _nothing(_arguments: Any, _context: Context) -> NoConfig:
    return NoConfig()


def tool(**values: Any) -> AnyTool:
    usual: dict[str, Any] = {"name": "t", "description": "T.", "arguments": NoConfig, "result": NoConfig}
    return Tool(**{**usual, "run": _nothing, **values})


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": ""},
        {"description": " "},
        {"limits": Limits(seconds=0)},
        {"limits": Limits(output_chars=10)},
        {"policy": Policy.ASK},
    ],
)
def test_a_tool_that_could_not_work_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tool|name"):
        tool(**wrong)


def test_the_registry_is_what_the_setting_names(settings: Any) -> None:
    assert list(installed()) == ["current_time", "file_search"]
    settings.TOOLS = ["tests.tools.ADD", "tools.builtin.clock.CURRENT_TIME"]
    assert list(installed()) == ["add", "current_time"]
    assert installed()["add"] is samples.ADD


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["tests.tools.MISSING"], "cannot be loaded"),
        (["no_such_package.TOOL"], "cannot be loaded"),
        (["nothing"], "cannot be loaded"),
        (["tests.tools.NO_TOOL"], "is no tool"),
        (["tests.tools.ADD", "tests.tools.ADD"], "two tools that are called add"),
    ],
)
def test_a_wrong_setting_is_said(settings: Any, paths: list[str], said: str) -> None:
    settings.TOOLS = paths
    with pytest.raises(ImproperlyConfigured, match=said):
        installed()


def test_a_version_offers_what_it_has_and_runs_nothing_else(settings: Any) -> None:
    settings.TOOLS = samples.PATHS
    box = open_toolbox([{"name": "add"}, {"name": "say", "policy": "deny"}, {"name": "gone"}])
    assert [offered["name"] for offered in box.definitions] == ["add"]
    assert box.allowed("add").tool is samples.ADD
    with pytest.raises(ToolDeniedError):
        box.allowed("say")
    for name in ("gone", "look", ""):
        with pytest.raises(UnknownToolError, match="There are: add"):
            box.allowed(name)


def test_a_tool_that_denies_itself_is_not_loosened_by_a_version(settings: Any) -> None:
    settings.TOOLS = samples.PATHS
    box = open_toolbox([{"name": "forbidden", "policy": "auto"}])
    assert box.definitions == ()
    with pytest.raises(ToolDeniedError):
        box.allowed("forbidden")


def test_what_cannot_be_attached_is_named() -> None:
    found = problems(
        [
            {"name": "add"},
            {"name": "current_time", "policy": "ask"},
            {"name": "current_time", "config": {"zon": "UTC"}},
            {"name": "file_search", "config": {"passages": 51}},
            {"name": "file_search"},
        ]
    )
    assert [sentence.split(" ")[0] for sentence in found] == ["add", "current_time:", "current_time:", "file_search:"]
    assert "not installed" in found[0]
    assert "Approvals" in found[1]
    assert "config.zon" in found[2]
    assert "config.passages" in found[3]


# One run --------------------------------------------------------------------------------------------------------------


def context(config: BaseModel | None = None) -> Context:
    some = uuid.uuid4()

    async def no_scope() -> Any:
        raise AssertionError("nothing is searched here")

    return Context(some, some, some, "c", "key", datetime.now(UTC), config or NoConfig(), no_scope, lambda _found: [])


async def run(of: AnyTool, raw: str, *, seconds: float = 5, config: BaseModel | None = None) -> str:
    return await run_tool(of, parse_arguments(of, raw), context(config), seconds=seconds)


async def test_arguments_in_and_a_result_out() -> None:
    assert json.loads(await run(samples.ADD, '{"a": 1, "b": 2}')) == {"sum": 3}
    assert json.loads(await run(samples.ADD, '{"a": 1}')) == {"sum": 1}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("", "a: Field required"),
        ("{", "EOF while parsing"),
        ("[]", "Input should be an object"),
        ('{"a": "one"}', "a: Input should be a valid integer"),
        ('{"a": 1, "c": 2}', "c: Extra inputs are not permitted"),
        ('{"a": -1001}', "greater than or equal to -1000"),
    ],
)
def test_wrong_arguments_are_explained_to_the_model(raw: str, said: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"Mend them and call it again\.$") as caught:
        parse_arguments(samples.ADD, raw)
    assert said in caught.value.message


@given(st.text())
def test_no_text_breaks_the_reading_of_arguments(raw: str) -> None:
    said = ""
    try:
        parse_arguments(samples.ADD, raw)
    except InvalidArgumentsError as error:
        said = error.message
    assert len(said) < 1000


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("says why", ToolFailedError),
        ("crashes", ToolCrashedError),
        ("cancels itself", ToolCrashedError),
        ("gives nonsense", InvalidResultError),
    ],
)
async def test_a_failure_of_a_tool_is_an_error_that_can_be_told(how: str, error: type[ToolError]) -> None:
    with pytest.raises(error) as caught:
        await run(samples.BREAK, json.dumps({"how": how}))
    assert "KeyError" not in caught.value.message


async def test_a_tool_has_its_time_and_no_more() -> None:
    async with asyncio.timeout(60):
        with pytest.raises(ToolTimeoutError, match=r"0\.05 s"):
            await run(tool(run=lambda _arguments, _context: asyncio.sleep(600)), "{}", seconds=0.05)


async def test_a_tool_that_does_not_let_itself_be_cancelled_holds_nobody_up() -> None:
    ends = asyncio.Event()

    async def stubborn(_arguments: Any, _context: Context) -> NoConfig:
        while not ends.is_set():
            try:
                await ends.wait()
            except asyncio.CancelledError:
                continue
        return NoConfig()

    began = time.monotonic()
    with pytest.raises(ToolTimeoutError):
        await run(tool(run=stubborn), "{}", seconds=0.05)
    assert time.monotonic() - began >= GRACE
    assert not ends.is_set(), "it was not waited for"
    ends.set()


async def test_cancelling_a_run_cancels_the_tool_at_once() -> None:
    ended: list[str] = []

    begun = asyncio.Event()

    async def tidy(_arguments: Any, _context: Context) -> NoConfig:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("tidied")
        return NoConfig()

    running = asyncio.create_task(run(tool(run=tidy), "{}", seconds=600))
    async with asyncio.timeout(60):
        await begun.wait()
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()
    assert ended == ["tidied"]


@given(st.text(), st.integers(100, 300))
def test_a_long_output_is_cut_where_one_can_see_it(text: str, limit: int) -> None:
    shown = cut(text * 10, limit)
    assert len(shown) <= limit
    assert shown == text * 10 or "[cut:" in shown


@pytest.mark.parametrize(
    ("raw", "zone"),
    [('{"zone": "Asia/Kathmandu"}', "Asia/Kathmandu"), ('{"zone": null}', "Europe/Berlin"), ("", "Europe/Berlin")],
)
async def test_the_time_is_that_of_the_zone(raw: str, zone: str) -> None:
    config = CURRENT_TIME.config.model_validate({"zone": "Europe/Berlin"})
    found = json.loads(await run(CURRENT_TIME, raw, config=config))
    told = datetime.fromisoformat(found["time"])
    assert abs((datetime.now(UTC) - told).total_seconds()) < 5
    assert found["zone"] == zone
    assert found["weekday"] == f"{told:%A}"
    assert (told.utcoffset() or datetime.now(UTC) - told).total_seconds() in {5.75 * 3600, 3600, 7200}


@pytest.mark.parametrize("zone", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "Europe", "a\x00b", "", "x" * 500])
async def test_a_zone_that_is_none_is_said(zone: str) -> None:
    if zone == "":
        assert json.loads(await run(CURRENT_TIME, json.dumps({"zone": zone}), config=NoConfig()))["zone"] == "UTC"
        return
    with pytest.raises(ToolFailedError, match="Europe/Berlin"):
        await run(CURRENT_TIME, json.dumps({"zone": zone}))
