"""What has to be true of every message after a fault: stored once, answered once, ended, and shown as it is stored."""

import asyncio
import html
import json
import re
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence

from django.conf import settings

from chat.models import Citation, Item, Response, Turn
from chat.rendering.turns import html_of
from chat.selectors.shown import shown_turns
from core.bridge import in_database
from tests.chaos.browser import Browser
from tests.chaos.stage import Asked, Stage
from tests.chaos.tally import Fault, Kind
from tests.chaos.tools import STAMP
from tools.models import ToolCall

# Seconds after recovery within which every turn has to be final, and those until the last tab shows it.
FINAL_WITHIN = 60.0
SHOWN_WITHIN = 15.0
_MARKDOWN = re.compile(r"<template data-markdown>(.*?)</template>", re.DOTALL)
_TURN = re.compile(r'<parley-turn[^>]*?data-turn="([0-9a-f-]+)".*?</parley-turn>', re.DOTALL)


async def judge(
    stage: Stage, asked: Sequence[Asked], *, port: int, watchers: Sequence[Browser] = (), status: str = "completed"
) -> list[Fault]:
    """Wait for the ends of these messages, counted from now, and return what is wrong with them.

    A tab among `watchers` is asked about the turns that it had heard of; a page is got from `port`.
    """
    deadline = time.monotonic() + FINAL_WITHIN
    found = await asyncio.gather(*(_judge(stage, one, port, watchers, deadline, status) for one in asked))
    return [fault for faults in found for fault in faults]


async def _judge(
    stage: Stage, asked: Asked, port: int, watchers: Sequence[Browser], deadline: float, status: str
) -> list[Fault]:
    def fault(kind: Kind, seen: str) -> list[Fault]:
        return [Fault(kind, asked.point, seen)]

    known = {tab for tab in watchers if asked.turn and asked.turn in tab.page.blocks}
    try:
        asked.turn = await asked.tab.stored(asked.client_id, deadline - time.monotonic())
    except TimeoutError:
        return fault("unfinished", f"{asked.text} was not acknowledged")
    turn = await _final(asked, deadline)
    if turn is None:
        return fault("lost", f"{asked.text} was acknowledged and has no row")
    if not turn.is_final:
        return fault("unfinished", f"{turn} since {time.monotonic() - deadline + FINAL_WITHIN:.0f} s")
    if turn.status != status:
        return fault("differing", f"{turn}: {turn.error_code} {turn.error_message}")
    found = [*await in_database(_stored_wrongly, stage, asked), *await _shown_wrongly(stage, asked, port, known)]
    return [Fault(kind, asked.point, seen) for kind, seen in found] + await _sent_again(stage, asked)


async def _shown_wrongly(stage: Stage, asked: Asked, port: int, known: set[Browser]) -> list[tuple[Kind, str]]:
    """Whatever a tab or the whole page shows otherwise than it is stored."""
    found: list[tuple[Kind, str]] = []
    pages = [await _page(port, stage.session, asked.conversation, asked.turn)]
    for tab in {asked.tab} | known:
        try:
            pages.append((await tab.final(asked.turn, SHOWN_WITHIN))["html"])
        except TimeoutError:
            found.append(("differing", f"a tab still shows {asked.turn} as running"))
    shown = await in_database(_html_of, uuid.UUID(asked.turn))
    text = await in_database(_text_of, asked.turn)
    for page in pages:
        if page.strip() != shown.strip():
            found.append(("differing", f"shown and stored {_difference(page, shown)}"))
        elif text.encode() != _markdown_of(page).encode():
            found.append(("differing", f"text shown and stored {_difference(_markdown_of(page), text)}"))
    return found


def _html_of(turn: uuid.UUID) -> str:
    return html_of(shown_turns([turn])[0])


def _text_of(turn: str) -> str:
    answers = Item.objects.filter(turn_id=uuid.UUID(turn), role=Item.Role.ASSISTANT).order_by("position")
    return "\n\n".join(answers.values_list("text", flat=True))


def _difference(one: str, other: str) -> str:
    """Both texts from a little before where they part."""
    pairs = enumerate(zip(one, other, strict=False))
    at = next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
    return f"from {at}: {one[max(0, at - 20) : at + 200]!r}, {other[max(0, at - 20) : at + 200]!r}"


async def _final(asked: Asked, deadline: float) -> Turn | None:
    """The turn when it is final, or when the time is over."""
    while True:
        turn = await in_database(Turn.objects.filter(client_id=asked.client_id).first)
        if turn is None or turn.is_final or time.monotonic() > deadline:
            return turn
        await asyncio.sleep(0.05)


