"""The shapes of an assistant version's JSON fields, declared once for the form, for publishing and for imports.

`parameters` follows the request fields of the Responses API; a server that lacks one does not get it
(`chat.providers`), but a value that no server could take is refused here, by the field's name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from chat.models import AssistantVersion
from chat.selectors.toolbox import FILE_SEARCH
from core.endpoints import NoModelError, default_model
from core.models import EndpointModel
from retrieval.search import FilterError, parse_filter
from tools.registry import installed
from tools.toolbox import Entry
from tools.toolbox import problems as tool_problems

MAX_STARTERS = 8
MAX_STARTER_CHARS = 300
MAX_MESSAGES = 32
# What is sent with every turn. Citations have numbers of three digits, which so many tokens of passages do not reach.
MAX_WHOLE_TOKENS = 50_000
MAX_TOOLS = 128  # the limit that the Assistants API had

Problems = dict[str, list[str]]

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}")


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


# which form of a field was meant, so that a mistake is explained for that form only
_PLAIN, _OBJECT, _LIST = "‹plain›", "‹object›", "‹list›"


class Reasoning(_Shape):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class PlainFormat(_Shape):
    type: Literal["text", "json_object"]


class SchemaFormat(_Shape):
    type: Literal["json_schema"]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class Text(_Shape):
    verbosity: Literal["low", "medium", "high"] | None = None
    format: Annotated[PlainFormat | SchemaFormat, Field(discriminator="type")] | None = None


class FunctionChoice(_Shape):
    type: Literal["function"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag(_PLAIN)] | Annotated[FunctionChoice, Tag(_OBJECT)],
    Discriminator(lambda value: _OBJECT if isinstance(value, dict) else _PLAIN),
]


class Parameters(_Shape):
    """What a version may set on every request. Absent means the server's own default."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=16)] | None = None
    reasoning: Reasoning | None = None
    text: Text | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None


class StrategyParameters(_Shape):
    """How much of the talk so far is sent, turns and tokens at most; facts at most, and how near they have to be."""

    turns: Annotated[int, Field(ge=1, le=1000)] | None = None
    tokens: Annotated[int, Field(ge=100)] | None = None
    facts: Annotated[int, Field(ge=1, le=50)] | None = None
    floor: Annotated[float, Field(ge=0, le=1)] | None = None


def _checked_filter(data: dict[str, Any]) -> dict[str, Any]:
    try:
        parse_filter(data)
    except FilterError as error:
        why = error.message.removeprefix("filter").lstrip(".: ").removesuffix(".")
        raise PydanticCustomError("filter", "{why}", {"why": why}) from error
    return data


class RetrievalParameters(_Shape):
    """How documents are searched.

    `whole_tokens`: those that have no more together go in whole. `rewrite`: a model makes the question stand alone.
    `filter`: which of the vector stores' documents count at all (`retrieval.search.filters`).
    """

    whole_tokens: Annotated[int, Field(ge=0, le=MAX_WHOLE_TOKENS)] | None = None
    rewrite: bool | None = None
    filter: Annotated[dict[str, Any], AfterValidator(_checked_filter)] | None = None


class TextPart(_Shape):
    type: Literal["input_text", "output_text"]
    text: str


Content = Annotated[
    Annotated[str, StringConstraints(min_length=1), Tag(_PLAIN)]
    | Annotated[list[TextPart], Field(min_length=1), Tag(_LIST)],
    Discriminator(lambda value: _LIST if isinstance(value, list) else _PLAIN),
]


class Message(_Shape):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content


class Tool(_Shape):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    config: dict[str, Any] = {}
    policy: Literal["auto", "ask", "deny"] = "auto"


_VARIABLE = StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
_STARTER = StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_STARTER_CHARS)

