"""Pages of the admin that show what visitors see."""

from django.utils.translation import gettext_lazy as _

from movie.operations.admin_site import PAGES, AdminPage
from movie.pages.views import visitor_lookup

PAGES += [
    AdminPage("visitor/", "visitor", visitor_lookup.look_up, _("Look up a visitor"), visitor_lookup.TO_SEE),
    AdminPage("visitor/export/", "visitor_export", visitor_lookup.export),
    AdminPage("visitor/delete/", "visitor_delete", visitor_lookup.delete_history),
]
