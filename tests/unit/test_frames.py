"""The schemas in `docs/schemas`: they are what the code says, and they and the code take and refuse the same frames."""

import json
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from pydantic import ValidationError as RefusedError

from chat.consumers import incoming
from tests.compose_file import ROOT
from tests.frames import (
    BROWSER,
    SERVER,
    FrameError,
    as_text,
    check_received,
    check_sent,
    file_of,
    generated,
    published,
    validators,
)

BOTH = [BROWSER, SERVER]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80) | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
ID = st.uuids().map(str)
REF = {"ref": st.none() | st.text(max_size=64)}
VALID = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("subscribe"), "topic": st.text(max_size=100)},
        optional={**REF, "live": st.lists(ID, max_size=5)},
    ),
    st.fixed_dictionaries({"type": st.just("unsubscribe"), "topic": st.text(max_size=100)}, optional=REF),
    st.fixed_dictionaries(
        {"type": st.just("turn.create"), "conversation": ID, "client_id": ID, "text": st.text()},
        optional={**REF, "assistant": st.none() | ID, "files": st.lists(ID, max_size=5), "parent": st.none() | ID},
    ),
    st.fixed_dictionaries({"type": st.just("turn.retry"), "turn": ID, "client_id": ID}, optional=REF),
    st.fixed_dictionaries({"type": st.just("turn.stop"), "turn": ID}, optional=REF),
    st.fixed_dictionaries({"type": st.just("ping")}, optional=REF),
)


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A valid frame with one field missing, replaced by any JSON value, or added."""
    frame = dict(draw(VALID))
    field = draw(st.sampled_from(sorted(frame)) | st.sampled_from(["ref", "live", "files", "parent", "text", "extra"]))
    if draw(st.booleans()):
        frame.pop(field, None)
    else:
        frame[field] = draw(JSON | st.sampled_from(["x" * 65, "x" * 101, [str(uuid.uuid4())] * 101]))
    return frame


def schema_takes(frame: Any) -> bool:
    known = validators(BROWSER)
    kind = frame.get("type") if isinstance(frame, dict) else None
    return isinstance(kind, str) and kind in known and known[kind].is_valid(frame)


def code_takes(frame: Any) -> bool:
    try:
        incoming.parser.validate_json(json.dumps(frame))
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize("name", BOTH)
def test_the_files_are_what_the_code_says(name: str) -> None:
    assert file_of(name).read_text() == as_text(generated()[name]), "run `make schemas`"


@pytest.mark.parametrize("name", BOTH)
def test_the_files_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(published(name))


@pytest.mark.parametrize("name", BOTH)
def test_the_page_about_the_protocol_names_every_frame_and_field(name: str) -> None:
    page = (ROOT / "docs/websocket.md").read_text()
    title = {BROWSER: "From the browser", SERVER: "From the server"}[name]
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `([a-z.]+)` \|(.*)$", section, flags=re.MULTILINE)}
    assert set(rows) == set(validators(name))
    for kind, validator in validators(name).items():
        for field in set(validator.schema["properties"]) - {"type", "ref"}:
            assert f"`{field}`" in rows[kind], f"{kind} does not explain {field}"


@given(VALID)
def test_a_frame_of_the_schema_is_taken(frame: dict[str, Any]) -> None:
    assert check_sent(json.dumps(frame)) == frame
    assert code_takes(frame)


@given(changed() | JSON)
def test_schema_and_code_refuse_the_same(frame: Any) -> None:
    assert code_takes(frame) == schema_takes(frame)


def test_the_frame_of_growing_text_is_an_array() -> None:
    frame = {"type": "turn.text", "handle": 3, "number": 9, "end": 4, "html": " more"}
    assert check_received('[3, 9, 4, " more"]') == frame
    for wrong in ("[3, 9, 4]", '[3, 9, 4, " more", 1]', '[3, 9, -4, " more"]', '[3, 9, " more", 4]'):
        with pytest.raises(ValidationError):
            check_received(wrong)
    page = (ROOT / "docs/websocket.md").read_text()
    assert "`[handle, number, end, html]`" in page


def test_a_client_that_strays_is_told() -> None:
    with pytest.raises(FrameError, match="No schema has a frame of type"):
        check_sent('{"type": "turn.creat"}')
    with pytest.raises(FrameError, match="'tpic' was unexpected"):
        check_sent('{"type": "subscribe", "topic": "feed", "tpic": "feed"}')
    with pytest.raises(FrameError, match=r"\$\.turn"):
        check_sent('{"type": "turn.stop", "turn": "this one"}')
    frame = {"type": "turn.blocks", "turn": str(uuid.uuid4()), "epoch": 1, "number": 1, "first": 0}
    with pytest.raises(FrameError, match=r"\$\.blocks\[0\]"):
        check_received(json.dumps({**frame, "blocks": [{"keep": 0, "html": "", "cut": 1}]}))
