"""Tables of the papers: reviews, comments of members, and the views of today."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.conf import settings
from django.core.cache import cache
from django.db import models
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from movie.papers.front_matter import LONGEST_LINE, LONGEST_LINK, LONGEST_SLUG, LONGEST_SUMMARY
from movie.papers.rendered import Heading, Rendered
from movie.papers.rendering import RENDERER, render

LONGEST_COMMENT = 4000
BY_MODEL, BY_MODEL_SECONDS = "paper-reviews-by-model", 60


class PaperReviewQuerySet(models.QuerySet["PaperReview"]):
    def published(self) -> Self:
        """Return the reviews that every visitor may read."""
        return self.filter(is_draft=False)

    def readable_by(self, user: Any) -> Self:
        """Return the reviews that this user may read: drafts are for staff."""
        return self if getattr(user, "is_staff", False) else self.published()

    def for_lists(self) -> Self:
        return self.defer("body", "html", "headings", "code_links")


class PaperReview(models.Model):
    """A page about one paper. `body` is what was written; `html` is made of it when it is saved."""

    slug = models.SlugField(_("address"), max_length=LONGEST_SLUG, unique=True)
    title = models.CharField(_("title"), max_length=LONGEST_LINE)
    summary = models.CharField(_("summary"), max_length=LONGEST_SUMMARY)
    paper_title = models.CharField(_("title of the paper"), max_length=LONGEST_LINE)
    authors = models.JSONField(_("authors of the paper"), default=list)
    venue = models.CharField(_("venue"), max_length=LONGEST_LINE)
    year = models.PositiveSmallIntegerField(_("year"))
    link = models.URLField(_("link to the paper"), max_length=LONGEST_LINK, blank=True)
    model = models.CharField(_("model it explains"), max_length=32, blank=True)
    tags = models.JSONField(_("tags"), default=list)
    published = models.DateField(_("published"))
    is_draft = models.BooleanField(_("draft"), default=False, help_text=_("Only staff can read a draft."))
    body = models.TextField(_("text (Markdown)"))

    html = models.TextField(editable=False)
    headings = models.JSONField(default=list, editable=False)  # [level, anchor, title]
    code_links = models.JSONField(default=list, editable=False)  # dotted names whose source may be shown
    minutes = models.PositiveSmallIntegerField(_("minutes to read"), default=1, editable=False)
    renderer = models.PositiveSmallIntegerField(default=0, editable=False)
    views = models.PositiveIntegerField(_("views"), default=0, editable=False)
    file_sha256 = models.CharField(max_length=64, blank=True, editable=False)  # empty: written on the site
    edited_at = models.DateTimeField(_("edited here"), null=True, blank=True, editable=False)
    updated = models.DateTimeField(auto_now=True)

    objects = PaperReviewQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-published", "title"]
        verbose_name = _("paper review")
        verbose_name_plural = _("paper reviews")

    def __str__(self) -> str:
        return self.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.render()
        if not self._state.adding and kwargs.get("update_fields") is None:
            # Views are counted in the database: what was read with this object may be old by now.
            columns = (each for each in self._meta.concrete_fields if not each.primary_key)
            kwargs["update_fields"] = [each.name for each in columns if each.name != "views"]
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("papers:detail", args=[self.slug])

    def render(self) -> Rendered:
        """Make the page of the text as it is now; `problems` of the result say what could not be shown."""
        done = render(self.body)
        self.html = done.html
        self.headings = [[each.level, each.anchor, each.title] for each in done.contents]
        self.code_links = done.code_links
        self.minutes = done.minutes
        self.renderer = RENDERER
        return done

    @property
    def contents(self) -> list[Heading]:
        return [Heading(*entry) for entry in self.headings]

    @property
    def cited_authors(self) -> str:
        """Return the names of all authors, as the paper gives them."""
        return ", ".join(self.authors)


class ViewToday(models.Model):
    """Marks the first view of a review by somebody today. Names nobody: see `view_counts`."""

    digest = models.CharField(max_length=64, primary_key=True)
    day = models.DateField(db_index=True)

    class Meta:
        verbose_name = _("view today")
        verbose_name_plural = _("views today")

    def __str__(self) -> str:
        return f"{self.day} {self.digest[:8]}"


class CommentQuerySet(models.QuerySet["Comment"]):
    def seen_by(self, user: Any) -> Self:
        """Return the comments that this user may see: hidden ones are for their authors and moderators."""
        if user.has_perm("papers.change_comment"):
            return self
        visible = models.Q(is_hidden=False)
        return self.filter(visible | models.Q(author=user.pk) if user.is_authenticated else visible)


class Comment(models.Model):
    """A comment of a member on a review: plain text."""

    review = models.ForeignKey(PaperReview, models.CASCADE, related_name="comments", verbose_name=_("review"))
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("author")
    )
    body = models.TextField(_("comment"), max_length=LONGEST_COMMENT)
    is_hidden = models.BooleanField(_("hidden"), default=False)
    post_id = models.UUIDField(unique=True, editable=False)  # made with the form: sent twice, stored once
    written_at = models.DateTimeField(_("written"), auto_now_add=True)
    edited_at = models.DateTimeField(_("edited"), null=True, blank=True, editable=False)

    objects = CommentQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["written_at", "pk"]
        verbose_name = _("comment")
        verbose_name_plural = _("comments")
        indexes: ClassVar = [models.Index(fields=["review", "written_at"], name="comments_of_review")]

    def __str__(self) -> str:
        return f"{self.author}: {self.body[:60]}"

    def get_absolute_url(self) -> str:
        return f"{self.review.get_absolute_url()}#comment-{self.pk}"


def addresses_by_model() -> dict[str, str]:
    """Return the address of each model's newest review, by the model's name."""
    rows = PaperReview.objects.published().exclude(model="").order_by("published", "pk")
    return {model: reverse("papers:detail", args=[slug]) for model, slug in rows.values_list("model", "slug")}


@receiver([post_save, post_delete], sender=PaperReview, dispatch_uid="papers.forget_by_model")
def forget_by_model(**kwargs: Any) -> None:
    cache.delete(BY_MODEL)
