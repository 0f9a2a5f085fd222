"""`manage.py bootstrap`: what every start makes sure of, after the migrations."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from chat.services.bootstrap import bootstrap
from core.accounts.links import LIFETIME
from core.errors import ParleyError


class Command(BaseCommand):
    help = "Prepares model servers, the first administrator and the ready assistant. May be run at every start."

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            started = bootstrap()
        except (ImproperlyConfigured, ParleyError) as error:
            raise CommandError(str(error)) from error
        if started.sign_in_link is not None:
            self.stdout.write(framed(started.administrator, started.sign_in_link))


def framed(email: str, link: str) -> str:
    """The link in a frame that is found again among other output. The link's line holds nothing else, for copying."""
    hours = int(LIFETIME.total_seconds() // 3600)
    rule = "=" * max(72, len(link))
    return "\n".join(
        [
            "",
            rule,
            f"Sign in as {email} with this link. It works once, within {hours} hours:",
            "",
            link,
            "",
            f'Set a password in your account afterwards. A new link: make manage ARGS="sign_in_link {email}"',
            rule,
            "",
        ]
    )