_SHAPES: dict[str, TypeAdapter[Any]] = {
    "parameters": TypeAdapter(Parameters),
    "strategy_parameters": TypeAdapter(StrategyParameters),
    "retrieval_parameters": TypeAdapter(RetrievalParameters),
    "variables": TypeAdapter(dict[Annotated[str, _VARIABLE], Annotated[str, StringConstraints(max_length=10_000)]]),
    "input_messages": TypeAdapter(Annotated[list[Message], Field(max_length=MAX_MESSAGES)]),
    "tools": TypeAdapter(Annotated[list[Tool], Field(max_length=MAX_TOOLS)]),
    "starters": TypeAdapter(Annotated[list[Annotated[str, _STARTER]], Field(max_length=MAX_STARTERS)]),
}


def check_shapes(values: dict[str, Any]) -> Problems:
    """Return sentences per field for what is wrong with the JSON fields in `values`; empty when nothing is."""
    problems: Problems = {}
    for name, shape in _SHAPES.items():
        if name not in values:
            continue
        try:
            shape.validate_python(values[name])
        except ValidationError as error:
            problems[name] = list(dict.fromkeys(_sentence(detail) for detail in error.errors(include_url=False)))
    if not problems:
        problems |= _check_together(values)
    return problems


def check_tools(tools: Sequence[Entry], *, retrieval: str, parameters: Mapping[str, Any]) -> Problems:
    """Return sentences per field for tools that this installation cannot give; all three have their shapes already."""
    problems: Problems = {}
    if sentences := tool_problems(tools):
        problems["tools"] = sentences
    names = {tool["name"] for tool in tools}
    if retrieval == AssistantVersion.Retrieval.TOOL:
        names.add(FILE_SEARCH)
        if FILE_SEARCH not in installed():
            problems["retrieval"] = [f"{FILE_SEARCH}, which the model would search with, is not installed."]
    elif retrieval == AssistantVersion.Retrieval.OFF and FILE_SEARCH in names:
        problems.setdefault("tools", []).append(f"{FILE_SEARCH}: the documents are never searched in this version.")
    choice = parameters.get("tool_choice")
    if isinstance(choice, Mapping) and choice["name"] not in names:
        problems["parameters"] = [f"tool_choice: {choice['name']} is not among the tools."]
    return problems


def check_memory(strategy: str, *, remembers: bool) -> Problems:
    """Return sentences per field where facts would be kept and never sent, or could not be found."""
    if strategy != AssistantVersion.Strategy.HYBRID:
        unread = f"Facts are sent only under the strategy “{AssistantVersion.Strategy.HYBRID.label}”."
        return {"remembers": [unread]} if remembers else {}
    try:
        default_model(EndpointModel.Purpose.EMBEDDING)
    except NoModelError as error:
        return {"strategy": [f"Facts are found by their vectors. {error.message}"]}
    return {}


_SENTENCES = {
    "extra_forbidden": "This name is not known.",
    "missing": "This has to be given.",
    "model_type": "This has to be an object.",
    "model_attributes_type": "This has to be an object.",
    "dict_type": "This has to be an object.",
    "list_type": "This has to be a list.",
    "string_type": "This has to be a text.",
}
_TAGS = {_PLAIN, _OBJECT, _LIST, "[key]"}
_FORMATS = {"text", "json_object", "json_schema"}


def _sentence(detail: Any) -> str:
    """A pydantic error as `path: what is wrong`; the tags of unions are no part of what a person wrote."""
    before: Any = None
    path = []
    for part in detail["loc"]:
        if not (part in _TAGS or (before == "format" and part in _FORMATS)):
            path.append(str(part))
        before = part
    message = _SENTENCES.get(detail["type"]) or detail["msg"].replace("Input should be", "This has to be") + "."
    if detail["type"] == "union_tag_invalid":
        message = f"The type has to be one of {detail['ctx']['expected_tags']}."
    return f"{'.'.join(path)}: {message}" if path else message


def _check_together(values: dict[str, Any]) -> Problems:
    problems: Problems = {}
    declared = set(values.get("variables") or ())
    unknown = sorted(_placeholders(values.get("input_messages") or []) - declared)
    if unknown:
        problems["input_messages"] = [f"{{{{{name}}}}} is not among the variables." for name in unknown]
    names = [tool["name"] for tool in values.get("tools") or []]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        problems["tools"] = [f"{name} stands there twice." for name in twice]
    return problems


def _placeholders(value: Any) -> set[str]:
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_placeholders, inner))
