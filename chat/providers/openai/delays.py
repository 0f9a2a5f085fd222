"""How long a server asks to wait before another try, in seconds, from headers or from the words of its message."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_UNITS = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_IN_WORDS = re.compile(r"(?:try again|retry|wait)\b\D{0,20}?((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)", re.IGNORECASE)


def delay_from_headers(headers: Mapping[str, str]) -> float | None:
    """The delay of `retry-after-ms` or `retry-after`, else the reset of a limit that is used up; None without any.

    Names are lower case. `retry-after` is a number of seconds or an HTTP date; resets are durations like `6m0s`.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    after = headers.get("retry-after", "")
    seconds = _number(after)
    if seconds is None and after:
        seconds = _until(after)
    if seconds is not None:
        return seconds
    resets = [
        parse_duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if _number(headers.get(f"x-ratelimit-remaining-{kind}")) == 0
    ]
    return max((reset for reset in resets if reset), default=None)


def delay_from_text(message: str) -> float | None:
    """The delay in a sentence such as "Please try again in 11.054s." or "retry after 20 seconds"."""
    found = _IN_WORDS.search(message)
    return parse_duration(found.group(1)) if found else None


def parse_duration(text: str) -> float | None:
    """Seconds of a duration such as `1h2m3s`, `120ms`, `7.66s` or `12`; None where it is none, or not above zero."""
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip() or any(unit.lower() not in _UNITS for _, unit in parts):
        return None
    total = sum(float(number) * _UNITS[unit.lower()] for number, unit in parts)
    return total if 0 < total < math.inf else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
