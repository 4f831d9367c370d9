"""The reviews as RSS."""

import datetime

from django.contrib.syndication.views import Feed
from django.db.models import QuerySet
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from movie.papers.models import PaperReview

NEWEST = 30


class PaperFeed(Feed):
    title = _("Reelgraph: papers explained")
    description = _("The papers behind the models of this site, explained with formulas, code and figures.")
    link = reverse_lazy("papers:list")
    feed_url = reverse_lazy("papers:feed")
    language = "en"  # what the reviews are written in

    def items(self) -> QuerySet[PaperReview]:
        return PaperReview.objects.published().for_lists()[:NEWEST]

    def item_title(self, item: PaperReview) -> str:
        return item.title

    def item_description(self, item: PaperReview) -> str:
        return item.summary

    def item_pubdate(self, item: PaperReview) -> datetime.datetime:
        return datetime.datetime.combine(item.published, datetime.time(), datetime.UTC)

    def item_updateddate(self, item: PaperReview) -> datetime.datetime:
        return item.updated

    def item_categories(self, item: PaperReview) -> list[str]:
        return item.tags
