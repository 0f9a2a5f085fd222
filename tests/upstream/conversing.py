"""A model for long conversations: it knows what stands in the request, and nothing else.

Asked for a record it keeps one, within the words that it may have: first what somebody asked to remember, then the
newest of what was stated. Asked for facts it notes what is to be remembered. Asked anything else it answers with the
sentence of the request that is nearest to the question, and goes on for as long as models do. So what was said long ago
is in an answer only if the request carried it.
"""

import re

from tests.upstream.answers import input_items, message_text, newest_question, shared_words
from tests.upstream.facts import is_about_facts, message_to_read, noted
from tests.upstream.prose import prose
from tests.upstream.script import Body, Script
from tests.upstream.summaries import is_about_summary, is_about_title, told_record, told_turns

UNKNOWN = "Nothing that I was told says that."
# Words that question and sentence must share before the one answers the other.
NEAR = 3
SENTENCES = 9

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WANTED = re.compile(r"remember that my ([^.!?\n]+)")
_WORDS_ALLOWED = re.compile(r"at most (\d+) words")
# Nothing that a person or a model said: how the request holds it.
_TAGS = re.compile(r"</?(?:summary|facts|fact|passages|passage)\b[^>]*>")


def conversing(body: Body) -> Script:
    if is_about_title(body):
        return Script(text="Work on the allotment")
    if is_about_summary(body):
        return Script(text=rolling_record(body))
    if is_about_facts(body):
        facts = _WANTED.findall(message_to_read(body))
        return noted(*({"text": f"Their {fact}.", "quote": f"my {fact}"} for fact in facts))
    return Script(text=recalled(body), words=25)


def rolling_record(body: Body) -> str:
    """The former record and what the new turns state: what was to be remembered stays, of the rest the oldest goes."""
    allowed = int(_WORDS_ALLOWED.findall(str(body.get("instructions")))[-1])
    told = "\n".join([told_record(body), *("\n".join(turn) for turn in told_turns(body))])
    every = [sentence for sentence in dict.fromkeys(_SENTENCE.split(told)) if sentence and sentence[-1] != "?"]
    wanted = {sentence for sentence in every if "remember" in sentence.casefold()}
    left = allowed - sum(len(sentence.split()) for sentence in wanted)
    for sentence in reversed(every):
        if sentence not in wanted and (left := left - len(sentence.split())) >= 0:
            wanted.add(sentence)
    return " ".join(sentence for sentence in every if sentence in wanted) or "They talked."


def recalled(body: Body) -> str:
    """The sentence of the request that has most words of the question, and prose that the question alone decides."""
    items = input_items(body)
    asked = newest_question(items)
    known = _TAGS.sub("\n", "\n".join(map(message_text, items)).replace(asked, ""))
    sentences = [sentence.strip() for sentence in _SENTENCE.split(known) if not sentence.strip().endswith("?")]
    last = _SENTENCE.split(asked)[-1]
    best = max(sentences, key=lambda sentence: shared_words(last, sentence), default="")
    found = best if shared_words(last, best) >= NEAR else UNKNOWN
    return f"{found} {prose(asked, SENTENCES)}"
