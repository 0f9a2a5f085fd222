"""The manifest of a request: what went in, what did not, and why. Stored with each response that was asked for."""

from typing import Any

from chat.context.history import Offer
from chat.context.materials import Chosen, Fixed, Materials
from chat.context.tokens import item_tokens, items_tokens
from chat.selectors.targets import ModelChoice
from core.tokens import within_tokens

OVER_CEILING = "over the ceiling"


def manifest_of(
    materials: Materials, choice: ModelChoice, fixed: Fixed, offer: Offer, chosen: Chosen
) -> dict[str, Any]:
    """Return references to what goes in, tokens per part by our own count, and what does not go in and why.

    `chosen.within` and `chosen.in_window` tell turns that the strategy left out from those that the ceiling did.
    """
    return {
        "version": str(materials.version.id),
        "summary": str(offer.summary.id) if chosen.summary and offer.summary else None,
        "facts": [fact.reference() for fact in chosen.kept.facts],
        "turns": [str(turn.id) for turn in chosen.kept.turns],
        "passages": [passage.reference() for passage in chosen.kept.passages],
        **({"retrieval": materials.retrieval} if materials.retrieval else {}),
        "tools": [tool["name"] for tool in materials.tools],
        "tokens": {
            **fixed.tokens,
            "steps": items_tokens(chosen.steps),
            "summary": item_tokens(chosen.summary) if chosen.summary else 0,
            "facts": chosen.kept.fact_tokens,
            "passages": chosen.kept.passage_tokens,
            "window": chosen.kept.window_tokens,
        },
        "ceiling": fixed.ceiling,
        "limits": {
            "window": choice.row.context_window,
            "answer": fixed.parameters["max_output_tokens"],
            "ratio": choice.ratio,
        },
        "dropped": _dropped(materials, offer, chosen),
        "shortened": _shortened(materials, fixed, offer, chosen),
    }


def _dropped(materials: Materials, offer: Offer, chosen: Chosen) -> list[dict[str, Any]]:
    """What could have gone in and did not: how many, of which part, and why."""
    kept = chosen.kept
    stood_for = materials.summarised if offer.summary else 0
    counts = [
        ("window", materials.depth - stood_for - len(offer.turns), "older than the window"),
        ("window", len(offer.turns) - chosen.within, "over the window's tokens"),
        ("window", chosen.within - chosen.in_window, "so that the next requests begin alike"),
        ("window", chosen.in_window - len(kept.turns), OVER_CEILING),
        *(("facts", one.count, one.why) for one in materials.recall.left_out),
        ("facts", len(materials.recall.facts) - len(kept.facts), OVER_CEILING),
        ("passages", len(materials.passages) - len(kept.passages), OVER_CEILING),
        ("summary", int(offer.summary is not None and chosen.summary is None), OVER_CEILING),
    ]
    return [{"part": part, "count": count, "why": why} for part, count, why in counts if count]


def _shortened(materials: Materials, fixed: Fixed, offer: Offer, chosen: Chosen) -> list[dict[str, Any]]:
    """How many items of which part were sent with less than all of their text."""
    whole = {id(item) for turn in offer.turns for item in turn.items} | {id(item) for item in materials.produced}
    window = [item for turn in chosen.kept.turns for item in turn.items if id(item) not in whole]
    steps = [item for item in chosen.steps if id(item) not in whole]
    is_cut = chosen.summary and offer.summary and not within_tokens(offer.summary.text, fixed.longest)
    counts = [
        ("window", len(window), "longer than a text of an earlier turn may be"),
        ("summary", int(bool(is_cut)), "longer than a text of an earlier turn may be"),
        ("steps", len(steps), OVER_CEILING),
    ]
    return [{"part": part, "count": count, "why": why} for part, count, why in counts if count]
