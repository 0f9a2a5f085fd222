"""Moments and languages in words: `{{ when|moment }}`, `{{ code|language }}`."""

from datetime import datetime, timedelta

from django import template
from django.conf.locale import LANG_INFO
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

register = template.Library()


@register.filter
def language(code: str) -> str:
    """The name of the language with this ISO 639-1 code; the code where no name is known."""
    return str(gettext(LANG_INFO[code]["name"])) if "name" in LANG_INFO.get(code, {}) else code


@register.filter
def moment(when: datetime | None) -> str:
    """How long ago it was within a day ("3 hours ago"), otherwise the day; empty for None."""
    if when is None:
        return ""
    if timedelta() <= timezone.now() - when < timedelta(days=1):
        return str(naturaltime(when))
    local = timezone.localtime(when)
    return date_format(local, "j M" if local.year == timezone.localtime().year else "j M Y")
