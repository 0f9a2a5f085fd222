"""Puts pictures into a request right before it is sent, and says which ones did not go along and why.

A server that takes none gets a note in the place of each (`chat.providers.openai.request`), and so does the place of
one that is gone or for which a request has no room. Nothing is left out unseen: the manifest names every picture.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chat.context.assembly import Assembled
from chat.errors import ProviderError
from chat.providers.items import Item
from chat.selectors.pictures import AttachedPicture
from chat.selectors.targets import ModelChoice
from retrieval.pictures import kept
from retrieval.pictures.addresses import PREFIX, data_url

# Bytes of pictures in one request, as they are kept: base64 makes a third more of them, and servers take some 50 MB.
MOST_BYTES = 24 * 1024 * 1024

TAKES_NONE = "takes_none"
REFUSED = "refused"
GONE = "gone"
NO_ROOM = "no_room"

_NOTES = {
    REFUSED: "(A picture was left out here: this model server takes none.)",
    GONE: "(A picture was left out here: it was removed.)",
    NO_ROOM: "(A picture was left out here: there was no room for it.)",
}
_ABOUT_PICTURES = re.compile(r"\b(?:image|images|image_url|input_image|multi-?modal|vision|mmproj)\b", re.IGNORECASE)


async def with_points(assembled: Assembled, choice: ModelChoice, pictures: Mapping[str, AttachedPicture]) -> Assembled:
    """The request with the pictures that it refers to, and a manifest that names them; `pictures` by reference.

    A reference that is not among them is left as it is: it is text that somebody wrote.
    """
    named = [reference for reference in _references(assembled) if reference in pictures]
    if not named:
        return assembled
    if not choice.takes_pictures:
        return _noted(assembled, named, pictures, dict.fromkeys(named, TAKES_NONE))
    chosen, why = _chosen(named, pictures)
    points = await asyncio.to_thread(_read, [pictures[reference] for reference in chosen])
    why |= {reference: GONE for reference in chosen if reference not in points}
    carried = replace(_replaced(assembled, points, why), pictures=points)
    return _noted(carried, named, pictures, why)


def without_points(assembled: Assembled, pictures: Mapping[str, AttachedPicture]) -> Assembled | None:
    """A request that was refused because of its pictures, without them; None where it has none."""
    named = [reference for reference in _references(assembled) if reference in pictures]
    if not named:
        return None
    why = dict.fromkeys(named, REFUSED)
    return _noted(_replaced(assembled, {}, why), named, pictures, why)


def are_refused(error: ProviderError, choice: ModelChoice) -> bool:
    """Whether the server seems to have refused pictures, as one may that is not known to take them."""
    is_known = choice.target.capabilities.has("input_image")
    return not is_known and bool(_ABOUT_PICTURES.search(error.upstream_message))


def _references(assembled: Assembled) -> list[str]:
    """All that the request refers to, each once, the newest last."""
    found = [
        part["image_url"]
        for item in assembled.request.input
        for part in _parts(item)
        if str(part.get("image_url", "")).startswith(PREFIX)
    ]
    return list(dict.fromkeys(reversed(found)))[::-1]


def _parts(item: Item) -> list[Item]:
    content = item.get("content")
    if item.get("role") != "user" or not isinstance(content, list):
        return []
    return [part for part in content if isinstance(part, dict) and part.get("type") == "input_image"]


def _chosen(named: list[str], pictures: Mapping[str, AttachedPicture]) -> tuple[list[str], dict[str, str]]:
    """Those that one request has room for, the newest first, and why the others are left out."""
    chosen: list[str] = []
    why: dict[str, str] = {}
    room = MOST_BYTES
    for reference in reversed(named):
        room -= pictures[reference].size
        if room < 0:
            why[reference] = NO_ROOM
        else:
            chosen.append(reference)
    return chosen, why


def _read(pictures: list[AttachedPicture]) -> dict[str, str]:
    """Data URLs by reference, of those that are still kept."""
    found = {}
    for picture in pictures:
        content = kept.read(picture.file, kept.PICTURE)
        if content is not None:
            found[picture.reference] = data_url(picture.mime_type, content)
    return found


def _replaced(assembled: Assembled, points: Mapping[str, str], why: Mapping[str, str]) -> Assembled:
    def part_of(part: Any) -> Any:
        if not isinstance(part, dict) or part.get("type") != "input_image":
            return part
        reference = str(part.get("image_url"))
        if reference in points:
            return {**part, "image_url": points[reference]}
        return {"type": "input_text", "text": _NOTES[why[reference]]} if reference in why else part

    items = tuple(
        {**item, "content": [part_of(part) for part in item["content"]]} if _parts(item) else item
        for item in assembled.request.input
    )
    return replace(assembled, request=replace(assembled.request, input=items))


def _noted(
    assembled: Assembled, named: list[str], pictures: Mapping[str, AttachedPicture], why: Mapping[str, str]
) -> Assembled:
    """The manifest with every picture: its document, its name, and why it was left out, where it was."""
    entries = [
        {"document": str(pictures[one].document), "name": pictures[one].name, "why": why.get(one, "")} for one in named
    ]
    return replace(assembled, manifest={**assembled.manifest, "pictures": entries})
