"""What the page of a store's settings sends, as values."""

import datetime
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.models import EndpointModel, User
from core.models.grants import Role
from retrieval.models import VectorStore
from retrieval.models.stores import MAX_KEEP_DAYS
from retrieval.services.sharing import Subject, groups_of
from retrieval.services.stores import StoreSettings

PERSON, EVERYONE = "person", "everyone"


class SettingsForm(forms.Form):
    """Name, description, and how the store is searched and indexed; the last only while it is empty."""

    name = forms.CharField(label=_("Name"), max_length=200)
    description = forms.CharField(
        label=_("What is in it"), max_length=1000, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    dense_share = forms.FloatField(
        label=_("Weight of meaning against words"),
        required=False,
        min_value=0,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "0.05"}),
        help_text=_("From 0, words only, to 1, meaning only. Empty: what suits the embedding model."),
    )
    embedding_model = forms.ModelChoiceField(label=_("Embedding model"), queryset=EndpointModel.objects.none())
    chunk_tokens = forms.IntegerField(
        label=_("Tokens per chunk at most"), min_value=32, max_value=4096, help_text=_("The default is 240.")
    )
    chunk_overlap = forms.IntegerField(
        label=_("Tokens that neighbouring chunks share"), min_value=0, help_text=_("The default is 28.")
    )

    def __init__(self, store: VectorStore, data: Any = None) -> None:
        names = ("name", "description", "dense_share", "chunk_tokens", "chunk_overlap", "embedding_model")
        super().__init__(data, initial={name: getattr(store, name) for name in names})
        usable = EndpointModel.objects.filter(
            purpose=EndpointModel.Purpose.EMBEDDING, enabled=True, endpoint__enabled=True
        ) | EndpointModel.objects.filter(pk=store.embedding_model.pk)
        field = self.fields["embedding_model"]
        if isinstance(field, forms.ModelChoiceField):
            field.queryset = usable.select_related("endpoint").order_by("endpoint__name", "name")
        self.indexed = store.documents.exists()
        for name in ("embedding_model", "chunk_tokens", "chunk_overlap"):
            self.fields[name].disabled = self.indexed

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        tokens, overlap = values.get("chunk_tokens"), values.get("chunk_overlap")
        if tokens is not None and overlap is not None and overlap >= tokens:
            self.add_error("chunk_overlap", _("Less than the tokens of a chunk."))
        return values

    def changed(self) -> StoreSettings:
        """The values of a valid form."""
        return StoreSettings(**self.cleaned_data)


class ShareForm(forms.Form):
    """With whom, as what."""

    subject = forms.CharField()
    email = forms.CharField(required=False, max_length=254)
    role = forms.ChoiceField(choices=Role.choices)

    def __init__(self, user: User, data: Any) -> None:
        super().__init__(data)
        self._groups = groups_of(user)

    def clean_subject(self) -> Group | str:
        """`person`, `everyone`, or one of the sharer's groups."""
        given: str = self.cleaned_data["subject"]
        if given in {PERSON, EVERYONE}:
            return given
        group = self._groups.filter(pk=int(given)).first() if given.isascii() and given.isdigit() else None
        if group is None:
            raise forms.ValidationError(_("Choose with whom."))
        return group

    def whom(self) -> Subject:
        """The subject of a valid form."""
        subject: Group | str = self.cleaned_data["subject"]
        if isinstance(subject, Group):
            return subject
        return str(self.cleaned_data["email"]) if subject == PERSON else None


class KeepForm(forms.Form):
    """How long a store is kept: `how` is never, date or days."""

    how = forms.ChoiceField(choices=[("never", "never"), ("date", "date"), ("days", "days")])
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    days = forms.IntegerField(required=False, min_value=1, max_value=MAX_KEEP_DAYS)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if values.get("how") == "date" and not values.get("until"):
            raise forms.ValidationError(_("Choose the day until which it is kept."))
        if values.get("how") == "days" and not values.get("days"):
            raise forms.ValidationError(_("Give a number of days, from 1 to %d.") % MAX_KEEP_DAYS)
        return values

    def keeping(self) -> dict[str, Any]:
        """The arguments of `services.keep_store` that a valid form means: a date counts to its end."""
        how, values = self.cleaned_data["how"], self.cleaned_data
        if how == "date":
            return {"until": timezone.make_aware(datetime.datetime.combine(values["until"], datetime.time.max))}
        return {"days": values["days"]} if how == "days" else {}


def sentence(form: forms.Form) -> str:
    """What is wrong with a form, for a page that shows one notice."""
    return " ".join(str(error) for errors in form.errors.values() for error in errors)
