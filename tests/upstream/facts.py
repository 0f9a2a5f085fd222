"""A model that notes facts as it is asked to, from what stands in the request and nothing else."""

import json
import re
from typing import Any

from tests.upstream.answers import input_items, message_text
from tests.upstream.script import Body, Script

_MESSAGE = re.compile(r"<user>\n(.*?)\n</user>", re.DOTALL)
_KNOWN = re.compile(r"^(\d+)\. (.*) \(\d{4}-\d\d-\d\d\)$", re.MULTILINE)
_STATED = re.compile(r"\bI (live in|work as|like|own) ([^.,!?\n]+)")
_VERBS = {"live in": "Lives in", "work as": "Works as", "like": "Likes", "own": "Owns"}


def is_about_facts(body: Body) -> bool:
    return "You note facts" in str(body.get("instructions"))


def message_to_read(body: Body) -> str:
    """The message that facts are asked of."""
    (message,) = _MESSAGE.findall(message_text(input_items(body)[-1]))
    return str(message)


def noted(*facts: dict[str, Any]) -> Script:
    """An answer with these facts; what they leave out is always true of the person and replaces nothing."""
    return Script(text=json.dumps({"facts": [{"scope": "always", "replaces": 0, **fact} for fact in facts]}))


def careful_notes(body: Body) -> Script | None:
    """What the message states with a few verbs. Home and work are one each, so a new one replaces the known one."""
    if not is_about_facts(body):
        return None
    given, message = message_text(input_items(body)[-1]), message_to_read(body)
    known = {text: int(number) for number, text in _KNOWN.findall(given)}
    facts = []
    for verb, rest in _STATED.findall(message):
        begins = _VERBS[verb]
        older = [number for text, number in known.items() if text.startswith(begins) and verb in ("live in", "work as")]
        scope = "conversation" if "today" in rest else "always"
        fact = {"text": f"{begins} {rest}.", "quote": f"I {verb} {rest}", "scope": scope}
        facts.append({**fact, "replaces": older[0] if older else 0})
    return noted(*facts)
