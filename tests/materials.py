"""Arbitrary materials of a request, drawn by hypothesis: turns of every shape, steps, passages, and small models."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson
from hypothesis import strategies as st

from chat.context.facts import LeftOut, Recall
from chat.context.materials import Materials
from chat.context.passages import NumberedPassage
from chat.models import Assistant, AssistantVersion, Summary
from chat.providers.base import Target
from chat.selectors.branches import PastTurn
from chat.selectors.memory import RecalledFact
from chat.selectors.targets import ModelChoice
from core.models import EndpointModel

Item = dict[str, Any]

# Words, scripts with more tokens than words, escapes, and what would close a quotation.
_WORDS = ["tide ", "Ebbe und Flut ", "潮が変わる", "\n\n", '{"a": "\\n"}', "</passage>", "<|end|>", "…", "🛟"]
_PARTS: list[Item] = [
    {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64," + "A" * 4_000},
    {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64," + "QUFB" * 300},
]


def text(chance: Random, most: int = 400) -> str:
    """A text of up to some `most` tokens, often much shorter."""
    return chance.choice(_WORDS) * chance.randint(0, chance.choice([3, 30, most]))


def message(role: str, said: str, **fields: Any) -> Item:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": said}], **fields}


def any_message(chance: Random, role: str) -> Item:
    item = message(role, text(chance))
    if chance.random() < 0.3:
        return {**item, "content": text(chance)}
    if role == "assistant":
        item["content"][0]["annotations"] = chance.choice([[], [{"type": "url_citation", "end_index": 9}]])
    elif chance.random() < 0.2:
        item["content"].append(chance.choice(_PARTS))
    return item


def calls(chance: Random, *, closed: bool) -> list[Item]:
    """A few calls side by side and their outputs. Where they need not be `closed`, either half may be missing."""
    asked, given = [], []
    for _ in range(chance.randint(1, 3)):
        kind = chance.choice(["function_call", "function_call", "custom_tool_call"])
        named = {"call_id": f"call_{chance.getrandbits(64)}", "name": "look_up"}
        if kind == "function_call":
            arguments = orjson.dumps({"query": text(chance, 60)}).decode()
            asked.append({"type": kind, **named, "arguments": arguments})
        else:
            asked.append({"type": kind, **named, "input": text(chance, 60)})
        found = text(chance, 2_000)
        output = chance.choice([found, [{"type": "input_text", "text": found}]])
        given.append({"type": f"{kind}_output", "call_id": named["call_id"], "output": output})
    if not closed:
        gone = chance.choice(["none", "none", "call", "output"])
        asked, given = asked[gone == "call" :], given[gone == "output" :]
    return [*asked, *given]


def answer(chance: Random, *, closed: bool) -> list[Item]:
    """What a model said: reasoning with the item it led to, calls, messages."""
    items: list[Item] = []
    for _ in range(chance.randint(0, 2)):
        if chance.random() < 0.5:
            items.append({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": text(chance, 50)})
        items += calls(chance, closed=closed)
    if chance.random() < 0.7:
        items.append(any_message(chance, "assistant"))
    if chance.random() < 0.2:
        items.append({"type": "web_search_call", "id": "ws_1", "status": "completed", "results": text(chance)})
    return items


def past_turn(chance: Random) -> PastTurn:
    items = (any_message(chance, "user"), *answer(chance, closed=False))
    return PastTurn(uuid.uuid4(), items, "question", "answer")


def passage(number: int, quoted: str, score: float = 0.0) -> NumberedPassage:
    ids = uuid.uuid4(), uuid.uuid4()
    return NumberedPassage(number, *ids, 'a "name".pdf', number, "Heading", 0, len(quoted), score or 1 / number, quoted)


def recalled(chance: Random) -> Recall:
    """Facts that were found, of any date and length."""
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=chance.randint(0, 300)) for _ in range(5)]
    facts = [RecalledFact(uuid.uuid4(), text(chance, 80), moment, chance.random()) for moment in moments]
    ranked = sorted(facts[: chance.randint(0, 5)], key=lambda fact: -fact.score)
    return Recall(tuple(ranked), chance.choice([(), (LeftOut(3, "too far from the question"),)]))


def choice(window: int, answer: int = 256, ratio: float = 1.0) -> ModelChoice:
    row = EndpointModel(
        name="small", purpose="chat", context_window=window, max_output_tokens=answer, token_ratio=ratio
    )
    return ModelChoice(row, Target(base_url="http://127.0.0.1:9", api_key="", model="small"))


def version(chance: Random, strategies: Sequence[str]) -> AssistantVersion:
    form = {"type": "json_schema", "name": "a", "schema": {"type": "object", "title": text(chance, 20)}}
    return AssistantVersion(
        assistant=Assistant(name="Pilot"),
        number=1,
        strategy=chance.choice(strategies),
        remembers=chance.random() < 0.5,
        strategy_parameters=chance.choice([{}, {"turns": 3}, {"tokens": 500}, {"turns": 2, "tokens": 200}]),
        instructions=text(chance, 60),
        input_messages=[any_message(chance, "developer") for _ in range(chance.randint(0, 1))],
        retrieval=chance.choice(["auto", "off"]),
        parameters=chance.choice([{}, {"max_output_tokens": 100}, {"text": {"format": form}}]),
    )


def any_materials(chance: Random, strategies: Sequence[str]) -> Materials:
    made = version(chance, strategies)
    past = tuple(past_turn(chance) for _ in range(chance.randint(0, 8)))
    earlier = 0 if made.strategy == "full" else chance.randint(0, 3)
    covered = chance.randint(0, earlier + len(past)) if made.strategy in ("summary", "hybrid") else 0
    reached = past[covered - earlier - 1].id if covered > earlier else uuid.uuid4()
    summary = Summary(turn_id=reached, text=f"A record. {text(chance)}") if covered else None
    tool = {"type": "function", "name": "look_up", "description": text(chance, 20), "parameters": {}}
    return Materials(
        turn=uuid.uuid4(),
        conversation=uuid.uuid4(),
        user=uuid.uuid4(),
        version=made,
        question=any_message(chance, "user"),
        depth=earlier + len(past),
        past=past,
        summary=summary,
        summarised=covered,
        passages=tuple(passage(place, text(chance, 200), chance.random()) for place in range(1, chance.randint(1, 6))),
        recall=recalled(chance) if made.strategy == "hybrid" else Recall(),
        produced=tuple(answer(chance, closed=True)) if chance.random() < 0.5 else (),
        tools=chance.choice([(), (tool,)]),
    )


# A seed is drawn and not each of some hundred choices: that takes longer than the tests, and nobody reads the outcome.
SEEDS = st.integers(0, 2**32)


def chance_of(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - no secret


def materials(seed: int, strategies: Sequence[str] = ("full", "window", "summary", "hybrid")) -> Materials:
    """Materials of a request, always the same ones for a seed but for their ids."""
    return any_materials(chance_of(seed), strategies)
