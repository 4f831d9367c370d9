"""Experiments in the admin: defined here, frozen once they are started. `movie.admin` takes them in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Field
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from movie.experiment_models import (
    FEWEST_ARMS,
    MOST_ARMS,
    DefaultModel,
    Experiment,
    ExperimentArm,
    problems_of,
)
from movie.recommendations import ABOUT
from predictors.plugins import MODELS


def model_options() -> list[tuple[str, str]]:
    return [(name, str(ABOUT[name].label) if name in ABOUT else name) for name in MODELS]


class ArmFormSet(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        forms_kept = [
            form
            for form in self.forms
            if (form.has_changed() or form.instance.pk)
            and not getattr(form, "cleaned_data", {}).get("DELETE")
        ]
        if any(form.errors for form in forms_kept):
            return  # those first
        starting = self.instance.state == Experiment.State.RUNNING
        for problem in problems_of([form.instance for form in forms_kept], starting=starting):
            if problem.place is None:
                raise ValidationError(problem.message)
            forms_kept[problem.place].add_error(problem.field, problem.message)


class ArmInline(admin.TabularInline):
    model = ExperimentArm
    formset = ArmFormSet
    extra = FEWEST_ARMS
    max_num = MOST_ARMS
    fields = ["name", "predictor", "share", "is_control"]

    def get_extra(self, request: HttpRequest, obj: Experiment | None = None, **kwargs: Any) -> int:
        return 0 if obj is not None and obj.arms.exists() else self.extra

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "predictor":
            return forms.ChoiceField(label=db_field.verbose_name, choices=[("", "–"), *model_options()])
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Experiment | None = None) -> bool:
        return super().has_change_permission(request, obj) and not _is_frozen(obj)

    def has_add_permission(self, request: HttpRequest, obj: Experiment | None = None) -> bool:
        return super().has_add_permission(request, obj) and not _is_frozen(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Experiment | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not _is_frozen(obj)


@admin.register(Experiment)
class ExperimentAdmin(admin.ModelAdmin):
    """The state starts and ends an experiment; so do the buttons beside its results."""

    list_display = ["name", "state", "metric", "starts_at", "ends_at", "results"]
    list_filter = ["state", "metric"]
    search_fields = ["name", "question"]
    inlines = [ArmInline]
    fields = ["name", "question", "metric", "starts_at", "ends_at", "state"]

    def get_readonly_fields(self, request: HttpRequest, obj: Experiment | None = None) -> list[str]:
        return ["name", "metric"] if _is_frozen(obj) else []

    def save_model(self, request: HttpRequest, obj: Experiment, form: forms.ModelForm, change: bool) -> None:
        """One that is to start is a draft until its arms are saved."""
        starts = obj.state == Experiment.State.RUNNING and not (obj.pk and _is_frozen(obj))
        if starts:
            obj.state = Experiment.State.DRAFT
        super().save_model(request, obj, form, change)
        if starts:
            obj.state = Experiment.State.RUNNING

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        form.instance.save()

    def has_delete_permission(self, request: HttpRequest, obj: Experiment | None = None) -> bool:
        runs = obj is not None and obj.is_running()
        return super().has_delete_permission(request, obj) and not runs

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Deleting is for one at a time: what runs must not go with the others."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description=_("results"))
    def results(self, experiment: Experiment) -> str:
        return format_html('<a href="{}">{}</a>', experiment.get_absolute_url(), _("results"))


@admin.register(DefaultModel)
class DefaultModelAdmin(admin.ModelAdmin):
    """Who made what the default, and when. The latest row holds."""

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


def _is_frozen(experiment: Experiment | None) -> bool:
    return experiment is not None and Experiment.objects.started().filter(pk=experiment.pk).exists()
