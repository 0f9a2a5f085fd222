"""What the model got to see for an answer, for whose conversation it is."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from chat.models import Turn
from chat.rendering.sent import attempt_views
from core.http import signed_in


@require_GET
@never_cache
@login_required
def sent(request: HttpRequest, turn_id: uuid.UUID) -> HttpResponse:
    """Show every request of one's own turn. Anybody else's answers like one that does not exist, whoever asks."""
    user = signed_in(request)
    turn = get_object_or_404(Turn, id=turn_id, conversation__user=user, conversation__deleted_at=None)
    return render(request, "chat/_partials/sent.html", {"attempts": attempt_views(turn, user)})
