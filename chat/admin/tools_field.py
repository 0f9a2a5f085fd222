"""The tools of a version in its form: boxes to tick, and what a ticked one is set to where that is not the usual."""

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from core.forms import PrettyJSONField
from tools.registry import installed

_USUAL: tuple[Any, ...] = (None, {}, "auto")


class _ToolsWidget(forms.MultiWidget):
    def __init__(self) -> None:
        settings = forms.Textarea(
            attrs={"rows": 3, "class": "vLargeTextField", "aria-label": "Settings of the tools, as JSON"}
        )
        super().__init__([forms.CheckboxSelectMultiple(), settings])

    def decompress(self, value: Any) -> list[Any]:
        entries = (value or {}).get("entries", [])
        unusual = {
            entry["name"]: {name: entry[name] for name in ("config", "policy") if entry.get(name) not in _USUAL}
            for entry in entries
        }
        settings = {name: what for name, what in unusual.items() if what}
        shown = json.dumps(settings, indent=2, ensure_ascii=False) if settings else ""
        return [[entry["name"] for entry in entries], shown]


class ToolsField(forms.MultiValueField):
    """A list of {"name", "config", "policy"}; `offer` says what there is to choose."""

    def __init__(self, **options: Any) -> None:
        fields = (forms.MultipleChoiceField(required=False), PrettyJSONField(required=False))
        super().__init__(fields, widget=_ToolsWidget(), require_all_fields=False, required=False, **options)

    def offer(self, stored: Sequence[dict[str, Any]]) -> None:
        """Offer what is installed, and what is attached already: it must not be lost unseen."""
        choices = [(tool.name, f"{tool.name}: {tool.description.split('. ')[0]}") for tool in installed().values()]
        names = [name for name, _ in choices]
        gone = [entry["name"] for entry in stored if entry["name"] not in names]
        choices += [(name, f"{name}: not installed any more") for name in gone]
        self.fields[0].choices = choices  # type: ignore[attr-defined]
        self.widget.widgets[0].choices = choices

    def prepare_value(self, value: Any) -> Any:
        # a stored value is a list too, which the widget would take for one value per box
        stored = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
        return {"entries": value} if stored else value

    def compress(self, data_list: Any) -> list[dict[str, Any]]:
        names, settings = (data_list or [[], None])[:2]
        settings = settings or {}
        if not isinstance(settings, dict) or not all(isinstance(value, dict) for value in settings.values()):
            raise ValidationError('Give an object of tools, such as {"current_time": {"config": {}}}.')
        if loose := [name for name in settings if name not in (names or [])]:
            raise ValidationError(f"{', '.join(loose)}: set, but not ticked.")
        return [{**settings.get(name, {}), "name": name} for name in names or []]

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or []) != self.clean(data))
        except ValidationError:
            return True
