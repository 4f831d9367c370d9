"""The pages about the papers behind the models."""

from django.urls import path

from movie.paper_reviews import views
from movie.paper_reviews.feeds import PaperFeed

urlpatterns = [
    path("", views.papers, name="papers"),
    path("feed/", PaperFeed(), name="paper_feed"),
    path("figures/<str:name>", views.figure, name="paper_figure"),
    path("code/<str:dotted>/", views.code, name="paper_code"),
    path("<slug:slug>/", views.paper, name="paper"),
    path("<slug:slug>/try/", views.try_model, name="paper_try"),
    path("<slug:slug>/comments/", views.comment, name="paper_comment"),
    path("comments/<int:comment_id>/edit/", views.comment_edit, name="paper_comment_edit"),
    path("comments/<int:comment_id>/delete/", views.comment_delete, name="paper_comment_delete"),
    path("comments/<int:comment_id>/moderate/", views.comment_moderate, name="paper_comment_moderate"),
]