def _stored_wrongly(stage: Stage, asked: Asked) -> list[tuple[Kind, str]]:
    """Whatever the rows of a finished turn should not say."""
    found: list[tuple[Kind, str]] = []
    turns = list(Turn.objects.filter(client_id=asked.client_id))
    if len(turns) != 1 or str(turns[0].id) != asked.turn:
        found.append(("doubled", f"turns {turns}, acknowledged {asked.turn}"))
    items = list(Item.objects.filter(turn__in=turns).order_by("position"))
    kinds = [(item.role or item.type, item.call_id, item.text) for item in items]
    if len(kinds) != len(set(kinds)):
        found.append(("doubled", f"items {kinds}"))
    if [item.text for item in items if item.role == Item.Role.USER] != [asked.text]:
        found.append(("lost", f"messages {[item.text for item in items]}, sent {asked.text}"))
    said = [item.text for item in items if item.role == Item.Role.ASSISTANT]
    outputs = [str(item.payload["output"]) for item in items if item.type == "function_call_output"]
    if said != (answer := stage.answer(asked, outputs)):
        found.append(("differing", f"stored and said {_difference(repr(said), repr(answer))}"))
    if asked.point in stage.tools:
        found += _called_wrongly(stage, asked, items)
    kept = list(Response.objects.filter(turn__in=turns, status="completed").values_list("step", flat=True))
    if len(kept) != len(set(kept)):
        found.append(("doubled", f"completed responses of the steps {kept}"))
    if Response.objects.filter(turn__in=turns, status__in=["queued", "in_progress"]).exists():
        found.append(("unfinished", f"a response of {turns} is not final"))
    cited = list(Citation.objects.filter(item__turn__in=turns).values_list("number", flat=True))
    if cited != ([1] if "[1]" in "".join(answer) else []):
        found.append(
            ("doubled" if len(cited) > 1 else "differing", f"citations {cited} of {len(turns[0].passages)} passages")
        )
    return found


def _called_wrongly(stage: Stage, asked: Asked, items: Sequence[Item]) -> Iterator[tuple[Kind, str]]:
    """One call, one output that agrees with the audit, and no tool run twice that must not be."""
    kinds = [item.type for item in items]
    calls = list(ToolCall.objects.filter(turn=asked.turn))
    runs = stage.workshop.runs[asked.text] if stage.workshop else []
    if kinds.count("function_call") != 1 or kinds.count("function_call_output") != 1 or len(calls) != 1:
        yield "doubled", f"items {kinds}, calls {calls}"
        return
    if stage.tools[asked.point] == STAMP.name and len(runs) != 1:
        yield "doubled", f"{calls[0]}, run {len(runs)} times"
    if len({run.key for run in runs}) != 1:
        yield "doubled", f"runs under the keys {[run.key for run in runs]}"
    output = next(str(item.payload["output"]) for item in items if item.type == "function_call_output")
    done = output == json.dumps({"said": f"done: {asked.text}"}, ensure_ascii=False, separators=(",", ":"))
    if not calls[0].finished_at or output != (calls[0].result or {}).get("output"):
        yield "differing", f"{calls[0]}: {calls[0].result}, the model was told {output}"
    if done != (calls[0].status == ToolCall.Status.SUCCEEDED):
        yield "differing", f"{calls[0]}, the model was told {output}"


async def _page(port: int, session: str, conversation: uuid.UUID, turn: str) -> str:
    """The turn as the whole page of its conversation shows it."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/c/{conversation}/?turn={turn}",
        headers={"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"},
    )

    def get() -> str:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - an address of our own making
            return str(answer.read().decode())

    page = await asyncio.to_thread(get)
    return next((found.group() for found in _TURN.finditer(page) if found.group(1) == turn), "")


def _markdown_of(turn: str) -> str:
    """The text of the answer that a shown turn carries along for copying."""
    found = _MARKDOWN.search(turn)
    return html.unescape(found.group(1)) if found else ""


async def _sent_again(stage: Stage, asked: Asked) -> list[Fault]:
    """A message that is sent once more stays the same turn."""
    tab, again = asked.tab, len(asked.tab.frames)
    await tab.post_again(asked.client_id, asked.text, asked.conversation, stage.assistant.id)
    await tab.until(lambda: tab.acknowledged(asked.client_id, again))
    turn = str(tab.page.created[asked.client_id]["turn"])
    return [] if turn == asked.turn else [Fault("doubled", asked.point, f"{turn} and {asked.turn}")]
