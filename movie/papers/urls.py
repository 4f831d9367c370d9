"""The pages about the papers behind the models."""

from django.urls import path

from movie.papers import views
from movie.papers.feeds import PaperFeed

app_name = "papers"
urlpatterns = [
    path("", views.papers, name="list"),
    path("feed/", PaperFeed(), name="feed"),
    path("figures/<str:name>", views.figure, name="figure"),
    path("code/<str:dotted>/", views.code, name="code"),
    path("<slug:slug>/", views.paper, name="detail"),
    path("<slug:slug>/try/", views.try_model, name="try"),
    path("<slug:slug>/comments/", views.comment, name="comment"),
    path("comments/<id:comment_id>/edit/", views.comment_edit, name="comment_edit"),
    path("comments/<id:comment_id>/delete/", views.comment_delete, name="comment_delete"),
    path("comments/<id:comment_id>/moderate/", views.comment_moderate, name="comment_moderate"),
]
