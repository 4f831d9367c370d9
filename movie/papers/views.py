"""Views of the papers: the list, a review with its comments, its live demo, and linked source code."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from movie.core.http import is_htmx, see_other
from movie.core.ids import new_event_id
from movie.papers.code_styles import highlighted_lines
from movie.papers.figures import FigureError, read_figure
from movie.papers.forms import CommentForm
from movie.papers.live_demo import run_demo
from movie.papers.models import Comment, PaperReview
from movie.papers.source_code import SourceNotFound, find_source
from movie.papers.view_counts import count_view
from movie.training.model_info import MODEL_INFO
from movie.visitors.throttling import limited_post, seconds_until
from movie.visitors.visitor import VisitorRequest

COMMENTS_A_PAGE = 50
COMMENTS_AT_ONCE, COMMENT_WINDOW = 5, 600  # so many new comments of one member in so many seconds
FIGURE_SECONDS = 365 * 24 * 3600  # the address carries the figure's version


@require_safe
def papers(request: HttpRequest) -> HttpResponse:
    """List all reviews, or those with one tag."""
    reviews = list(PaperReview.objects.readable_by(request.user).for_lists())
    tags = sorted({tag for review in reviews for tag in review.tags})
    tag = request.GET.get("tag", "")
    if tag in tags:
        reviews = [review for review in reviews if tag in review.tags]
    return render(
        request, "papers/papers.html", {"reviews": reviews, "tags": tags, "tag": tag if tag in tags else ""}
    )


@require_safe
def paper(request: VisitorRequest, slug: str) -> HttpResponse:
    """Show one review, with a live demo of its model."""
    review = _readable(request, slug)
    if not review.is_draft:
        count_view(request, review)
    return render(request, "papers/paper.html", _page(request, review))


@require_safe
def try_model(request: VisitorRequest, slug: str) -> HttpResponse:
    """Answer htmx with the live demo alone, everyone else with the review."""
    review = _readable(request, slug)
    if review.model not in MODEL_INFO:
        raise Http404
    address = f"{review.get_absolute_url()}?{request.GET.urlencode()}#try"
    if not is_htmx(request):
        return see_other(address)
    context = {"review": review, "next": address, **_demo_context(request, review)}
    response = render(request, "papers/_try.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
def figure(request: HttpRequest, name: str) -> HttpResponse:
    """Return a drawing of a review."""
    try:
        found = read_figure(name)
    except FigureError as error:
        raise Http404(str(error)) from error
    response = HttpResponse(found.content, content_type="image/svg+xml")
    lasting = request.GET.get("v") == found.version
    response["Cache-Control"] = f"public, max-age={FIGURE_SECONDS if lasting else 300}" + (
        ", immutable" if lasting else ""
    )
    # Opened by itself a drawing is a document: it may style itself and do nothing else.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


@require_safe
def code(request: HttpRequest, dotted: str) -> HttpResponse:
    """Show the source of a name that a published review links to."""
    linked = PaperReview.objects.readable_by(request.user).defer("body", "html", "headings")
    reviews = [review for review in linked if dotted in review.code_links]
    if not reviews:
        raise Http404
    try:
        source = find_source(dotted)
    except SourceNotFound as error:  # renamed since the review was rendered
        raise Http404(str(error)) from error
    context = {"source": source, "lines": highlighted_lines(source.text), "reviews": reviews}
    return render(request, "papers/code.html", context)


# -- comments ---------------------------------------------------------------------------------


@limited_post
def comment(request: HttpRequest, slug: str) -> HttpResponse:
    """Store a member's comment; the same form sent twice makes one comment."""
    review = _readable(request, slug)
    if not request.user.is_authenticated:
        return redirect_to_login(f"{review.get_absolute_url()}#comments")
    form = CommentForm(request.POST)
    if not form.is_valid():
        return render(request, "papers/comment.html", {"review": review, "form": form}, status=422)
    said = form.save(commit=False)
    said.review, said.author_id = review, request.user.pk
    said.post_id = form.cleaned_data["post_id"] or new_event_id()
    before = Comment.objects.filter(post_id=said.post_id).first()
    if before is not None and not _is_same(before, said):
        before, said.post_id = None, new_event_id()  # the same form with another text is another comment
    if before is None:
        wait = seconds_until(f"comments:{request.user.pk}", COMMENTS_AT_ONCE, COMMENT_WINDOW)
        if wait:
            form.add_error(None, _too_many(wait))
            response = render(request, "papers/comment.html", {"review": review, "form": form}, status=429)
            response["Retry-After"] = str(wait)
            return response
        wanted = {"review": review, "author_id": said.author_id, "body": said.body}
        before, _new = Comment.objects.get_or_create(post_id=said.post_id, defaults=wanted)
    messages.success(request, _("Your comment is there."))
    return see_other(before.get_absolute_url())


