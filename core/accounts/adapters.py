"""What allauth asks us about accounts."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by administrators: there is no open sign-up."""

    def is_open_for_signup(self, _request: HttpRequest) -> bool:
        return False
