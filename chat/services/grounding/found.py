"""What a text says and its sources do not."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Unfounded:
    """A number, a quotation or a name, as it stands in the text."""

    kind: Literal["number", "quotation", "name"]
    text: str

    def __str__(self) -> str:
        return f"{self.kind} “{self.text}”"
