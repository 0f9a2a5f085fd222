"""The laws of a request over arbitrary trees, from rows to the finished request, for every strategy."""

import re
import uuid
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.context.assembly import Assembled, assemble
from chat.context.materials import Materials
from chat.context.tokens import items_tokens, json_tokens, text_tokens
from chat.errors import InputTooLongError
from chat.models import Assistant, Turn
from chat.turns.job import Claimed, Job, load_job
from tests import factories
from tests.materials import SEEDS, chance_of, choice
from tests.trees import Tree, any_tree, mark, newest

pytestmark = pytest.mark.django_db

SIZES = st.sampled_from([600, 1_500, 4_000, 20_000, 200_000])
ANSWERED = ("function_call", "custom_tool_call")
MARKS = re.compile(r"\[[0-9a-f]{32}\]")


def assistant_of(chance: Random, strategy: str) -> Assistant:
    window = chance.choice([{}, {"turns": 1}, {"turns": 3}, {"turns": 8}, {"tokens": 400}])
    return factories.assistant(model=factories.chat_model(), strategy=strategy, strategy_parameters=window)


def materials_of(job: Job) -> Materials:
    """What the engine makes its first step from."""
    return Materials(
        turn=job.claimed.turn, conversation=job.claimed.conversation, user=job.claimed.user, version=job.version,
        question=job.question.payload, depth=job.depth, past=job.past, summary=job.summary,
        summarised=job.summarised, passages=(), produced=job.produced,
    )  # fmt: skip


def sent(tree: Tree, turn: Turn, size: int) -> tuple[Job, Assembled | None]:
    """What is sent for the turn to a model of this window; None where it says that it cannot."""
    user = tree.conversation.user_id
    job = load_job(Claimed(turn.pk, turn.epoch, tree.conversation.pk, user))
    try:
        return job, assemble(materials_of(job), choice=choice(size), step=0)
    except InputTooLongError:
        return job, None


def marks_in(value: object) -> list[str]:
    return MARKS.findall(str(value))


def check(tree: Tree, turn: Turn, job: Job, assembled: Assembled) -> None:
    request, manifest = assembled.request, assembled.manifest
    branch = tree.above(turn)
    counted = text_tokens(request.instructions) + items_tokens(request.input)
    assert counted + (json_tokens(request.tools) if request.tools else 0) <= assembled.ceiling
    whole_calls(request.input)

    kept = manifest["turns"]
    assert kept == [str(one.pk) for one in branch[len(branch) - len(kept) :]], "the end of the branch, in its order"
    covered = summary_reach(tree, branch, manifest)
    assert covered + len(kept) + dropped_turns(manifest) == len(branch), "every turn is accounted for"

    summary = manifest["summary"]
    place = 1 if summary else 0
    window = request.input[place : len(request.input) - len(job.produced) - 1]
    said = [found for item in window for found in marks_in(item)]
    order = {mark(part): number for number, one in enumerate(branch) for part in tree.parts(one)}
    assert set(said) <= order.keys(), "nothing of another branch"
    assert [order[found] for found in said] == sorted(order[found] for found in said), "in the order of the branch"
    question = request.input[len(request.input) - len(job.produced) - 1]
    assert question == job.question.payload, "the newest message, whole and at its place"
    assert mark(turn) in str(question)


def whole_calls(items: tuple[dict[str, Any], ...]) -> None:
    open_calls: set[tuple[str, str]] = set()
    for item in items:
        kind = str(item.get("type"))
        if kind in ANSWERED:
            open_calls.add((kind, item["call_id"]))
        elif kind.removesuffix("_output") in ANSWERED:
            open_calls.remove((kind.removesuffix("_output"), item["call_id"]))
    assert not open_calls


def summary_reach(tree: Tree, branch: list[Turn], manifest: dict[str, Any]) -> int:
    """How many turns the summary stands for that the manifest counts with; it is the furthest of the branch."""
    of_branch = [number for number, one in enumerate(branch, 1) if one.pk in tree.summaries]
    if manifest["summary"]:
        furthest = tree.summaries[branch[of_branch[-1] - 1].pk]
        assert manifest["summary"] == str(furthest.pk)
    strategy = tree.conversation.assistant.published_version.strategy  # type: ignore[union-attr]
    return of_branch[-1] if of_branch and strategy in ("summary", "hybrid") else 0


def dropped_turns(manifest: dict[str, Any]) -> int:
    return sum(entry["count"] for entry in manifest["dropped"] if entry["part"] == "window")


@pytest.mark.parametrize("strategy", ["full", "window", "summary", "hybrid"])
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS, SIZES)
def test_the_laws_hold_over_every_tree(strategy: str, seed: int, size: int) -> None:
    chance = chance_of(seed)
    tree = any_tree(chance, factories.user(), assistant_of(chance, strategy))
    turn = newest(tree, chance)
    job, assembled = sent(tree, turn, size)
    if assembled is not None:
        check(tree, turn, job, assembled)
        if strategy == "full":
            assert len(assembled.manifest["turns"]) == len(tree.above(turn))
    else:
        assert size < 20_000 or strategy == "full", "only what never yields may be too long"


def test_the_check_sees_a_turn_of_another_branch() -> None:
    """The control: what passes for a branch does not pass for another one."""
    tree = Tree(factories.conversation(factories.user(), assistant_of(chance_of(0), "full")))
    for _ in range(4):
        identity = uuid.uuid4()
        parent = tree.turns[-1] if tree.turns else None
        running: dict[str, Any] = {"status": "in_progress", "owner": uuid.uuid4(), "epoch": 1}
        last = running if len(tree.turns) == 3 else {"answer": f"[{identity.hex}] Yes."}
        made = factories.turn(tree.conversation, text=f"[{identity.hex}]?", id=identity, parent=parent, **last)
        tree.turns.append(made)
        tree.parents[made.pk] = parent
    turn = tree.turns[-1]
    job, assembled = sent(tree, turn, 200_000)
    assert assembled is not None
    check(tree, turn, job, assembled)
    tree.parents[tree.turns[2].pk] = tree.turns[0]
    with pytest.raises(AssertionError):
        check(tree, turn, job, assembled)
