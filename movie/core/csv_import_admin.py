"""Show the import pages of the admin: a preview that locks nothing, then the good rows in small batches."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe
from import_export.admin import ImportExportModelAdmin
from import_export.formats.base_formats import CSV, TSV
from import_export.forms import ConfirmImportForm, ImportForm
from import_export.results import RowResult
from import_export.signals import post_import
from import_export.tmp_storages import TempFolderStorage
from tablib import Dataset

from movie.core.batches import write_in_batches
from movie.core.csv_import import MOST_ROWS, BatchResource, Preview, check_rows
from movie.core.request_limits import MB

IMPORT_SECONDS = 25.0  # for one request: proxies wait for a minute
FIRST_ROWS = 10  # of the first batch: a film takes some milliseconds
SIGNER = signing.Signer(salt="movie.core.csv_import_admin")


class RowsForm(ImportForm):
    """Takes a file and names the limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        text = _("At most %(n)s rows and %(mb)d MB at once; a longer table in several files.")
        self.fields["import_file"].help_text = text % {"n": f"{MOST_ROWS:,}", "mb": settings.ADMIN_UPLOAD_MB}

    def clean_import_file(self) -> Any:
        upload = self.cleaned_data["import_file"]
        if upload.size > settings.ADMIN_UPLOAD_MB * MB:
            raise forms.ValidationError(
                _("The file is larger than %(n)d MB.") % {"n": settings.ADMIN_UPLOAD_MB}
            )
        return upload


class ConfirmRowsForm(ConfirmImportForm):
    """Names the stored file, by a signed name, and the first row that is not imported yet."""

    start = forms.IntegerField(widget=forms.HiddenInput(), min_value=0, required=False)

    def clean_import_file_name(self) -> str:
        try:
            return SIGNER.unsign(self.cleaned_data["import_file_name"])
        except signing.BadSignature as error:
            raise forms.ValidationError(_("The file is no longer here. Choose it again.")) from error


