"""Items of an answer in several parts, as those of one answer."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chat.providers.items import output_text
from chat.providers.joining import joined


def said(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content, **fields}


def call(name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "add", "arguments": "{}"}


def output(name: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": name, "output": "1"}


THOUGHT = {"type": "reasoning", "encrypted_content": "sealed", "summary": []}


def test_one_part_stays_as_it_is_but_for_calls_that_nobody_answered() -> None:
    items = [THOUGHT, call("a"), output("a"), said("Yes."), call("b")]
    assert joined([items]) == tuple(items[:-1])


def test_a_message_goes_on_in_the_next_part() -> None:
    first, second = said("light", id="msg_1", status="incomplete"), said("house", id="msg_2", status="completed")
    (whole,) = joined([[THOUGHT, first], [THOUGHT, second]])
    assert output_text([whole]) == "lighthouse"
    assert whole["status"] == "completed"
    assert "id" not in whole


def test_what_is_no_message_or_of_another_phase_stands_apart() -> None:
    assert joined([[said("One")], [call("a"), output("a"), said("two")]]) == (
        said("One"), call("a"), output("a"), said("two")
    )  # fmt: skip
    assert len(joined([[said("Let me see", phase="commentary")], [said("Yes", phase="final_answer")]])) == 2


def test_parts_without_a_word_change_nothing() -> None:
    assert joined([[said("One")], [], [THOUGHT], [said(" two")]]) == joined([[said("One")], [said(" two")]])
    assert joined([[], [said("One")]]) == (said("One"),)
    assert joined([]) == ()


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6))
def test_however_often_it_was_broken_off_the_text_is_the_same(pieces: list[str]) -> None:
    (whole,) = joined([[THOUGHT, said(piece)] for piece in pieces])[-1:]
    assert output_text([whole]) == "".join(pieces)