def comment_edit(request: HttpRequest, comment_id: int) -> HttpResponse:
    """Let a member change their own comment."""
    if request.method == "POST":
        return _save_comment(request, comment_id)
    return _edit_comment(request, comment_id)


@require_safe
def _edit_comment(request: HttpRequest, comment_id: int) -> HttpResponse:
    own = _own_comment(request, comment_id)
    return render(
        request,
        "papers/comment.html",
        {"review": own.review, "comment": own, "form": CommentForm(instance=own)},
    )


@limited_post
def _save_comment(request: HttpRequest, comment_id: int) -> HttpResponse:
    own = _own_comment(request, comment_id)
    form = CommentForm(request.POST, instance=own)
    if not form.is_valid():
        return render(
            request, "papers/comment.html", {"review": own.review, "comment": own, "form": form}, status=422
        )
    if "body" in form.changed_data:
        own.edited_at = timezone.now()
        own.save(update_fields=["body", "edited_at"])
    return see_other(own.get_absolute_url())


@limited_post
def comment_delete(request: HttpRequest, comment_id: int) -> HttpResponse:
    """Delete one's own comment, or any with the permission to."""
    found = get_object_or_404(Comment.objects.select_related("review"), pk=comment_id)
    if found.author_id != request.user.pk and not request.user.has_perm("papers.delete_comment"):
        raise PermissionDenied
    found.delete()
    messages.success(request, _("The comment is deleted."))
    return see_other(f"{found.review.get_absolute_url()}#comments")


@limited_post
def comment_moderate(request: HttpRequest, comment_id: int) -> HttpResponse:
    """Hide a comment from visitors, or show it again."""
    if not request.user.has_perm("papers.change_comment"):
        raise PermissionDenied
    found = get_object_or_404(Comment.objects.select_related("review"), pk=comment_id)
    found.is_hidden = request.POST.get("hidden") == "1"
    found.save(update_fields=["is_hidden"])
    text = (
        _("The comment is hidden. Its author still sees it.")
        if found.is_hidden
        else _("The comment is shown again.")
    )
    messages.success(request, text)
    return see_other(found.get_absolute_url())


def _own_comment(request: HttpRequest, comment_id: int) -> Comment:
    """Return a comment of the visitor's own. Raises PermissionDenied for one of somebody else."""
    found = get_object_or_404(Comment.objects.select_related("review"), pk=comment_id)
    if not request.user.is_authenticated or found.author_id != request.user.pk:
        raise PermissionDenied
    return found


def _is_same(one: Comment, other: Comment) -> bool:
    return (one.author_id, one.review_id, one.body) == (other.author_id, other.review_id, other.body)


def _too_many(wait: int) -> str:
    minutes = -(-wait // 60)
    return ngettext(
        "That was a lot in a short time. Your text is kept here; send it again in %(n)d minute.",
        "That was a lot in a short time. Your text is kept here; send it again in %(n)d minutes.",
        minutes,
    ) % {"n": minutes}


# -- what a review's page needs ---------------------------------------------------------------


def _readable(request: HttpRequest, slug: str) -> PaperReview:
    return get_object_or_404(PaperReview.objects.readable_by(request.user), slug=slug)


def _page(request: VisitorRequest, review: PaperReview) -> dict[str, Any]:
    said: QuerySet[Comment] = review.comments.seen_by(request.user).select_related("author")
    page_obj = Paginator(said, COMMENTS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "review": review,
        "page_obj": page_obj,
        "comment_form": CommentForm(),
    }
    return context | (_demo_context(request, review) if review.model in MODEL_INFO else {})


def _demo_context(request: VisitorRequest, review: PaperReview) -> dict[str, Any]:
    """Return the context of the live demo. Cards show the reader's own stars, not the example's."""
    demo = run_demo(request.visitor, review.model, request.GET.get("history", "")[:64])
    return {
        "demo": demo,
        "model_label": MODEL_INFO[review.model].label,
        "ratings": demo.history.ratings,
        "watchlist": demo.history.watchlist,
    }
