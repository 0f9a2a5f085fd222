"""What a round needs: a person with an assistant that searches, and answers that can be foretold."""

import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chat.models import Assistant
from core.models import User
from tests import factories
from tests.chaos.browser import Browser
from tests.chaos.tools import Workshop
from tests.responses_server import ResponsesServer
from tests.upstream.journal import Entry

# shares most of its words with the passage, so that it is found whatever else is asked
SUBJECT = "How many metres tall is the lighthouse at the harbour of Sømøy"
_QUESTION = re.compile(rf"{SUBJECT}, (?P<point>[a-z ,]+)\? \((?P<mark>\w+)\)")
# cited twice, so that doubled citations would be seen
_PASSAGE = "The lighthouse at the harbour of Sømøy is forty metres tall and was lit for the first time in 1871."

BEFORE_CALLING = "Let me see."


def answer_to(question: str, words: int = 60) -> str:
    """What the upstream says to this question, however often it is asked."""
    body = " ".join(f"*wörd{number}*" if number % 7 == 0 else f"word{number}" for number in range(words))
    return f"# {question}\n\nForty metres tall [1], 한국어 🎈👩‍🚀.\n\n{body}\n\n- one [1]\n- two\n"


@dataclass(slots=True)
class Asked:
    """A message, the tab that sent it, and what became of it."""

    point: str
    text: str
    conversation: uuid.UUID
    client_id: str
    tab: Browser
    turn: str = ""


@dataclass(slots=True)
class Stage:
    """`scripts` names, per point, how the first request for a question is answered; later ones are answered fast."""

    person: User
    assistant: Assistant
    upstream: ResponsesServer
    session: str
    scripts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # whole answers in place of the usual one, per point
    texts: Mapping[str, str] = field(default_factory=dict)
    # the tool that the model calls first, per point; its argument is the question
    tools: Mapping[str, str] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    workshop: Workshop | None = None

    def script(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        text, outputs = question_of(body), outputs_of(body)
        self.requests[text] += 1
        point = _point_of(text)
        if point in self.tools and not outputs:
            return {"calls": [{"name": self.tools[point], "arguments": {"mark": text}}], "text": BEFORE_CALLING}
        first = self.scripts.get(point, {}) if self.requests[text] == 1 else {}
        said = self.texts.get(point, answer_to(text)) + "".join(outputs)
        return {"text": said, "words": 1 + len(said) // 2000, "delay": 0.002, **first}

    def answer(self, asked: Asked, outputs: Sequence[str] = ()) -> list[str]:
        """The texts that have to be stored in the end, by step; `outputs` are what tools gave, as it is stored."""
        said = self.texts.get(asked.point, answer_to(asked.text)) + "".join(outputs)
        return [BEFORE_CALLING, said] if asked.point in self.tools else [said]

    async def ask(self, tab: Browser, point: str, conversation: uuid.UUID | None = None) -> Asked:
        """Send a message at once, without waiting for its acknowledgement."""
        text = f"{SUBJECT}, {point}? ({uuid.uuid4().hex[:8]})"
        conversation = conversation or uuid.uuid4()
        client_id = await tab.post(text, conversation, self.assistant.id)
        return Asked(point, text, conversation, client_id, tab)

    def entries(self, question: str) -> list[Entry]:
        """What the upstream was asked for this question, oldest first."""
        return [entry for entry in self.upstream.requests if question == question_of(entry.body)]

    def deltas(self, question: str) -> int:
        """Pieces that the upstream has sent of its newest answer to this question; -1 before it was asked."""
        entries = self.entries(question)
        return entries[-1].deltas if entries else -1

    def has_answered(self, question: str) -> bool:
        return any(entry.finished for entry in self.entries(question))


def question_of(body: Mapping[str, Any]) -> str:
    """Return the message that a request is about: the last one of the person."""
    said: Sequence[Mapping[str, Any]] = [item for item in body["input"] if item.get("role") == "user"]
    return str(said[-1]["content"][-1]["text"])


def outputs_of(body: Mapping[str, Any]) -> list[str]:
    """Return what tools gave for the message that a request is about."""
    last = max(place for place, item in enumerate(body["input"]) if item.get("role") == "user")
    return [str(item["output"]) for item in body["input"][last:] if item["type"] == "function_call_output"]


def _point_of(text: str) -> str:
    found = _QUESTION.fullmatch(text)
    return found["point"] if found else ""


def make_stage(upstream: ResponsesServer, workshop: Workshop | None = None) -> Stage:
    """An assistant without tools, or with those of the workshop."""
    person = factories.user()
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
    store = factories.store(owner=person)
    factories.indexed_document(store, text=_PASSAGE, name="lighthouse.txt")
    tools = workshop.entries() if workshop else []
    assistant = factories.assistant(owner=person, model=model, stores=[store], retrieval="auto", tools=tools)
    stage = Stage(person, assistant, upstream, factories.session_of(person), workshop=workshop)
    upstream.compute(stage.script)
    return stage
