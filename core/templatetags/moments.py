"""`{{ when|moment }}`: how long ago something was, as long as that says more than the date."""

from datetime import datetime, timedelta

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from django.utils.formats import date_format

register = template.Library()


@register.filter
def moment(when: datetime | None) -> str:
    """ "3 hours ago" within a day, otherwise the day; empty for None."""
    if when is None:
        return ""
    if timedelta() <= timezone.now() - when < timedelta(days=1):
        return str(naturaltime(when))
    local = timezone.localtime(when)
    return date_format(local, "j M" if local.year == timezone.localtime().year else "j M Y")
