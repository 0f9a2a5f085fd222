"""`manage.py sign_in_link EMAIL`: lets somebody in who has no password, or has lost it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.accounts.links import make_sign_in_link
from core.models import User


class Command(BaseCommand):
    help = "Prints a link that signs a person in once. Earlier unused links of that person end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="The person's e-mail address.")

    def handle(self, *_args: Any, **options: Any) -> None:
        email: str = options["email"]
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            raise CommandError(f"Nobody has the address {email}.")
        if not user.is_active:
            raise CommandError(f"{user.email} is switched off: make the account active first.")
        self.stdout.write(make_sign_in_link(user=user))
