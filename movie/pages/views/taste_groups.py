"""The groups of taste among the site's users, from the report of manage.py analyse_groups."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from movie.training.taste_groups import heatmap_of, read_report, with_films


@require_safe
def taste_groups(request: HttpRequest) -> HttpResponse:
    report = read_report()
    if report is None:
        return render(request, "pages/taste_groups.html", {"report": None})
    context = {"report": report, "heatmap": heatmap_of(report), "groups": with_films(report)}
    return render(request, "pages/taste_groups.html", context)
