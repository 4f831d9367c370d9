"""Show the privacy page: what is stored about people, as the settings have it."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from movie.pages.stored_data import cookies, others_involved, stored_data


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    """Show what is stored, where and for how long, the cookies, and who else learns something."""
    context = {
        "rows": stored_data(),
        "cookies": cookies(),
        "others": others_involved(),
        "contact": settings.PRIVACY_CONTACT,
    }
    return render(request, "pages/privacy.html", context)
