"""JSON schemas in the strict form of function tools, made from pydantic models.

Strict mode (OpenAI, "Structured Outputs: supported schemas") wants every object closed and every property required,
and knows only a part of JSON Schema. What it does not know is left out here: pydantic validates it all the same.
"""

from typing import Any

from pydantic import BaseModel

_KEPT = frozenset(
    {"type", "enum", "const", "description", "pattern", "format", "multipleOf", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a model's JSON. Raises ValueError for what the strict form cannot say."""
    schema = model.model_json_schema()
    if schema.get("type") != "object":
        raise ValueError(f"{model.__name__} has to be an object.")
    definitions = schema.pop("$defs", {})
    strict = _strict(schema, model.__name__)
    if definitions:
        strict["$defs"] = {name: _strict(part, name) for name, part in definitions.items()}
    return strict


def _strict(schema: dict[str, Any], path: str) -> dict[str, Any]:
    if "$ref" in schema:
        # nothing may stand beside a reference
        return {"$ref": schema["$ref"]}
    kept = {name: value for name, value in schema.items() if name in _KEPT}
    for union in ("anyOf", "oneOf"):
        if union in schema:
            kept["anyOf"] = [_strict(part, path) for part in schema[union]]
    if "prefixItems" in schema or "allOf" in schema:
        raise ValueError(f"{path}: tuples and intersections cannot be described strictly.")
    if "items" in schema:
        kept["items"] = _strict(schema["items"], path)
    if schema.get("type") == "object":
        kept |= _closed(schema, path)
    if not kept.keys() - {"description"}:
        raise ValueError(f"{path}: a value of any type cannot be described strictly.")
    return kept


def _closed(schema: dict[str, Any], path: str) -> dict[str, Any]:
    if isinstance(schema.get("additionalProperties"), dict) or (
        schema.get("additionalProperties") is True and not schema.get("properties")
    ):
        raise ValueError(f"{path}: an object of any names cannot be described strictly; use a list of pairs.")
    properties = {name: _strict(part, f"{path}.{name}") for name, part in schema.get("properties", {}).items()}
    return {"properties": properties, "required": list(properties), "additionalProperties": False}
