"""Arbitrary conversations as rows: branches, edits, answers asked for again and gone on with, every end, summaries."""

import uuid
from dataclasses import dataclass, field
from random import Random
from typing import Any

from django.utils import timezone

from chat.models import Assistant, Conversation, Item, Response, Summary, Turn
from core.models import User
from tests import factories, materials

ENDS = ("completed", "completed", "completed", "incomplete", "failed", "cancelled")
CUT_SHORT = ("incomplete", "failed", "cancelled")


@dataclass
class Tree:
    """Turns in the order in which they were made, and what a test knows of them without asking the database."""

    conversation: Conversation
    turns: list[Turn] = field(default_factory=list)
    parents: dict[uuid.UUID, Turn | None] = field(default_factory=dict)
    continued: dict[uuid.UUID, Turn] = field(default_factory=dict)
    summaries: dict[uuid.UUID, Summary] = field(default_factory=dict)

    def above(self, turn: Turn) -> list[Turn]:
        """The turns that this one follows, the oldest first."""
        found: list[Turn] = []
        parent = self.parents[turn.pk]
        while parent is not None:
            found.insert(0, parent)
            parent = self.parents[parent.pk]
        return found

    def parts(self, turn: Turn) -> list[Turn]:
        """The turns that the answer of this one was made in."""
        found = [turn]
        while found[0].pk in self.continued:
            found.insert(0, self.continued[found[0].pk])
        return found


def mark(turn: Turn) -> str:
    """What every message of a turn carries."""
    return f"[{turn.pk.hex}]"


def any_tree(chance: Random, person: User, assistant: Assistant) -> Tree:
    tree = Tree(factories.conversation(person, assistant))
    for _ in range(chance.randint(0, 14)):
        _grow(tree, chance)
    for turn in chance.sample(tree.turns, k=min(len(tree.turns), chance.randint(0, 3))):
        text = f"{mark(turn)} {materials.text(chance)}"
        tree.summaries[turn.pk] = Summary.objects.create(
            conversation=tree.conversation, turn=turn, text=text, tokens=1, suspect=False
        )
    return tree


def newest(tree: Tree, chance: Random) -> Turn:
    """The turn that is being answered, by its first or by a later process."""
    values: dict[str, Any] = {"status": "in_progress", "owner": uuid.uuid4(), "epoch": chance.choice([1, 1, 2])}
    turn = _turn(tree, chance, _parent(tree, chance), values)
    if turn.epoch > 1 and chance.random() < 0.7:
        _respond(turn, materials.answer(chance, closed=True), "completed")
    return turn


def _grow(tree: Tree, chance: Random) -> None:
    ended = {"status": chance.choice(ENDS), "finished_at": timezone.now()}
    if ended["status"] == "failed":
        ended |= {"error_code": "x", "error_message": "x"}
    cut_short = [turn for turn in tree.turns if turn.status in CUT_SHORT and turn not in tree.continued.values()]
    if cut_short and chance.random() < 0.3:
        former = chance.choice(cut_short)
        _turn(tree, chance, tree.parents[former.pk], ended, continues=former)
    elif tree.turns and chance.random() < 0.1:
        withdrawn = {"status": "cancelled", "finished_at": timezone.now(), "withdrawn_at": timezone.now()}
        turn = _turn(tree, chance, _parent(tree, chance), withdrawn, answered=False)
        tree.turns.remove(turn)
    else:
        _turn(tree, chance, _parent(tree, chance), ended)


def _parent(tree: Tree, chance: Random) -> Turn | None:
    """Mostly the last turn: then the tree is a long talk with a few branches."""
    if not tree.turns or chance.random() < 0.05:
        return None
    return tree.turns[-1] if chance.random() < 0.7 else chance.choice(tree.turns)


def _turn(
    tree: Tree,
    chance: Random,
    parent: Turn | None,
    values: dict[str, Any],
    *,
    continues: Turn | None = None,
    answered: bool = True,
) -> Turn:
    identity = uuid.uuid4()
    question = f"[{identity.hex}] {materials.text(chance)}"
    turn = factories.turn(tree.conversation, text=question, parent=parent, id=identity, continues=continues, **values)
    tree.turns.append(turn)
    tree.parents[turn.pk] = parent
    if continues is not None:
        tree.continued[turn.pk] = continues
        _share_message(turn, continues)
    if answered and turn.status != "in_progress":
        items = materials.answer(chance, closed=turn.status == "completed")
        _respond(turn, items, turn.status if turn.status != "failed" else "incomplete")
    return turn


def _share_message(turn: Turn, continues: Turn) -> None:
    """Let both answer one message, as going on does."""
    own, turn.input_item = turn.input_item, continues.input_item
    turn.save()
    if own is not None:
        own.delete()


def _respond(turn: Turn, items: list[dict[str, Any]], status: str) -> None:
    response = Response.objects.create(
        turn=turn, step=0, attempt=0, epoch=1, model_name="m", idempotency_key="i", status=status
    )
    for position, payload in enumerate(items, 1):
        said = _marked(turn, payload)
        Item.objects.create(
            conversation_id=turn.conversation_id,
            turn=turn,
            response=response,
            position=position,
            type=said["type"],
            role=said.get("role", ""),
            call_id=str(said.get("call_id", "")),
            text=str(said.get("content", "")),
            payload=said,
        )


def _marked(turn: Turn, payload: dict[str, Any]) -> dict[str, Any]:
    if payload["type"] != "message":
        return payload
    content = payload["content"]
    if isinstance(content, str):
        return {**payload, "content": f"{mark(turn)} {content}"}
    return {**payload, "content": [{**content[0], "text": f"{mark(turn)} {content[0]['text']}"}, *content[1:]]}
