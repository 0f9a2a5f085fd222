"""What the templates read. Services and selectors fill these from rows; a template never meets a model of a turn.

Times are aware and in UTC, sizes are bytes, HTML fields are safe strings made by this package or escaped text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from django.utils.safestring import SafeString

if TYPE_CHECKING:
    # only its shape matters here: rendering itself loads no model
    from retrieval.selectors import DocumentView


@dataclass(frozen=True, slots=True)
class CitationView:
    """A citation of an answer; `number` is what stands in the brackets, `url` shows the cited passage.

    `gone` says that its file was deleted or replaced since.
    """

    id: UUID
    number: int
    document: str
    page: int | None
    quote: str
    url: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """The place of what is shown among its alternatives; `index` counts from 1, the neighbours are turns."""

    index: int = 1
    count: int = 1
    previous: UUID | None = None
    next: UUID | None = None


@dataclass(frozen=True, slots=True)
class CallView:
    """A call of a tool: `outcome` is empty where it went well, `seconds` None where it did not run to an end."""

    name: str
    outcome: str
    seconds: float | None
    arguments: str
    output: str


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn: the message of the person and the place of its answer."""

    id: UUID
    status: str
    user_html: SafeString
    """Escaped text with line breaks (`markdown.render_plain`)."""
    user_text: str
    documents: tuple[DocumentView, ...]
    answer_html: SafeString
    answer_text: str
    citations: tuple[CitationView, ...]
    failure_message: str
    """What the assistant says where no model answered, as it was written."""
    error_message: str
    can_continue: bool
    can_retry: bool
    """Whether another try promises something; asking for another answer is possible after every end."""
    model_label: str
    is_live: bool
    """Queued, in progress or waiting for a person: frames may still come."""
    messages: Switch
    """Other words for the message."""
    answers: Switch
    """Other answers to the same words."""
    created_at: datetime
    seconds: float | None
    input_tokens: int | None
    output_tokens: int | None
    calls: tuple[CallView, ...] = ()
    unseen: str = ""
    """What is to be said of pictures of the message that the model did not see."""


@dataclass(frozen=True, slots=True)
class ConversationEntry:
    """A line of the list of conversations."""

    id: UUID
    title: str
    url: str
    running: bool
    updated_at: datetime
    current: bool = False


@dataclass(frozen=True, slots=True)
class FactSourceView:
    """The message that a fact came from: how it begins, and the address of its turn."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class FactView:
    """A fact that an assistant keeps. `edited_at` says that it is in the person's own words.

    `conversation` is the title of the one that it holds in, None where it holds in all with the assistant; `source` is
    None where the message is gone.
    """

    id: UUID
    text: str
    created_at: datetime
    edited_at: datetime | None
    conversation: str | None
    source: FactSourceView | None


@dataclass(frozen=True, slots=True)
class AssistantCard:
    """An assistant to choose; `colour` is one of `COLOURS`.

    `memory` is "on" where it remembers what this person tells it, "off" where they do not want that, else empty.
    """

    id: UUID
    name: str
    description: str
    starters: tuple[str, ...]
    colour: str
    memory: Literal["on", "off", ""] = ""
    sees_pictures: bool = True
    """Whether a picture in the next message would go to its model, as far as is known."""


COLOURS = ("ink", "moss", "ochre", "clay", "plum", "slate")
