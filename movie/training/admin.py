"""The default model and the training runs in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Field
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from movie.core.admin import ReadOnlyAdmin
from movie.training.model_info import model_label
from movie.training.models import DefaultComparison, DefaultModel, TrainingRun
from predictors.plugins import MODELS


def model_options() -> list[tuple[str, str]]:
    """Return every model with its label, for a field to choose from."""
    return [(name, model_label(name)) for name in MODELS]


@admin.register(DefaultModel)
class DefaultModelAdmin(admin.ModelAdmin):
    """Shows when and by whom each default model was set. The latest row holds."""

    list_display = ["since", "predictor", "by", "experiment"]
    list_select_related = ["by", "experiment"]
    fields = ["predictor"]

    def has_change_permission(self, request: HttpRequest, obj: DefaultModel | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DefaultModel | None = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "predictor":
            options = [("", _("As DEFAULT_MODELS says")), *model_options()]
            return forms.ChoiceField(label=db_field.verbose_name, choices=options, required=False)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: DefaultModel, form: forms.ModelForm, change: bool
    ) -> None:
        obj.by_id = request.user.pk
        super().save_model(request, obj, form, change)


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = ["model", "shown_state", "share", "version", "said", "started_at", "updated_at"]
    list_filter = ["model"]
    fields = ["model", "shown_state", "share", "said", "version", "metrics", "started_at", "updated_at"]

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, run: TrainingRun) -> str:
        """Return the state; a run whose process has gone is not shown as running."""
        return gettext("Its process has gone") if run.has_died else run.get_state_display()

    @admin.display(description=_("progress"), ordering="progress")
    def share(self, run: TrainingRun) -> str:
        return f"{run.percent} %"

    @admin.display(description=_("message"), ordering="message")
    def said(self, run: TrainingRun) -> str:
        """Return the message; stored messages are English, and those without figures have translations."""
        return gettext(run.message) if run.message else ""


@admin.register(DefaultComparison)
class DefaultComparisonAdmin(ReadOnlyAdmin):
    """Shows the results of `models compare`; a default is set under the default models."""

    list_display = ["finished_at", "default", "proposed", "is_clear", "visitors"]
    fields = ["finished_at", "revision", "default", "proposed", "is_clear", "visitors", "until", "result"]
    readonly_fields = ["result"]

    @admin.display(description=_("figures"))
    def result(self, comparison: DefaultComparison) -> str:
        return render_to_string("training/default_comparison.html", {"comparison": comparison})
