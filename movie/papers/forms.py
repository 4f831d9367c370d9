"""Forms: comments of members, and reviews in the admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from movie.papers.front_matter import EARLIEST_YEAR, LATEST_YEAR, LONGEST_LINK, TAKEN_SLUGS
from movie.papers.models import LONGEST_COMMENT, Comment, PaperReview
from movie.papers.rendering import render
from movie.papers.sync import known_models


class NormalizedTextField(forms.CharField):
    """Text whose line ends are made "\\n"; browsers send two characters for them."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")


class CommentForm(forms.ModelForm):
    """Plain text. `post_id` was made with the page."""

    body = NormalizedTextField(
        label=gettext_lazy("Your comment"),
        max_length=LONGEST_COMMENT,
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    post_id = forms.UUIDField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Comment
        fields: ClassVar = ["body"]


class LineListField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 60})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.to_python(initial) != self.to_python(data)


def _model_choices() -> list[tuple[str, str]]:
    return [("", "–"), *((name, name) for name in known_models())]


class PaperReviewForm(forms.ModelForm):
    """A review in the admin. What cannot be shown as meant is refused with its line."""

    authors = LineListField(label=gettext_lazy("Authors of the paper"), help_text=gettext_lazy("One a line."))
    tags = LineListField(label=gettext_lazy("Tags"), help_text=gettext_lazy("One a line."), required=False)
    model = forms.ChoiceField(label=gettext_lazy("Model it explains"), choices=_model_choices, required=False)
    body = NormalizedTextField(
        label=gettext_lazy("Text (Markdown)"),
        widget=forms.Textarea(attrs={"rows": 40, "cols": 100, "class": "vLargeTextField"}),
    )
    link = forms.URLField(
        label=gettext_lazy("Link to the paper"),
        max_length=LONGEST_LINK,
        assume_scheme="https",
        required=False,
    )
    year = forms.IntegerField(label=gettext_lazy("Year"), min_value=EARLIEST_YEAR, max_value=LATEST_YEAR)

    class Meta:
        model = PaperReview
        fields: ClassVar = [
            "title",
            "slug",
            "summary",
            "is_draft",
            "published",
            "paper_title",
            "authors",
            "venue",
            "year",
            "link",
            "model",
            "tags",
            "body",
        ]

    def clean_slug(self) -> str:
        slug = self.cleaned_data["slug"]
        if slug in TAKEN_SLUGS or slug != slug.lower() or "_" in slug:
            raise forms.ValidationError(
                _("Use lower case, digits and “-”; not one of: %(taken)s.")
                % {"taken": ", ".join(TAKEN_SLUGS)}
            )
        return slug

    def clean_body(self) -> str:
        """Raises ValidationError with a line for each problem."""
        body = self.cleaned_data["body"]
        slugs = {*PaperReview.objects.values_list("slug", flat=True), self.data.get("slug", "")}
        problems = render(body, known_reviews=slugs).problems
        if problems:
            heading = ngettext("%(n)d problem in the text:", "%(n)d problems in the text:", len(problems)) % {
                "n": len(problems)
            }
            lines = [
                _("Line %(line)d: %(problem)s") % {"line": each.line, "problem": each.message}
                for each in problems
            ]
            raise forms.ValidationError([heading, *lines])
        return body
