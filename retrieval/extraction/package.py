"""Files that are zip archives of XML parts (Office Open XML, OpenDocument, EPUB): their parts, within bounds.

Nothing is unpacked to disk, and no part is read beyond PART_BYTES or all of them beyond TOTAL_BYTES, whatever the
archive says of their sizes. Names of elements and attributes are compared without their namespace: the transitional
and the strict form of Office Open XML differ in nothing else that matters here.
"""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from posixpath import basename, dirname, join, normpath
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from retrieval.errors import CorruptFileError, EncryptedFileError, TooLargeError

PART_BYTES = 64 * 1024 * 1024
TOTAL_BYTES = 256 * 1024 * 1024
MAX_PARTS = 50_000

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError),
    *(ElementTree.ParseError, UnicodeError),
)


class Relation(NamedTuple):
    """A relationship of a part (ECMA-376 part 2): `kind` is the last word of its type, `target` a part's name."""

    identifier: str
    kind: str
    target: str


class Package:
    """The parts of an open archive. `label` names the file in sentences for the person who uploaded it."""

    def __init__(self, archive: zipfile.ZipFile, label: str) -> None:
        self.label = label
        self._archive = archive
        self._names = frozenset(archive.namelist())
        self._left = TOTAL_BYTES

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def read(self, name: str) -> bytes:
        """The bytes of a part. Raises KeyError where there is none, EncryptedFileError, TooLargeError."""
        if self._archive.getinfo(name).flag_bits & 1:
            raise EncryptedFileError(f"This {self.label} needs a password to be opened.")
        allowed = min(PART_BYTES, self._left)
        with self._archive.open(name) as stream:
            content = stream.read(allowed + 1)
        if len(content) > allowed:
            raise TooLargeError(f"This {self.label} unpacks to far more than its size, and was not read.")
        self._left -= len(content)
        return content

    def part(self, name: str, *, doctype: bool = False) -> Element:
        """A part as XML. A document type declaration, which could define entities, is only allowed on request."""
        return parse(self.read(name), doctype=doctype)

    def relations(self, name: str) -> Iterator[Relation]:
        """The relationships of a part to others in the package; what is outside of it is left out."""
        path = join(dirname(name), "_rels", f"{basename(name)}.rels")
        if path not in self:
            return
        for node in self.part(path):
            if node.get("TargetMode") != "External":
                target = self.resolve(name, node.get("Target", ""))
                yield Relation(node.get("Id", ""), node.get("Type", "").rpartition("/")[2], target)

    def resolve(self, name: str, target: str) -> str:
        """The name of the part that `target` means in the part `name`."""
        return target.lstrip("/") if target.startswith("/") else normpath(join(dirname(name), target))

    def core_title(self) -> str:
        """The title among the core properties (ECMA-376 part 2, 11)."""
        for relation in self.relations(""):
            if relation.kind == "core-properties" and relation.target in self:
                return next((node.text or "" for node in every(self.part(relation.target), "title")), "")
        return ""


@contextlib.contextmanager
def opened(data: bytes, label: str) -> Iterator[Package]:
    """The package in `data`. What goes wrong with its structure while it is open comes out as CorruptFileError."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if len(archive.infolist()) > MAX_PARTS:
                raise TooLargeError(f"This {label} consists of more than {MAX_PARTS:,} parts, and was not read.")
            yield Package(archive, label)
    except _DAMAGED as error:
        raise CorruptFileError(f"This {label} is damaged or incomplete and cannot be opened.") from error


def parse(content: bytes, *, doctype: bool = False) -> Element:
    """XML to a tree. Nothing outside of it is fetched: expat leaves external entities out, and there is no handler."""
    # also as UTF-16; what hides in rarer encodings meets expat's own limit on how far entities may grow
    if not doctype and b"<!DOCTYPE" in content.replace(b"\0", b""):
        raise CorruptFileError("This file declares a document type, which files of its kind must not.")
    return ElementTree.fromstring(content)  # noqa: S314


def every(node: Element, name: str) -> Iterator[Element]:
    """The node itself and all below it with that name, in their order."""
    return (inner for inner in node.iter() if local(inner) == name)


def child(node: Element, *names: str) -> Element | None:
    """The first child of that name, and so on down."""
    found: Element | None = node
    for name in names:
        found = None if found is None else next((inner for inner in found if local(inner) == name), None)
    return found


def local(node: Element) -> str:
    """The node's name without its namespace; empty for comments and processing instructions."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def attribute(node: Element | None, name: str) -> str:
    """The attribute of that name in whatever namespace, or ""."""
    if node is None:
        return ""
    return next((value for key, value in node.attrib.items() if key.rpartition("}")[2] == name), "")
