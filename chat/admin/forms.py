"""The form of an assistant version: JSON that is checked at the field, and one starter per line."""

from typing import TYPE_CHECKING, Any

from django import forms

from chat.models import AssistantVersion
from chat.services.version_rules import MAX_STARTER_CHARS, MAX_STARTERS, check_shapes
from core.forms import PrettyJSONField

if TYPE_CHECKING:
    VersionFormBase = forms.ModelForm[AssistantVersion]
else:
    VersionFormBase = forms.ModelForm

JSON_FIELDS = (
    "parameters",
    "strategy_parameters",
    "retrieval_parameters",
    "variables",
    "input_messages",
    "tools",
)
_LISTS = frozenset({"input_messages", "tools"})


class LinesField(forms.CharField):
    """A list of texts, one per line; empty lines count for nothing."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class VersionForm(VersionFormBase):
    starters = LinesField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 6, "class": "vLargeTextField"}),
        help_text=f"Questions that an empty conversation offers, one per line: at most {MAX_STARTERS}, "
        f"of {MAX_STARTER_CHARS} characters each.",
    )

    class Meta:
        model = AssistantVersion
        exclude = ("assistant", "number")
        field_classes = dict.fromkeys(JSON_FIELDS, PrettyJSONField)
        widgets = {
            "instructions": forms.Textarea(attrs={"rows": 18, "class": "vLargeTextField"}),
            "failure_message": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
            **{name: forms.Textarea(attrs={"rows": 5, "class": "vLargeTextField"}) for name in JSON_FIELDS},
        }
        help_texts = {
            "parameters": 'Sent along with every request, such as {"temperature": 0.2}. What is absent is left to the '
            "server. Known: temperature, top_p, max_output_tokens, reasoning, text, tool_choice, "
            "parallel_tool_calls, service_tier.",
            "strategy_parameters": 'At most how much of the conversation is sent: {"turns": 20, "tokens": 16000}.',
            "variables": 'Texts for the names in the input messages: {"company": "Example Ltd"}.',
            "input_messages": 'Messages before every conversation: [{"role": "user", "content": "Hello {{name}}"}].',
            "tools": "Has no effect yet.",
            "retrieval_parameters": "Has no effect yet.",
        }

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for name in JSON_FIELDS:
            if name in values and values[name] is None:
                values[name] = [] if name in _LISTS else {}
        named = {name: values[name] for name in (*JSON_FIELDS, "starters") if name in values}
        for name, sentences in check_shapes(named).items():
            for sentence in sentences:
                self.add_error(name, sentence)
        return values
