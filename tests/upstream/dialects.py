"""One answer in any of the ways in which servers tell it: what is left out, reordered or written differently.

`answers` draws what is meant, `dialects` how it is told; `tests.upstream.telling` makes the bytes. A dialect may leave
out nearly anything, but never all that would say a thing: an item stands in the final list, or is finished by itself,
or is announced and comes in deltas or as a whole.
"""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Event = dict[str, Any]

ALPHABET = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(ALPHABET, min_size=1, max_size=12)
REASONS = ("max_output_tokens", "content_filter")
SEALED = "reasoning.encrypted_content"
ANNOTATIONS = (
    {"type": "url_citation", "url": "https://example.org", "title": "t", "start_index": 0, "end_index": 1},
    {"type": "file_citation", "file_id": "f", "filename": "n", "index": 1},
)
FAILURES = ("failed", "nested", "flat", "untyped", "named", "nested_and_failed")
OTHERS: tuple[Event, ...] = (
    {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "code_interpreter_call", "status": "completed", "code": "1+1", "container_id": "c", "outputs": None},
    {"type": "mcp_list_tools", "server_label": "s", "tools": []},
    {"type": "mcp_call", "name": "m", "server_label": "s", "arguments": "{}", "error": None, "output": "o"},
    {"type": "image_generation_call", "status": "completed", "result": "aGk="},
    {"type": "computer_call", "status": "completed", "call_id": "c", "action": {"type": "wait"}},
    {"type": "custom_tool_call", "call_id": "c", "name": "t", "input": "free text"},
    {"type": "acme:telemetry", "status": "completed", "load": 0.5},
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said. `items` are whole; usage is (input, cached, output, reasoning).

    `status` is completed, incomplete, failed, or cut: nothing came at the end.
    """

    items: tuple[Event, ...]
    status: str
    reason: str | None
    usage: tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server tells it; see the strategies below for the values of each field."""

    # bytes
    line_end: str
    mark: bool
    event_lines: str
    space: bool
    data_lines: bool
    ascii_only: bool
    noise: tuple[str, ...]
    done_marker: bool
    last_blank_line: bool
    # places
    sequence: str
    index: str
    ids: str
    part_from: int
    # what is said
    begun: tuple[str, ...]
    announced: bool
    parts: bool
    deltas: bool
    wholes: bool
    parts_done: bool
    items_done: bool
    listed: str
    final_ids_differ: bool
    ends_as: str
    usage: str
    repeats: bool
    nulls: bool
    annotations_told: bool
    failure: str
    interleaved: bool
    late: bool


def _message(kind: str) -> st.SearchStrategy[Event]:
    texts = st.builds(
        lambda text, annotations: {"type": "output_text", "text": text, "annotations": annotations},
        TEXTS,
        st.lists(st.sampled_from(ANNOTATIONS), max_size=2),
    )
    refusals = st.builds(lambda text: {"type": "refusal", "refusal": text}, TEXTS)
    return st.builds(
        lambda content, phase: {"type": "message", "role": "assistant", "content": content, **phase},
        st.lists(texts | refusals if kind == "mixed" else texts, min_size=1, max_size=3),
        st.sampled_from([{}, {"phase": "commentary"}, {"phase": "final_answer"}]),
    )


_REASONING = st.builds(
    lambda summary, thoughts: {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
        **({"content": [{"type": "reasoning_text", "text": thoughts}]} if thoughts else {}),
        "encrypted_content": "sealed",
    },
    st.lists(TEXTS, max_size=2),
    st.none() | TEXTS,
)
_CALLS = st.builds(
    lambda name, arguments: {"type": "function_call", "name": name, "arguments": json.dumps(arguments)},
    st.sampled_from(["find", "add", "now"]),
    st.dictionaries(st.sampled_from("abc"), st.integers() | TEXTS, max_size=2),
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    items = draw(
        st.lists(
            _message("text") | _message("mixed") | _REASONING | _CALLS | st.sampled_from(OTHERS),
            min_size=1,
            max_size=4,
        )
    )
    whole = []
    for at, item in enumerate(items):
        own = {"id": f"{item['type'][:2]}_{at}"}
        if item["type"] in ("message", "function_call"):
            own["status"] = "completed"
        if item["type"] == "function_call":
            own["call_id"] = f"call_{at}"
        whole.append({**own, **item})
    status = draw(st.sampled_from(["completed", "completed", "incomplete", "failed", "cut"]))
    counts = st.integers(0, 10**6)
    return Answer(
        items=tuple(whole),
        status=status,
        reason=draw(st.sampled_from(REASONS)) if status == "incomplete" else None,
        usage=draw(st.none() | st.tuples(counts, counts, counts, counts)) if status[:2] in ("co", "in") else None,
    )


_NOISE = (
    ": keep-alive",
    "id: 7",
    "retry: 100",
    "event: ping",
    'event: ping{nl}data: {"time":1}',
    'data: {"type":"keepalive"}',
    "data:",
    'data: {"type":"response.unheard.of","delta":"no text","output_index":0}',
)


@st.composite
def dialects(draw: st.DrawFn, *, ends_well: bool = True) -> Dialect:
    """With `ends_well` false for an answer that fails or is cut: its items are then never listed at the end."""
    listed = draw(st.sampled_from(["all", "all", "none", "null", "empty"])) if ends_well else "empty"
    items_done = draw(st.booleans())
    deltas, wholes = draw(st.booleans()), draw(st.booleans())
    announced = draw(st.booleans())
    if listed != "all" and not items_done:
        # the only source are the pieces; so they must say what they belong to, and be there
        announced, wholes = True, wholes or not deltas
    index = draw(st.sampled_from(["own", "own", "none", "constant", "text"]))
    if not announced and index in ("none", "constant"):
        # else nothing would tell where one message ends and the next one begins
        wholes = wholes or not items_done
    ids = draw(st.sampled_from(["own", "own", "none", "changing"]))
    sequence = draw(st.sampled_from(["rising", "rising", "none", "constant", "text", "float"]))
    return Dialect(
        line_end=draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])),
        mark=draw(st.booleans()),
        event_lines=draw(st.sampled_from(["both", "both", "none", "only"])),
        space=draw(st.booleans()),
        data_lines=draw(st.booleans()),
        ascii_only=draw(st.booleans()),
        noise=tuple(draw(st.lists(st.sampled_from(_NOISE), max_size=4))),
        done_marker=draw(st.booleans()),
        last_blank_line=draw(st.booleans()),
        sequence=sequence,
        index=index,
        ids=ids,
        part_from=draw(st.sampled_from([0, 0, 1])),
        begun=tuple(draw(st.lists(st.sampled_from(["created", "queued", "in_progress"]), unique=True, max_size=3))),
        announced=announced,
        parts=draw(st.booleans()),
        deltas=deltas,
        wholes=wholes,
        parts_done=draw(st.booleans()),
        items_done=items_done,
        listed=listed,
        final_ids_differ=ids != "own" and draw(st.booleans()),
        ends_as=draw(st.sampled_from(["typed", "typed", "status", "reason"])),
        usage=draw(st.sampled_from(["whole", "text", "bare", "beside"])),
        repeats=sequence == "rising" and draw(st.booleans()),
        nulls=draw(st.booleans()),
        annotations_told=draw(st.booleans()),
        failure=draw(st.sampled_from(FAILURES)),
        # several items open at once have to be told apart
        interleaved=announced and (index in ("own", "text") or ids == "own") and draw(st.booleans()),
        late=ids == "own" and draw(st.booleans()),
    )
