from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PaperReviewsConfig(AppConfig):
    name = "movie.paper_reviews"
    label = "paper_reviews"
    verbose_name = _("Papers")