class BatchImportAdmin(ImportExportModelAdmin):
    """Imports CSV and TSV in two steps: a preview that only reads, then batches with pauses."""

    formats = [CSV, TSV]
    import_form_class = RowsForm
    confirm_form_class = ConfirmRowsForm
    import_template_name = "admin/import_rows.html"

    def get_urls(self) -> list[URLPattern]:
        app, model = self.get_model_info()
        view = self.admin_site.admin_view(self.rejected_rows)
        return [path("import/rejected/", view, name=f"{app}_{model}_rejected_rows"), *super().get_urls()]

    def export_action(self, request: HttpRequest) -> HttpResponse:
        try:
            return super().export_action(request)
        except IncorrectLookupParameters:
            messages.warning(request, _("There is no such filter; this is the export of all."))
            return HttpResponseRedirect(request.path)

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the form, or what an import of the file would do."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        form = self.create_import_form(request)
        context: dict[str, Any] = {}
        if request.method == "POST" and form.is_valid():
            dataset = self._read(request, form)
            if dataset is not None:
                resource = self.choose_import_resource_class(form, request)
                preview = check_rows(resource, dataset, **self._resource_options(request, form))
                context = {"preview": preview, "rejected_url": self._rejected_url(preview)}
                if preview.n_importable and not preview.errors:
                    context["confirm_form"] = self.create_confirm_form(request, import_form=form)
        return self._page(request, form, context)

    @method_decorator(require_POST)
    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import the rows of a stored file that can be used, as many as there is time for."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        form = self.create_confirm_form(request)
        dataset = self._stored_dataset(form) if form.is_valid() else None
        app, model = self.get_model_info()
        if dataset is None:
            self.message_user(request, _("The file is no longer here. Choose it again."), messages.ERROR)
            return HttpResponseRedirect(reverse(f"admin:{app}_{model}_import"))
        start = form.cleaned_data["start"] or 0
        totals, done = self._import(request, form, dataset, start)
        self._say(request, totals)
        if start + done < len(dataset):
            left = len(dataset) - start - done
            initial = {**{name: form.data.get(name, "") for name in form.fields}, "start": start + done}
            context = {"confirm_form": self.get_confirm_form_class(request)(initial=initial), "n_left": left}
            return self._page(request, self.create_import_form(request), context)
        self._storage(form.cleaned_data["format"], form.cleaned_data["import_file_name"]).remove()
        post_import.send(sender=None, model=self.model)
        return HttpResponseRedirect(reverse(f"admin:{app}_{model}_changelist"))

    def _import(
        self, request: HttpRequest, form: forms.Form, dataset: Dataset, start: int
    ) -> tuple[Counter[str], int]:
        """Import rows from `start` until the time is up; return the totals and how many were looked at."""
        resource_class = self.choose_import_resource_class(form, request)
        options = self._resource_options(request, form)

        def write(rows: list[Any]) -> tuple[int, Counter[str]]:
            resource = resource_class(**options)
            with transaction.atomic():
                result = resource.import_data_inner(
                    Dataset(*rows, headers=dataset.headers), dry_run=False, raise_errors=False,
                    using_transactions=True, collect_failed_rows=False, retain_instance_in_row_result=True,
                    user=request.user, file_name=form.cleaned_data["original_file_name"],
                )  # fmt: skip
                if result.base_errors:
                    transaction.set_rollback(True)
                    return len(rows), Counter({RowResult.IMPORT_TYPE_ERROR: len(rows)})
                self.generate_log_entries(result, request)
            return len(rows), Counter(result.totals)

        totals: Counter[str] = Counter()
        done = 0
        until = time.monotonic() + IMPORT_SECONDS
        for n_rows, counted in write_in_batches(dataset[start:], write, first=FIRST_ROWS, until=until):
            done += n_rows
            totals.update(counted)
        return totals, done

    @method_decorator(require_safe)
    def rejected_rows(self, request: HttpRequest) -> HttpResponse:
        """Send the rows of a preview that cannot be used, with their reasons."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        app, model = self.get_model_info()
        try:
            name = SIGNER.unsign(request.GET.get("file", ""))
            content = TempFolderStorage(name=name, encoding="utf-8").read()
        except (signing.BadSignature, OSError):
            self.message_user(request, _("The file is no longer here. Choose it again."), messages.ERROR)
            return HttpResponseRedirect(reverse(f"admin:{app}_{model}_import"))
        headers = {"Content-Disposition": f'attachment; filename="{model}-rejected.csv"'}
        return HttpResponse("\ufeff" + content, content_type="text/csv; charset=utf-8", headers=headers)

    def _read(self, request: HttpRequest, form: forms.Form) -> Dataset | None:
        """Store and read the file; None, and the form says why, when it cannot be used."""
        input_format = self.get_import_formats()[int(form.cleaned_data["format"])]()
        input_format.encoding = self.from_encoding
        storage = self.write_to_tmp_storage(form.cleaned_data["import_file"], input_format)
        try:
            dataset = input_format.create_dataset(storage.read())
        except Exception as error:  # noqa: BLE001 - whatever the reader stumbles over
            self.add_data_read_fail_error_to_form(form, error)
            dataset = Dataset()
        if not form.errors and not dataset:
            form.add_error("import_file", _("The file has no rows."))
        elif len(dataset) > MOST_ROWS:
            text = _("The file has %(rows)s rows, and at most %(n)s can be imported at once. Split it.")
            form.add_error("import_file", text % {"rows": f"{len(dataset):,}", "n": f"{MOST_ROWS:,}"})
        if form.errors:
            storage.remove()
            return None
        form.cleaned_data["import_file"].tmp_storage_name = SIGNER.sign(storage.name)
        return dataset

    def _stored_dataset(self, form: forms.Form) -> Dataset | None:
        try:
            number, name = form.cleaned_data["format"], form.cleaned_data["import_file_name"]
            input_format = self.get_import_formats()[int(number)](encoding=self.from_encoding)
            return input_format.create_dataset(self._storage(number, name).read())
        except (OSError, ValueError, IndexError):
            return None

    def _storage(self, number: str, name: str) -> TempFolderStorage:
        input_format = self.get_import_formats()[int(number)](encoding=self.from_encoding)
        return TempFolderStorage(
            name=name, encoding=self.from_encoding, read_mode=input_format.get_read_mode()
        )

    def _rejected_url(self, preview: Preview) -> str:
        if not preview.rejected:
            return ""
        storage = TempFolderStorage()
        storage.save(preview.rejected_csv().encode())
        app, model = self.get_model_info()
        return f"{reverse(f'admin:{app}_{model}_rejected_rows')}?file={SIGNER.sign(storage.name)}"

    def _resource_options(self, request: HttpRequest, form: forms.Form) -> dict[str, Any]:
        return cast(dict[str, Any], self.get_import_resource_kwargs(request, form=form))

    def _page(self, request: HttpRequest, form: forms.Form, context: dict[str, Any]) -> HttpResponse:
        resources: list[BatchResource] = [each() for each in self.get_import_resource_classes(request)]
        context |= self.admin_site.each_context(request)
        context |= {
            "title": gettext_lazy("Import"),
            "form": form,
            "opts": self.model._meta,
            "media": self.media + form.media,
            "fields_list": [
                (each.get_display_name(), [column.column_name for column in each.get_user_visible_fields()])
                for each in resources
            ],
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, [self.import_template_name], context)

    def _say(self, request: HttpRequest, totals: Counter[str]) -> None:
        counted = {
            "new": totals[RowResult.IMPORT_TYPE_NEW],
            "changed": totals[RowResult.IMPORT_TYPE_UPDATE],
            "unchanged": totals[RowResult.IMPORT_TYPE_SKIP],
        }
        text = _("Imported: %(new)d new, %(changed)d changed, %(unchanged)d as they were.")
        self.message_user(request, text % counted, messages.SUCCESS)
        n_rejected = totals[RowResult.IMPORT_TYPE_ERROR] + totals[RowResult.IMPORT_TYPE_INVALID]
        if n_rejected:
            text = ngettext(
                "%(n)d row could not be used and was left out.",
                "%(n)d rows could not be used and were left out.",
                n_rejected,
            )
            self.message_user(request, text % {"n": n_rejected}, messages.WARNING)
