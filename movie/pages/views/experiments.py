"""Results of experiments, for staff, and the buttons that start, end and promote."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from movie.core.http import see_other
from movie.experiments import changes
from movie.experiments.models import Experiment
from movie.experiments.results import as_csv, results_of
from movie.training.model_info import MOST_RATED, model_label
from movie.training.models import DefaultModel
from movie.training.registry import default_models
from movie.visitors.staff import is_trusted_staff

View = Callable[..., HttpResponse]
CHANGE = "experiments.change_experiment"


def for_staff(permission: str = "experiments.view_experiment") -> Callable[[View], View]:
    """Let staff with the permission see a view; guests are asked to sign in, others get 403."""

    def guard(view: View) -> View:
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            user = request.user
            allowed = user.has_perm(permission) or (permission != CHANGE and user.has_perm(CHANGE))
            if not (is_trusted_staff(user) and allowed):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return guard


@never_cache
@require_safe
@for_staff()
def experiments(request: HttpRequest) -> HttpResponse:
    """List all experiments, and show the site's default model."""
    context = {
        "experiments": list(Experiment.objects.prefetch_related("arms")),
        "default": next(iter(default_models()), MOST_RATED),
        "chosen": DefaultModel.objects.select_related("by", "experiment").first(),
        "may_change": request.user.has_perm(CHANGE),
    }
    return render(request, "experiments/experiments.html", context)


@never_cache
@require_safe
@for_staff()
def experiment(request: HttpRequest, name: str) -> HttpResponse:
    """Show the figures of one experiment and its verdict. Looking often does not bias them."""
    found = get_object_or_404(Experiment.objects.prefetch_related("arms"), name=name)
    context = {
        "experiment": found,
        "results": results_of(found),
        "primary": Experiment.Metric(found.metric),
        "promoted": _default_since(found),
        "may_change": request.user.has_perm(CHANGE),
    }
    return render(request, "experiments/experiment.html", context)


@never_cache
@require_safe
@for_staff()
def experiment_csv(request: HttpRequest, name: str) -> HttpResponse:
    """Export the figures of one experiment as CSV."""
    found = get_object_or_404(Experiment, name=name)
    headers = {"Content-Disposition": f'attachment; filename="{found.name}.csv"'}
    return HttpResponse(as_csv(results_of(found)), content_type="text/csv; charset=utf-8", headers=headers)


@require_POST
@for_staff(CHANGE)
def start(request: HttpRequest, name: str) -> HttpResponse:
    """Start a draft, unless it has errors."""
    found = get_object_or_404(Experiment, name=name)
    try:
        changes.start(found)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("%(name)s is started.") % {"name": found.name})
    return see_other(found.get_absolute_url())


@require_POST
@for_staff(CHANGE)
def end(request: HttpRequest, name: str) -> HttpResponse:
    """End a running experiment: everybody gets the default model again."""
    found = get_object_or_404(Experiment, name=name)
    if found.state == Experiment.State.RUNNING:
        try:
            changes.end(found)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, _("%(name)s is ended.") % {"name": found.name})
    return see_other(found.get_absolute_url())


@require_POST
@for_staff(CHANGE)
def promote(request: HttpRequest, name: str) -> HttpResponse:
    """Make an arm's model the site's default, whatever the verdict, and end the experiment if it runs."""
    found = get_object_or_404(Experiment, name=name)
    arm = get_object_or_404(found.arms.select_related("experiment"), name=request.POST.get("arm", ""))
    results = results_of(found)
    try:
        changes.promote(arm, request.user.pk)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return see_other(found.get_absolute_url())
    said = _("%(model)s is the site's default now.") % {"model": model_label(arm.predictor)}
    messages.success(request, f"{said} {results.verdict.text}")
    return see_other(found.get_absolute_url())


@require_POST
@for_staff(CHANGE)
def reset_default(request: HttpRequest) -> HttpResponse:
    """Reset the default to DEFAULT_MODELS."""
    DefaultModel.objects.create(by_id=request.user.pk)
    messages.success(request, _("The default is what DEFAULT_MODELS says again."))
    return see_other(reverse("experiments:list"))


def _default_since(found: Experiment) -> DefaultModel | None:
    """Return the current default if this experiment made it."""
    latest = DefaultModel.objects.first()
    return latest if latest is not None and latest.experiment_id == found.pk else None
