"""Jobs in the admin: started by a form, followed on a page, with a report of what was refused."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe
from django_tasks_db.models import DBTaskResult

from movie.catalogue.importing.formats import FORMATS
from movie.catalogue.importing.interaction_rows import KINDS
from movie.core.request_limits import MB
from movie.operations.jobs import DoesNotRunAgain, run_again, start_job
from movie.operations.models import Job

IMPORTS = [(kind.value, kind.label) for kind in Job.Kind if kind != Job.Kind.TRAINING]
OF_MOVIES = ("overwrite", "sync")


class JobForm(forms.ModelForm):
    """Takes a file and how to read it. What is left empty is found out from the file."""

    kind = forms.ChoiceField(label=_("What to do"), choices=IMPORTS)
    file = forms.FileField(label=_("file"))
    dry_run = forms.BooleanField(
        label=_("Only check"),
        required=False,
        initial=True,
        help_text=_("Read everything, change nothing; the file waits to be imported afterwards."),
    )
    source = forms.SlugField(
        label=_("id space"), required=False, help_text=_("Whose film ids these are, such as imdb.")
    )
    format = forms.ChoiceField(
        label=_("format"),
        required=False,
        choices=[("", _("as the file looks")), *((n, n) for n in sorted(FORMATS))],
    )
    client = forms.SlugField(
        label=_("API client"),
        required=False,
        help_text=_("Whose users these are: they go on through the API."),
    )
    events = forms.ChoiceField(
        label=_("what rows without a kind are"),
        required=False,
        choices=[("", _("clicks")), *((kind, kind) for kind in KINDS if kind != "click")],
        help_text=_("Such as watch for a file of plays. Of interactions only."),
    )
    max_refused = forms.RegexField(
        r"^\d{1,2}%$",
        label=_("rows that may be refused"),
        required=False,
        help_text=_("Such as 1%: nothing is written where more would be."),
    )
    overwrite = forms.BooleanField(
        label=_("Replace what films say already"), required=False, help_text=_("Of films only.")
    )
    sync = forms.BooleanField(
        label=_("Hide films of this id space that are not in the file"),
        required=False,
        help_text=_("Of films only."),
    )

    class Meta:
        model = Job
        fields = ["kind"]

    def clean_file(self) -> Any:
        upload = self.cleaned_data["file"]
        if upload.size > settings.ADMIN_UPLOAD_MB * MB:
            raise ValidationError(_("The file is larger than %(n)d MB.") % {"n": settings.ADMIN_UPLOAD_MB})
        return upload

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        kind = cleaned.get("kind")
        if kind != Job.Kind.MOVIES:
            for name in OF_MOVIES:
                if cleaned.get(name):
                    self.add_error(name, _("Of films only."))
        elif cleaned.get("client"):
            self.add_error("client", _("Films belong to no client."))
        if kind == Job.Kind.INTERACTIONS and not cleaned.get("client"):
            self.add_error("client", _("Say whose users these are."))
        if kind != Job.Kind.INTERACTIONS and cleaned.get("events"):
            self.add_error("events", _("Of interactions only."))
        return cleaned


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    """A job is made once and then only watched, run again or deleted."""

    form = JobForm
    list_display = ["__str__", "shown_state", "share", "message", "by", "created", "finished_at"]
    list_filter = ["kind", "state"]
    list_select_related = ["by"]
    list_per_page = 50
    show_full_result_count = False
    change_form_template = "admin/operations/job_form.html"
    fieldsets = [
        (None, {"fields": ["kind", "file", "dry_run"]}),
        (
            _("How to read it"),
            {"fields": ["source", "format", "client", "events", "max_refused", "overwrite", "sync"]},
        ),
    ]
    watched = [
        "shown_state",
        "share",
        "message",
        "said",
        "kind",
        "chosen",
        "by",
        "created",
        "started_at",
        "finished_at",
    ]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/refused/", view(self.refused_rows), name="operations_job_refused"),
            path("<int:pk>/again/", view(self.again), name="operations_job_again"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Job | None = None) -> Any:
        return [(None, {"fields": self.watched})] if obj else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> Any:
        return self.watched if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict | None = None) -> Any:
        one_button = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().add_view(request, form_url, {**one_button, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Job, form: forms.ModelForm, change: bool) -> None:
        given = form.cleaned_data
        options = {name: given[name] for name in given if name not in ("file", "kind") and given[name]}
        job = start_job(given["kind"], options, by=request.user.pk, file=given["file"])
        obj.pk, obj.file_name = job.pk, job.file_name

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return super().log_addition(request, Job.objects.get(pk=obj.pk), message)

    def response_add(self, request: HttpRequest, obj: Job, post_url_continue: str | None = None) -> Any:
        return HttpResponseRedirect(reverse("admin:operations_job_change", args=[obj.pk]))

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for job in queryset:  # each with its files
            job.delete()

    @method_decorator(require_safe)
    def refused_rows(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Send the report of the refused rows."""
        job = get_object_or_404(Job, pk=pk)
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        try:
            file = job.report.open("rb")
        except OSError:
            raise Http404 from None
        return FileResponse(file, as_attachment=True, filename=f"refused-{pk}.csv", content_type="text/csv")

    @method_decorator(require_POST)
    def again(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Run a job once more: one that failed, or for good one that only checked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        job = get_object_or_404(Job, pk=pk)
        try:
            run_again(job, dry_run="dry_run" in request.POST)
        except DoesNotRunAgain:
            self.message_user(request, _("This job cannot run again now."), messages.ERROR)
        return HttpResponseRedirect(reverse("admin:operations_job_change", args=[pk]))

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, job: Job) -> str:
        return job.shown_state

    @admin.display(description=_("progress"), ordering="progress")
    def share(self, job: Job) -> str:
        return f"{job.percent} %"

    @admin.display(description=_("what it said"))
    def said(self, job: Job) -> str:
        return render_to_string("admin/operations/_job_output.html", {"job": job})

    @admin.display(description=_("options"))
    def chosen(self, job: Job) -> str:
        named = (name if value is True else f"{name}={value}" for name, value in job.options.items() if value)
        return ", ".join(named) or "–"


admin.site.unregister(DBTaskResult)  # jobs have a page of their own
