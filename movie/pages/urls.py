"""Addresses of the pages, and of the views that record interactions."""

from django.urls import path

from movie.pages.views import (
    account,
    catalogue,
    compare,
    experiments,
    history,
    interactions,
    pages,
    posters,
    privacy,
    taste_groups,
    why,
)

app_name = "pages"
urlpatterns = [
    path("", pages.home, name="home"),
    path("browse/", catalogue.browse, name="browse"),
    path("search/", catalogue.search, name="search"),
    path("search/suggest/", catalogue.search_suggest, name="search_suggest"),
    path("movies/<int:movie_id>/", catalogue.movie, name="movie"),
    path("movies/<int:movie_id>/why/", why.why, name="why"),
    path("about/data/", catalogue.data_sources, name="data_sources"),
    path("people/<int:person_id>/", catalogue.person, name="person"),
    path("genres/<int:genre_id>/", catalogue.genre, name="genre"),
    path("posters/<int:movie_id>.svg", posters.poster, name="poster"),
    path("recommend/", pages.recommend, name="recommend"),
    path("recommend/model/", pages.choose_model, name="choose_model"),
    path("compare/", compare.compare, name="compare"),
    path("compare/runs/", compare.compare_runs, name="compare_runs"),
    path("compare/runs/<slug:name>/<str:version>/", compare.model_card, name="model_card"),
    path("compare/groups/", taste_groups.taste_groups, name="taste_groups"),
    path("theme/", pages.choose_theme, name="choose_theme"),
    path("training/", pages.training_status, name="training_status"),
    path("go/<int:movie_id>/", interactions.go, name="go"),
    path("shown/<int:movie_id>/", interactions.shown, name="shown"),
    path("movies/<int:movie_id>/rate/", interactions.rate, name="rate"),
    path("movies/<int:movie_id>/click/", interactions.click, name="click"),
    path("movies/<int:movie_id>/dismiss/", interactions.dismiss, name="dismiss"),
    path("movies/<int:movie_id>/undo/", interactions.undo, name="undo"),
    path("movies/<int:movie_id>/watchlist/", interactions.watchlist, name="watchlist"),
    path("account/", account.account, name="account"),
    path("account/name/", account.change_name, name="change_name"),
    path("account/sessions/<int:session_id>/end/", account.end_session, name="end_session"),
    path("account/export.json", account.export, name="account_export"),
    path("account/close/", account.close, name="close_account"),
    path("privacy/", privacy.privacy, name="privacy"),
    path("history/", history.history, name="history"),
    path("history/export.csv", history.history_export, name="history_export"),
    path("history/import/", history.history_import, name="history_import"),
    path("history/forget/", history.forget_all, name="forget_all"),
    path("history/<int:movie_id>/forget/", history.forget_movie, name="forget_movie"),
]

experiment_patterns = (
    [
        path("", experiments.experiments, name="list"),
        path("<slug:name>/", experiments.experiment, name="detail"),
        path("<slug:name>/results.csv", experiments.experiment_csv, name="csv"),
        path("<slug:name>/start/", experiments.start, name="start"),
        path("<slug:name>/end/", experiments.end, name="end"),
        path("<slug:name>/promote/", experiments.promote, name="promote"),
        path("default/reset/", experiments.reset_default, name="reset_default"),
    ],
    "experiments",
)
