"""A model that keeps records and makes titles as it is asked to, from what stands in the request and nothing else."""

import re

from tests.upstream.answers import input_items, message_text
from tests.upstream.script import Body, Script

_TURN = re.compile(r"<user>\n(.*?)\n</user>\n<assistant>\n(.*?)\n</assistant>", re.DOTALL)
_RECORD = re.compile(r"<record>\n(.*?)\n</record>", re.DOTALL)
_FACT = re.compile(r"[^.?!\n]*\b(?:is|are|costs?|called|remember)\b[^.?!\n]*[.!]", re.IGNORECASE)


def is_about_summary(body: Body) -> bool:
    return "keep the record" in str(body.get("instructions"))


def is_about_title(body: Body) -> bool:
    return "a title" in str(body.get("instructions"))


def told_record(body: Body) -> str:
    """The record so far, as it stands in the request; empty where there is none."""
    given = message_text(input_items(body)[-1])
    return "".join(_RECORD.findall(given)).replace("(nothing yet)", "").strip()


def told_turns(body: Body) -> list[tuple[str, str]]:
    """The new turns: what the user and what the assistant said."""
    return _TURN.findall(message_text(input_items(body)[-1]))


def truthful_record(body: Body) -> Script:
    """The former record, and every sentence of the new turns that states something; the oldest stays first."""
    stated = [fact.strip() for turn in told_turns(body) for fact in _FACT.findall("\n".join(turn))]
    return Script(text=" ".join(dict.fromkeys([told_record(body), *stated])).strip() or "They talked.")


def lying_record(body: Body) -> Script:
    """The truth, and what nobody said."""
    return Script(text=f"{truthful_record(body).text} It was settled that Ferdinand Quimby pays 987,654 euros.")
