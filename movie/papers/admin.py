"""Reviews and comments in the admin. A review edited here belongs to the site, not to its file any more."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from movie.papers.forms import PaperReviewForm
from movie.papers.models import Comment, PaperReview


@admin.register(PaperReview)
class PaperReviewAdmin(admin.ModelAdmin):
    form = PaperReviewForm
    change_form_template = "admin/papers/change_form.html"
    list_display = ["title", "slug", "model", "published", "is_draft", "source", "minutes", "views"]
    list_filter = ["is_draft", "model"]
    search_fields = ["title", "paper_title", "summary"]
    readonly_fields = ["source", "views", "minutes"]
    prepopulated_fields = {"slug": ["title"]}
    actions = ["publish", "withdraw", "give_back"]
    fieldsets = [
        (
            None,
            {"fields": ["title", "slug", "summary", "is_draft", "published", "source", "views", "minutes"]},
        ),
        (_("The paper"), {"fields": ["paper_title", "authors", "venue", "year", "link"]}),
        (_("On this site"), {"fields": ["model", "tags"]}),
        (_("Text"), {"fields": ["body"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PaperReview]:
        return super().get_queryset(request).defer("html")

    @admin.display(description=_("belongs to"))
    def source(self, review: PaperReview) -> str:
        if not review.file_sha256:
            return str(_("the site"))
        return str(_("the site (edited here)") if review.edited_at else _("its file"))

    def save_model(self, request: HttpRequest, obj: PaperReview, form: ModelForm, change: bool) -> None:
        if change and form.changed_data:
            obj.edited_at = timezone.now()
        super().save_model(request, obj, form, change)

    def get_urls(self) -> list[URLPattern]:
        preview = path(
            "preview/", self.admin_site.admin_view(self.preview), name="papers_paperreview_preview"
        )
        return [preview, *super().get_urls()]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Render the page from the form without saving it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        number = request.GET.get("of", "")
        review = get_object_or_404(PaperReview, pk=number) if number.isdecimal() else None
        allowed = self.has_change_permission(request, review) if review else self.has_add_permission(request)
        if not allowed:
            raise PermissionDenied
        form = PaperReviewForm(request.POST, instance=review)
        form.is_valid()
        shown = form.instance
        shown.body = request.POST.get("body", "").replace("\r\n", "\n")
        shown.render()
        errors = {
            form.fields[name].label or name: each for name, each in form.errors.items() if name in form.fields
        }
        return render(request, "papers/preview.html", {"review": shown, "errors": errors})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        review = kwargs.get("obj")
        address = reverse("admin:papers_paperreview_preview")
        context["preview_url"] = f"{address}?of={review.pk}" if review else address
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description=_("Publish the selected reviews"), permissions=["change"])
    def publish(self, request: HttpRequest, reviews: QuerySet[PaperReview]) -> None:
        self._mark(request, reviews, is_draft=False)

    @admin.action(description=_("Make drafts of the selected reviews"), permissions=["change"])
    def withdraw(self, request: HttpRequest, reviews: QuerySet[PaperReview]) -> None:
        self._mark(request, reviews, is_draft=True)

    def _mark(self, request: HttpRequest, reviews: QuerySet[PaperReview], *, is_draft: bool) -> None:
        changed = list(reviews.exclude(is_draft=is_draft))
        for review in changed:
            review.is_draft, review.edited_at = is_draft, timezone.now()
            review.save()
        self._say(request, len(changed))

    @admin.action(description=_("Give the selected reviews back to their files"), permissions=["change"])
    def give_back(self, request: HttpRequest, reviews: QuerySet[PaperReview]) -> None:
        """Mark reviews so that the next `sync_papers` takes the text of their files again."""
        theirs = reviews.exclude(file_sha256="").exclude(edited_at=None)
        self._say(request, theirs.update(edited_at=None, renderer=0))

    def _say(self, request: HttpRequest, n: int) -> None:
        text = ngettext("%(n)d review was changed.", "%(n)d reviews were changed.", n) % {"n": n}
        self.message_user(request, text, messages.SUCCESS)


@admin.register(Comment)
class CommentAdmin(admin.ModelAdmin):
    list_display = ["excerpt", "author", "review", "written_at", "is_hidden"]
    list_display_links = ["excerpt"]
    list_filter = ["is_hidden", "review"]
    list_select_related = ["author", "review"]
    search_fields = ["body", "author__username"]
    readonly_fields = ["review", "author", "body", "written_at", "edited_at"]
    actions = ["hide", "show"]
    date_hierarchy = "written_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description=_("comment"))
    def excerpt(self, comment: Comment) -> str:
        return comment.body if len(comment.body) <= 80 else f"{comment.body[:79]}…"

    @admin.action(description=_("Hide the selected comments"), permissions=["change"])
    def hide(self, request: HttpRequest, comments: QuerySet[Comment]) -> None:
        comments.update(is_hidden=True)

    @admin.action(description=_("Show the selected comments"), permissions=["change"])
    def show(self, request: HttpRequest, comments: QuerySet[Comment]) -> None:
        comments.update(is_hidden=False)
