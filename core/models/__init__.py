"""People, rights, model servers, and the rows that background work is made of."""

from core.models.accounts import SignInLink, User
from core.models.endpoints import Endpoint, EndpointModel
from core.models.grants import Grant
from core.models.invitations import Invitation
from core.models.milestones import Milestone
from core.models.processes import Process
from core.models.tokens import AccessToken
from core.models.work import Work

__all__ = [
    "AccessToken",
    "Endpoint",
    "EndpointModel",
    "Grant",
    "Invitation",
    "Milestone",
    "Process",
    "SignInLink",
    "User",
    "Work",
]
