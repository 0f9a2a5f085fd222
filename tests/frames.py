"""The schemas of frames: as the code has them, as `docs/schemas` has them, and the check that every client makes."""

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from jsonschema import Draft202012Validator, ValidationError
from pydantic import Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from chat.consumers.incoming import Incoming
from chat.rendering.protocol import Frame, TurnText

Schema = dict[str, Any]

FOLDER = Path(__file__).resolve().parent.parent / "docs/schemas"
TEXT = "turn.text"
BROWSER, SERVER = "from-browser", "from-server"


class FrameError(AssertionError):
    """A frame is not what docs/websocket.md says."""


# From the code -------------------------------------------------------------------------------------------------


class _Terse(GenerateJsonSchema):
    """Titles would only repeat the names of the fields."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False


def generated() -> dict[str, Schema]:
    """Return the schema of each direction by its name, made from the code."""
    server = Annotated[Frame, Field(discriminator="type")]
    made = {name: _schema(name, kind) for name, kind in ((BROWSER, Incoming), (SERVER, server))}
    definition = TypeAdapter(TurnText).json_schema(schema_generator=_Terse)
    made[SERVER]["$defs"][TurnText.__name__] = definition
    made[SERVER]["oneOf"].append({"$ref": f"#/$defs/{TurnText.__name__}"})
    made[BROWSER]["description"] = "A frame that a client sends. Fields that are not named here are ignored."
    made[SERVER]["description"] = "A frame that the server sends. More types and fields may be added."
    return made


def _schema(name: str, kind: Any) -> Schema:
    schema: Schema = TypeAdapter(kind).json_schema(schema_generator=_Terse)
    # a word of OpenAPI; the constants in `type` say the same
    del schema["discriminator"]
    head = {"$schema": Draft202012Validator.META_SCHEMA["$id"], "$id": f"urn:parley:websocket:1:{name}"}
    return {**head, "title": f"Parley's WebSocket, {name.replace('-', ' the ')}", "description": "", **schema}


def as_text(schema: Schema) -> str:
    """Return a schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


# As published --------------------------------------------------------------------------------------------------


def file_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


@cache
def published(name: str) -> Schema:
    schema: Schema = json.loads(file_of(name).read_text())
    return schema


@cache
def validators(name: str, *, closed: bool = False) -> dict[str, Draft202012Validator]:
    """Return a validator for each type of frame. `closed`: fields that the schema does not name are an error."""
    definitions = {
        key: {**definition, "additionalProperties": False} if closed else definition
        for key, definition in published(name)["$defs"].items()
    }
    return {
        definition["properties"]["type"]["const"]: Draft202012Validator(
            {**definition, "$defs": definitions}, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        for definition in definitions.values()
        if "type" in definition.get("properties", {})
    }


@cache
def text_validator() -> Draft202012Validator:
    """Return the validator of the one frame that is an array."""
    return Draft202012Validator(published(SERVER)["$defs"][TurnText.__name__])


def check_received(text: str) -> dict[str, Any]:
    """Return the frame that the server sent; raises FrameError also for a field that is not published.

    The frame that is an array comes as a dictionary with the type "turn.text".
    """
    frame = json.loads(text)
    if isinstance(frame, list):
        text_validator().validate(frame)
        return {"type": TEXT, **TurnText(*frame)._asdict()}
    return _checked(text, validators(SERVER, closed=True))


def check_sent(text: str) -> dict[str, Any]:
    """Return the frame that a client is about to send; raises FrameError also for a field that nobody would read."""
    return _checked(text, validators(BROWSER, closed=True))


def _checked(text: str, known: dict[str, Draft202012Validator]) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(text)
    validator = known.get(frame["type"])
    if validator is None:
        raise FrameError(f"No schema has a frame of type {frame['type']!r}.")
    try:
        validator.validate(frame)
    except ValidationError as error:
        raise FrameError(f"{frame['type']}: {error.json_path}: {error.message[:500]}") from None
    return frame
