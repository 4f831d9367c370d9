"""Experiments in the admin: defined here, frozen once they are started."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Field
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from movie.experiments.models import (
    FEWEST_ARMS,
    MOST_ARMS,
    Experiment,
    ExperimentArm,
    arm_errors,
)
from movie.training.admin import model_options


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
        for error in arm_errors([form.instance for form in forms_kept], starting=starting):
            if error.arm_index is None:
                raise ValidationError(error.message)
            forms_kept[error.arm_index].add_error(error.field, error.message)


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
    """Defines, starts and ends experiments; the page of results has buttons for the last two."""

    list_display = ["name", "state", "metric", "starts_at", "ends_at", "results"]
    list_filter = ["state", "metric"]
    search_fields = ["name", "question"]
    inlines = [ArmInline]
    fields = ["name", "question", "metric", "starts_at", "ends_at", "state"]

    def get_readonly_fields(self, request: HttpRequest, obj: Experiment | None = None) -> list[str]:
        return ["name", "metric"] if _is_frozen(obj) else []

    def save_model(self, request: HttpRequest, obj: Experiment, form: forms.ModelForm, change: bool) -> None:
        """Save an experiment that is about to start as a draft, because its arms are saved after it."""
        if _is_to_start(form):
            obj.state = Experiment.State.DRAFT
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if _is_to_start(form):
            form.instance.state = Experiment.State.RUNNING
            form.instance.save()

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Report a start that another experiment won between the check of the form and the change."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def has_delete_permission(self, request: HttpRequest, obj: Experiment | None = None) -> bool:
        runs = obj is not None and obj.is_running()
        return super().has_delete_permission(request, obj) and not runs

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions without bulk deletion, which could delete a running experiment."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description=_("results"))
    def results(self, experiment: Experiment) -> str:
        return format_html('<a href="{}">{}</a>', experiment.get_absolute_url(), _("results"))


def _is_to_start(form: forms.ModelForm) -> bool:
    is_draft = form.instance.state == Experiment.State.DRAFT or not _is_frozen(form.instance)
    return form.cleaned_data["state"] == Experiment.State.RUNNING and is_draft


def _is_frozen(experiment: Experiment | None) -> bool:
    return experiment is not None and Experiment.objects.started().filter(pk=experiment.pk).exists()
