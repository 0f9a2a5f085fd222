"""What the templates read. Services and selectors fill these from rows; a template never meets a model of a turn.

Times are aware and in UTC, sizes are bytes, HTML fields are safe strings made by this package or escaped text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.utils.safestring import SafeString

if TYPE_CHECKING:
    # only its shape matters here: rendering itself loads no model
    from retrieval.selectors import DocumentView


@dataclass(frozen=True, slots=True)
class CitationView:
    """A citation of an answer; `number` is what stands in the brackets, `url` shows the cited passage."""

    id: UUID
    number: int
    document: str
    page: int | None
    quote: str
    url: str


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
    reasoning_html: SafeString
    citations: tuple[CitationView, ...]
    error_message: str
    error_retryable: bool
    model_label: str
    is_live: bool
    """Queued, in progress or waiting for a person: frames may still come."""
    sibling_index: int
    """From 1."""
    sibling_count: int
    previous_sibling: UUID | None
    next_sibling: UUID | None
    created_at: datetime
    seconds: float | None
    input_tokens: int | None
    output_tokens: int | None


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
class AssistantCard:
    """An assistant to choose; `colour` is one of `COLOURS`."""

    id: UUID
    name: str
    description: str
    starters: tuple[str, ...]
    colour: str


COLOURS = ("ink", "moss", "ochre", "clay", "plum", "slate")
