"""What the running of calls rests on: their ids, the numbers of passages, the tokens of a turn."""

import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chat.providers.items import function_calls
from chat.turns.budget import TokenBudget
from chat.turns.call_ids import ids_of, with_own_ids
from chat.turns.numbering import Numbering
from retrieval.search import Passage

IDS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "call_0_0", "call_1_0", "x" * 201, "a b"]), st.integers())
ITEMS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("function_call"), "name": st.just("f")}, optional={"call_id": IDS}),
        st.just({"type": "message", "role": "assistant"}),
    ),
    max_size=6,
)


@given(st.lists(ITEMS, max_size=4))
def test_every_call_of_a_turn_has_an_id_of_its_own(steps: list[list[dict[str, Any]]]) -> None:
    produced: list[dict[str, Any]] = []
    for number, items in enumerate(steps):
        kept = with_own_ids(items, taken=ids_of(produced), step=number)
        assert [item["type"] for item in kept] == [item["type"] for item in items]
        assert with_own_ids(kept, taken=ids_of(produced), step=number) == kept, "what is good stays as it is"
        produced += kept
    ids = [call.call_id for call in function_calls(produced)]
    assert len(set(ids)) == len(ids)
    assert all(1 <= len(call_id) <= 200 for call_id in ids)


def passage(place: int) -> Passage:
    return Passage(
        chunk_id=place, document_id=uuid.UUID(int=1), revision_id=uuid.UUID(int=2), document_name="a.txt",
        text=f"text {place}", start=place, end=place + 5, page_start=None, page_end=None, heading="",
        score=1.0, dense_score=1.0, lexical_score=1.0, tokens=2,
    )  # fmt: skip


FOUND = st.lists(st.integers(0, 8), max_size=5, unique=True)


@given(st.lists(st.tuples(FOUND, st.booleans()), max_size=6))
def test_a_number_means_one_passage_and_only_what_was_shown_can_be_cited(calls: list[tuple[list[int], bool]]) -> None:
    numbering = Numbering()
    meant: dict[int, int] = {}
    shown: set[int] = set()
    for at, (places, ends_well) in enumerate(calls):
        numbers = numbering.cite(f"call {at}", [passage(place) for place in places])
        assert len(numbers) == len(places)
        for number, place in zip(numbers, places, strict=True):
            assert meant.setdefault(number, place) == place
        if ends_well:
            assert {one.number for one in numbering.show(f"call {at}")} == set(numbers)
            shown.update(numbers)
    assert [one.number for one in numbering.shown] == sorted(shown)
    assert {one.number: one.start for one in numbering.shown} == {number: meant[number] for number in shown}


def test_numbers_go_on_behind_the_passages_of_the_question() -> None:
    first = Numbering()
    first.cite("", [passage(1), passage(2)])
    numbering = Numbering(first.show(""))
    assert numbering.cite("c", [passage(7), passage(2)]) == [3, 2]
    numbering.show("c")
    assert [one.number for one in numbering.found] == [3]


@given(st.integers(1, 1000), st.lists(st.integers(0, 400), max_size=20))
def test_a_turn_is_told_to_end_before_its_tokens_are_used_up(limit: int, steps: list[int]) -> None:
    budget = TokenBudget(limit)
    for tokens in steps:
        if budget.is_used_up:
            assert budget.is_for_one_more
            break
        if tokens <= budget.next:
            assert budget.spent + tokens <= limit, "a step no longer than what was expected fits"
        budget.add(tokens)
        budget.expect(tokens // 10)
