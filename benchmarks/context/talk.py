"""Holds one conversation: `python -m benchmarks.context.talk STRATEGY TURNS UPSTREAM_PORT`, and prints its figures.

Runs with the settings of the benchmark's own servers. Output is JSON: a row for each turn, and sums of what was asked
in the background.
"""

import asyncio
import os
import sys
import time
import uuid
from typing import Any

import django
import orjson

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db.models import Count, Sum  # noqa: E402 - models can be imported only after setup

import chat.tasks  # noqa: F401, E402 - says who does the work, as in a worker
from benchmarks.context.script import INSTRUCTIONS, PLANTED, PROBE_TURN, message  # noqa: E402
from chat.models import BackgroundCall, Conversation, Response, Summary, SummaryFailure  # noqa: E402
from core import outbox  # noqa: E402
from core.bridge import in_database  # noqa: E402
from core.models import EndpointModel  # noqa: E402
from tests import factories  # noqa: E402
from tests.chat_client import Tab, running_turns, tab_of  # noqa: E402

# Messages after which the person opens a new tab: a socket takes so many in a while only.
PER_TAB = 20
# The window that strategies have where a version sets none.
VERSION = {"retrieval": "off", "instructions": INSTRUCTIONS}


def main() -> None:
    strategy, turns, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(orjson.dumps(asyncio.run(held(strategy, turns, port))).decode())


async def held(strategy: str, turns: int, port: int) -> dict[str, Any]:
    """Hold the conversation and return its figures."""
    conversation = await in_database(_conversation, strategy, port)
    began = time.monotonic()
    async with running_turns():
        for first in range(1, turns + 1, PER_TAB):
            async with tab_of(conversation.user) as tab:
                for number in range(first, min(first + PER_TAB, turns + 1)):
                    await _asked(tab, conversation, number)
                    while await in_database(outbox.run_one):
                        pass
    seconds = time.monotonic() - began
    return {"strategy": strategy, "seconds": round(seconds, 1), **await in_database(_figures, conversation)}


def _conversation(strategy: str, port: int) -> Conversation:
    _embedder()
    person = factories.user(f"{strategy}@bench.example.org")
    endpoint = factories.responses_endpoint(f"http://127.0.0.1:{port}/v1", name=strategy)
    assistant = factories.assistant(
        owner=person,
        model=factories.chat_model(endpoint=endpoint, name="large"),
        utility_model=factories.chat_model(endpoint=endpoint, name="cheap"),
        strategy=strategy,
        remembers=strategy == "hybrid",
        **VERSION,
    )
    return factories.conversation(person, assistant)


def _embedder() -> None:
    """Facts need an embedding model: the built-in one, which all strategies share."""
    models = EndpointModel.objects.filter(purpose=EndpointModel.Purpose.EMBEDDING, is_default=True)
    if not models.exists():
        factories.embedding_model(is_default=True)


async def _asked(tab: Tab, conversation: Conversation, number: int) -> None:
    await tab.ask(message(number), conversation.id, client_id=uuid.uuid4())
    frame = await tab.until("turn.final")
    if frame["status"] != "completed":
        raise SystemExit(f"Turn {number} ended as {frame['status']}.")


def _figures(conversation: Conversation) -> dict[str, Any]:
    responses = Response.objects.filter(turn__conversation=conversation).select_related("sent", "turn")
    sums = {name: Sum(name) for name in ("input_tokens", "cached_tokens", "output_tokens")}
    asked = BackgroundCall.objects.filter(conversation=conversation)
    return {
        "turns": [_row(response) for response in responses.order_by("turn__depth", "step", "attempt")],
        "background": list(asked.order_by("purpose").values("purpose").annotate(calls=Count("pk"), **_renamed(sums))),
        "summaries": Summary.objects.filter(conversation=conversation, suspect=False).count(),
        "failed_summaries": SummaryFailure.objects.filter(conversation=conversation).count(),
    }


def _renamed(sums: dict[str, Sum]) -> dict[str, Sum]:
    return {name.removesuffix("_tokens"): one for name, one in sums.items()}


def _row(response: Response) -> dict[str, Any]:
    """What one turn sent, by the server's count; `carries` says that the planted fact stands in its bytes."""
    body = response.sent.exact_body()
    assert body is not None
    number = response.turn.depth + 1
    answer = response.turn.items.filter(role="assistant").values_list("text", flat=True).first() or ""
    return {
        "turn": number,
        "sent": response.input_tokens,
        "cached": response.cached_tokens,
        "said": response.output_tokens,
        "counted": sum(response.sent.manifest["tokens"].values()),
        "parts": response.sent.manifest["tokens"],
        "carries": PLANTED.encode() in body,
        "facts": len(response.sent.manifest["facts"]),
        **({"answered": PLANTED in answer} if number == PROBE_TURN else {}),
    }


if __name__ == "__main__":
    main()
