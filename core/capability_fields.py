"""The fields of an endpoint's form that say what its server can do: one choice for each name, beside what was found."""

from collections.abc import Mapping
from typing import Any, cast

from django import forms

from core.capabilities import BY_HAND, CAPABILITIES, RESUME
from core.models import Endpoint
from core.probing import sentence

_CHOICES = {"works": True, "not": False}
_FOUND = {True: "As found: works", False: "As found: does not work", None: "As found: not known"}
_NOT_FOUND = "Nothing was found out yet."
_NOT_PROBED = "No probe asks for it."
_A_WISH = "Off unless it is set here."


def field_of(name: str) -> str:
    return f"can_{name}"


FIELDS = tuple(field_of(name) for name in CAPABILITIES)


def capability_fields() -> dict[str, forms.Field]:
    """A field for each name, as a form's attributes."""
    return {
        field_of(name): forms.ChoiceField(
            label=name,
            required=False,
            choices=_choices("Off" if name == RESUME else _FOUND[None]),
        )
        for name in CAPABILITIES
    }


def _choices(as_found: str) -> list[tuple[str, str]]:
    return [("", as_found), ("works", "Works"), ("not", "Does not work")]


def show_capabilities(form: forms.BaseForm, endpoint: Endpoint) -> None:
    """Put what was set and what was found into the fields that the form has."""
    words = {value: word for word, value in _CHOICES.items()}
    for name, meaning in CAPABILITIES.items():
        field = form.fields.get(field_of(name))
        if field is not None:
            form.initial[field_of(name)] = words.get(endpoint.capabilities.get(name), "")
            found = endpoint.findings.get(name)
            if name == RESUME:
                field.help_text = f"{meaning}. {_A_WISH}"
            elif found is None:
                field.help_text = f"{meaning}. {_NOT_PROBED if name in BY_HAND else _NOT_FOUND}"
            else:
                field.help_text = f"{meaning}. {sentence(found)}"
                cast(forms.ChoiceField, field).choices = _choices(_FOUND[found["works"]])


def chosen(values: Mapping[str, Any]) -> dict[str, bool]:
    """What a person set, by name."""
    return {name: _CHOICES[word] for name in CAPABILITIES if (word := values.get(field_of(name)))}


def others(endpoint: Endpoint) -> dict[str, bool]:
    """Entries of the record that have no field of their own."""
    return {name: value for name, value in endpoint.capabilities.items() if name not in CAPABILITIES}
