"""The form of an assistant version: JSON that is checked at the field, tools to tick, and one starter per line."""

from typing import TYPE_CHECKING, Any

from django import forms

from chat.admin.tools_field import ToolsField
from chat.models import AssistantVersion
from chat.services.version_rules import MAX_STARTER_CHARS, MAX_STARTERS, check_memory, check_shapes, check_tools
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
)
_LISTS = frozenset({"input_messages"})


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
    tools = ToolsField(
        help_text="What the model may use. The JSON says what a ticked tool is set to where that is not the usual: "
        '{"current_time": {"config": {"zone": "Europe/Berlin"}}}.',
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
            "strategy_parameters": 'At most how much of the conversation is sent: {"turns": 20, "tokens": 16000}. With '
            'facts also how many at most, and how near to the question (0 to 1): {"facts": 8, "floor": 0.3}.',
            "remembers": "Keeps facts about a person, who can see and delete them. Needs the strategy with facts.",
            "variables": 'Texts for the names in the input messages: {"company": "Example Ltd"}.',
            "input_messages": 'Messages before every conversation: [{"role": "user", "content": "Hello {{name}}"}].',
            "retrieval_parameters": "Documents that together have at most so many tokens go in whole, in every turn, "
            'instead of being searched: {"whole_tokens": 8000}. The utility model makes a question that stands '
            'alone out of each message, which takes a moment longer: {"rewrite": true}. Only documents whose '
            'attributes compare like this are drawn on: {"filter": {"type": "eq", "key": "area", "value": "HR"}}.',
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("tools")  # a published version is only looked at
        if isinstance(field, ToolsField):
            field.offer(self.instance.tools)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for name in JSON_FIELDS:
            if name in values and values[name] is None:
                values[name] = [] if name in _LISTS else {}
        named = {name: values[name] for name in (*JSON_FIELDS, "tools", "starters") if name in values}
        problems = check_shapes(named)
        if "retrieval" in values and {"tools", "parameters"} <= values.keys() - problems.keys():
            problems |= check_tools(values["tools"], retrieval=values["retrieval"], parameters=values["parameters"])
        if {"strategy", "remembers"} <= values.keys():
            problems |= check_memory(values["strategy"], remembers=values["remembers"])
        for name, sentences in problems.items():
            for sentence in sentences:
                self.add_error(name, sentence)
        return values
