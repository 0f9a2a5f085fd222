"""Forms of the core room's pages in the admin."""

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import UserChangeForm
from django.core.exceptions import ValidationError

from core.capability_fields import capability_fields, chosen, others, show_capabilities
from core.endpoints import is_built_in, is_from_environment
from core.models import Endpoint, EndpointModel, Grant, User

if TYPE_CHECKING:
    EndpointFormBase = forms.ModelForm[Endpoint]
    CapabilityFields = forms.Form
    EndpointModelFormBase = forms.ModelForm[EndpointModel]
    GrantFormBase = forms.ModelForm[Grant]
    UserFormBase = forms.ModelForm[User]
    UserChangeFormBase = UserChangeForm[User]
else:
    EndpointFormBase = EndpointModelFormBase = GrantFormBase = UserFormBase = forms.ModelForm
    UserChangeFormBase = UserChangeForm
    CapabilityFields = type("CapabilityFields", (forms.Form,), capability_fields())

_CHOOSE_ANOTHER = "{model} is the default for {purpose}: make another model the default first."


class PrettyJSONField(forms.JSONField):
    """JSON that a person can read and edit."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)


class AddressField(forms.URLField):
    """An address that is https unless it says otherwise."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "assume_scheme": "https"})


class EndpointForm(EndpointFormBase, CapabilityFields):
    """An endpoint whose key is written and never shown, with a choice for each thing that it may be able to do."""

    base_url = forms.URLField(
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=forms.URLInput(attrs={"class": "vLargeTextField"}),
        help_text="For example https://api.openai.com/v1",
    )
    new_api_key = forms.CharField(
        label="API key",
        required=False,
        max_length=2000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )
    remove_api_key = forms.BooleanField(label="Remove the key", required=False)
    headers = PrettyJSONField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}),
        help_text='Extra headers for every request, such as {"X-Team": "research"}.',
    )
    capabilities = PrettyJSONField(
        required=False,
        label="Other names",
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
        help_text='Further fields of a request, such as {"top_k": true}: sent, or never sent.',
    )

    class Meta:
        model = Endpoint
        exclude = ("api_key", "source")
        field_classes = {"base_url": AddressField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.source != Endpoint.Source.ADMIN:
            del self.fields["new_api_key"], self.fields["remove_api_key"]
        elif self.instance.api_key:
            self.fields["new_api_key"].help_text = "A key is stored; leave this empty to keep it."
        self.initial["capabilities"] = others(self.instance)
        show_capabilities(self, self.instance)

    def clean_base_url(self) -> str:
        address: str = self.cleaned_data["base_url"]
        if not address and self.instance.provider == Endpoint.Provider.OPENAI:
            raise ValidationError("Give the server's address.")
        return address.rstrip("/")

    def clean_headers(self) -> dict[str, str]:
        headers = self.cleaned_data["headers"] or {}
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise ValidationError("Give an object of names and texts.")
        return headers

    def clean_capabilities(self) -> dict[str, bool]:
        capabilities = self.cleaned_data["capabilities"] or {}
        if not isinstance(capabilities, dict) or not all(isinstance(value, bool) for value in capabilities.values()):
            raise ValidationError("Give an object of names, each true or false.")
        return capabilities

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if "capabilities" in values:
            values["capabilities"] = {**values["capabilities"], **chosen(values)}
        return values

    def clean_enabled(self) -> bool:
        enabled: bool = self.cleaned_data["enabled"]
        default = None if enabled or self.instance._state.adding else _default_of(self.instance)
        if default is not None:
            raise ValidationError(_CHOOSE_ANOTHER.format(model=default, purpose=default.get_purpose_display().lower()))
        return enabled

    def save(self, commit: bool = True) -> Endpoint:
        if self.cleaned_data.get("remove_api_key"):
            self.instance.api_key = ""
        if key := self.cleaned_data.get("new_api_key"):
            self.instance.api_key = key
        return super().save(commit)


def _default_of(endpoint: Endpoint) -> EndpointModel | None:
    return endpoint.served_models.filter(is_default=True).first()


class EndpointModelForm(EndpointModelFormBase):
    """A served model. What the environment or Parley itself says about it cannot be changed here."""

    class Meta:
        model = EndpointModel
        exclude = ("is_default",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            return
        fixed = {"endpoint", "purpose"}
        if is_from_environment(self.instance) or is_built_in(self.instance):
            fixed |= {"name", "enabled", "context_window"}
        for name in fixed & self.fields.keys():
            self.fields[name].disabled = True

    def clean_endpoint(self) -> Endpoint:
        endpoint: Endpoint = self.cleaned_data["endpoint"]
        if self.instance._state.adding and endpoint.source == Endpoint.Source.BUILT_IN:
            raise ValidationError("What is built in serves its own model only.")
        return endpoint

    def clean_enabled(self) -> bool:
        enabled: bool = self.cleaned_data["enabled"]
        if self.instance.is_default and not enabled:
            purpose = self.instance.get_purpose_display().lower()
            raise ValidationError(_CHOOSE_ANOTHER.format(model=self.instance, purpose=purpose))
        return enabled

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        window, reserved = values.get("context_window"), values.get("max_output_tokens")
        if window and reserved and reserved >= window:
            self.add_error("max_output_tokens", f"Nothing of the window of {window} tokens is left for the question.")
        return values


class GrantForm(GrantFormBase):
    """A role for exactly one of: a user, a group, everyone."""

    class Meta:
        model = Grant
        fields = ("user", "group", "everyone", "role")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        subjects = [values.get("user"), values.get("group"), values.get("everyone")]
        if sum(map(bool, subjects)) != 1:
            raise ValidationError("Choose a user, a group, or everyone: exactly one of them.")
        return values


class UserAddForm(UserFormBase):
    """A new person, who has no password and comes in by a link."""

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name")

    def save(self, commit: bool = True) -> User:
        self.instance.set_unusable_password()
        return super().save(commit)


class UserForm(UserChangeFormBase):
    class Meta(UserChangeForm.Meta):
        model = User
        fields = "__all__"
        field_classes = {}
