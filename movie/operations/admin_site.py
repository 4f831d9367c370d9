"""The site's administration: Django's admin under the site's name, with a first page that says how it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from movie.training.site_store import SiteModelStore
from movie.visitors.admin_site import AdminSite
from predictors.errors import PredictorError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdminPage:
    """A page of the admin that belongs to no table."""

    route: str
    name: str
    view: Callable[..., Any]
    title: Any = ""  # of the link on the first page; no link without one
    permissions: tuple[str, ...] = ()  # of whom the link is for


# What may be done with a model, and the permission for it.
ACTIONS = {
    "activate": "training.add_defaultmodel",
    "roll_back": "training.add_defaultmodel",
    "train": "operations.add_job",
}
PAGES: list[AdminPage] = []  # apps above this one add theirs from their `admin` module


class OperationsSite(AdminSite):
    site_header = site_title = "Reelgraph"
    index_title = _("Overview")

    def get_urls(self) -> list[URLResolver | URLPattern]:
        pages = [path(each.route, self.admin_view(each.view), name=each.name) for each in PAGES]
        models = path("models/", self.admin_view(self.change_model), name="change_model")
        return [*pages, models, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict | None = None) -> TemplateResponse:
        from movie.operations.dashboard import dashboard

        user = request.user
        allowed = [page for page in PAGES if page.title and user.has_perms(page.permissions)]
        links = [(page.title, reverse(f"admin:{page.name}")) for page in allowed]
        shown = dashboard(
            lambda table: self.get_model_admin(table).has_view_permission(request),
            may_change_models=any(user.has_perm(permission) for permission in ACTIONS.values()),
        )
        return super().index(request, {**shown, "links": links, **(extra_context or {})})

    @method_decorator(require_POST)
    def change_model(self, request: HttpRequest) -> HttpResponse:
        """Activate a version of a model, roll back to the one before, or train a new one."""
        from movie.operations.jobs import start_job
        from movie.operations.models import Job

        action, name = request.POST.get("action", ""), request.POST.get("model", "")
        if action not in ACTIONS or not request.user.has_perm(ACTIONS[action]):
            raise PermissionDenied
        store = SiteModelStore(settings.MODEL_DIR)
        try:
            store.path(name, "x")  # refuses an unknown model
            if action == "activate":
                store.serve(name, request.POST.get("version", ""))
                said = gettext("%(model)s: version %(version)s serves now.")
            elif action == "roll_back":
                store.roll_back(name)
                said = gettext("%(model)s: version %(version)s serves again.")
            else:
                start_job(Job.Kind.TRAINING, {"model": name, "activate": True}, by=request.user.pk)
                said = gettext("%(model)s is to be trained; its new version serves when it is done.")
        except PredictorError as error:
            messages.error(request, str(error))
        except OSError as error:  # web processes only read the folder, among others
            messages.error(request, f"{settings.MODEL_DIR}: {error.strerror or error}")
        else:
            log.info("%s of %s by the account %s", action, name, request.user.pk)
            messages.success(request, said % {"model": name, "version": store.current(name)})
        return HttpResponseRedirect(reverse("admin:index"))
