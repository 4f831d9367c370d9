"""Import and export of CSV files in the admin, for every model that has them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from import_export.admin import ImportExportModelAdmin
from import_export.fields import Field
from import_export.formats.base_formats import CSV, TSV
from import_export.resources import ModelResource

from movie.core.spreadsheets import neutralize, restore


class CsvResource(ModelResource):
    """Writes no cell that a spreadsheet takes for a formula, and reads its own cells back."""

    def export_field(self, field: Field, instance: Any, **kwargs: Any) -> Any:
        value = super().export_field(field, instance, **kwargs)
        return neutralize(value) if isinstance(value, str) else value

    def before_import_row(self, row: dict[str, Any], **kwargs: Any) -> None:
        super().before_import_row(row, **kwargs)
        for name, value in row.items():
            if isinstance(value, str):
                row[name] = restore(value)


class CsvAdmin(ImportExportModelAdmin):
    """Answers an address with unknown parameters, or a preview that is gone, with a message."""

    formats = (CSV, TSV)

    def export_action(self, request: HttpRequest) -> HttpResponse:
        try:
            return super().export_action(request)
        except IncorrectLookupParameters:
            messages.warning(request, _("There is no such filter; this is the export of all."))
            return HttpResponseRedirect(request.path)

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import what was previewed. A file that is not there any more has to be chosen again."""
        try:
            return super().process_import(request, **kwargs)
        except (OSError, ValueError, IndexError):
            messages.error(request, _("The file of this preview is gone. Choose it again."))
            names = (self.opts.app_label, self.opts.model_name)
            return HttpResponseRedirect(reverse("admin:{}_{}_import".format(*names)))
