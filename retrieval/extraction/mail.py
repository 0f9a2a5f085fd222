"""Reads e-mail (RFC 5322, MIME): who wrote to whom, when and about what, the message, and the names of attachments.

Our own reader on the standard library, so that the page of an HTML mail is read as other pages are and attachments
are named. Attachments are not read: they can be uploaded as files.
"""

import email
import email.errors
import email.header
import email.policy
from collections.abc import Iterator
from email.message import Message

from retrieval.extraction import html
from retrieval.extraction.builder import Bounds, TextBuilder, one_line
from retrieval.extraction.encoding import decode, decode_as
from retrieval.extraction.result import Extraction

EXTRACTOR = f"mail 1, {html.EXTRACTOR}"

MAX_PARTS = 1_000
# Messages within messages
MAX_DEPTH = 5

_SHOWN = ("Subject", "From", "To", "Cc", "Date")

Parts = list[tuple[Message, int]]


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    builder = TextBuilder(bounds, title=one_line(_header(message, "Subject")))
    _write(builder, message, 0)
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="This e-mail has no text of its own.")


def _write(builder: TextBuilder, message: Message, depth: int) -> None:
    builder.lines(f"{name}: {value}" for name in _SHOWN if (value := one_line(_header(message, name), 2_000)))
    names: list[str] = []
    for part in _leaves(builder, message):
        kind = part.get_content_type()
        name = _header_text(part.get_filename() or "")
        if kind == "message/rfc822" and depth < MAX_DEPTH:
            builder.block("Attached message:")
            for inner in part.get_payload():
                _write(builder, inner, depth + 1)  # type: ignore[arg-type]
        elif name or part.get_content_disposition() == "attachment" or not kind.startswith("text/"):
            names.append(one_line(name) or f"unnamed ({kind})")
        else:
            _write_body(builder, part, kind)
    if names:
        builder.block(f"Attachments: {', '.join(names)}")


def _leaves(builder: TextBuilder, message: Message) -> Iterator[Message]:
    """The parts that are no containers, of alternatives only the one that is read; those of inner messages stay in
    them.
    """
    waiting, count = [message], 0
    while waiting and count < MAX_PARTS:
        part, count = waiting.pop(), count + 1
        inner = part.get_payload()
        if part.get_content_maintype() != "multipart" or not isinstance(inner, list):
            yield part
        elif part.get_content_subtype() == "alternative":
            waiting.append(_best([each for each in inner if isinstance(each, Message)]) or part)
        else:
            waiting += [each for each in reversed(inner) if isinstance(each, Message)]
    if waiting:
        builder.warn(f"Only the first {MAX_PARTS:,} parts of this e-mail were read.")


def _best(alternatives: list[Message]) -> Message | None:
    """Plain text where there is some, otherwise what the sender held to be the best: the last."""
    for part in alternatives:
        if part.get_content_type() == "text/plain" and _text(part).strip():
            return part
    return alternatives[-1] if alternatives else None


def _write_body(builder: TextBuilder, part: Message, kind: str) -> None:
    if kind == "text/html":
        title = builder.title
        builder.title = title or "-"  # the page's own title is not the message's
        html.write(builder, _text(part))
        builder.title = title
    else:
        builder.block(_text(part).strip())
    builder.gap()


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    return decode_as(content, part.get_content_charset() or "") or decode(content)[0]


def _header(message: Message, name: str) -> str:
    """A header as text; bytes beyond ASCII, which it should not have, are read like those of a file."""
    raw = next((value for key, value in message.raw_items() if key.lower() == name.lower()), "")
    return _header_text(str(raw))


def _header_text(raw: str) -> str:
    if not raw.isascii():
        raw = decode(raw.encode(errors="surrogateescape"))[0]
    try:
        return str(email.header.make_header(email.header.decode_header(raw)))
    except (LookupError, ValueError, email.errors.MessageError):
        return raw
