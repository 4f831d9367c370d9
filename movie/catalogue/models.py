"""Models of the catalogue and its ratings; genres and people are in names.py, sources in fact_sources.py,
its version in catalogue_version.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator, URLValidator
from django.db import models, transaction
from django.db.models import Count, F, Prefetch, Q, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from movie.catalogue import (
    fact_sources,  # noqa: F401 - its models belong to this app
    photographs,
)
from movie.catalogue.attributes import validate_attributes
from movie.catalogue.availability import available_now
from movie.catalogue.catalogue_version import CatalogueVersion
from movie.catalogue.importing.cells import imdb_id, tmdb_id
from movie.catalogue.importing.errors import RejectReason, RowError
from movie.catalogue.names import Country, CreditQuerySet, Genre, Language, Person
from movie.catalogue.photographs import NAME_PATTERN
from movie.catalogue.posters.sheet import DRAWING
from movie.catalogue.suffixes import Searchable, SearchableQuerySet
from movie.catalogue.titles import search_key, sort_title
from movie.core.database import LargestFirst
from movie.core.fields import ExactCharField
from movie.core.times import EARLIEST, LATEST

SHARED_SOURCES = ("imdb", "tmdb")  # id spaces in which every catalogue names the same movies
FULL_WEIGHT = 100  # percent, of a rating in public means
PRIOR_STARS, PRIOR_RATINGS = 3.5, 20.0  # "Best rated" counts so many ratings besides a movie's own
HALF_STARS = tuple(step / 2 for step in range(1, 11))


# The columns of a movie that follow from its ratings.
AGGREGATES = ("rating_count", "rating_sum", "rating_average", "withheld_weight", "withheld_stars")


class MovieQuerySet(models.QuerySet["Movie"]):
    def visible(self) -> Self:
        """Keep the movies that visitors may see now."""
        return self.filter(available_now())

    def for_cards(self) -> Self:
        """Prefetch genres and directors for cards, in two more queries."""
        directors = (
            Credit.objects.filter(role=Credit.Role.DIRECTOR).select_related("person").order_by("order")
        )
        return self.prefetch_related(
            "genres", Prefetch("credits", queryset=directors, to_attr="director_credits")
        )

    def most_rated(self) -> Self:
        return self.order_by("-rating_count", LargestFirst("rating_average"), "pk")

    def discard_photograph(self, name: str) -> None:
        """Delete the file of a photographed poster after the commit, unless a movie has it then."""

        def discard() -> None:
            if not self.filter(photograph=name).exists():
                photographs.discard(name)

        if name:
            transaction.on_commit(discard, robust=True)

    def update(self, **values: Any) -> int:
        """Update as Django does; other processes read the movies again unless only aggregates change."""
        count = super().update(**values)
        if count and not values.keys() <= set(AGGREGATES):
            CatalogueVersion.objects.raise_on_commit()
        return count

    update.alters_data = True  # type: ignore[attr-defined] # no template may call it

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Create as Django does; other processes read the movies again."""
        created: list[Any] = super().bulk_create(objs, *args, **kwargs)
        CatalogueVersion.objects.raise_on_commit()
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def refresh_aggregates(self, ids: Iterable[int] | None = None) -> int:
        """Recount the ratings of these movies (of all, when None); returns how many were recounted."""
        movies = self.all() if ids is None else self.filter(pk__in=list(ids))
        facts = (
            Rating.objects.filter(movie__in=movies)
            .order_by()
            .values("movie")
            .annotate(
                n=Count("pk"),
                total=Sum("value"),
                withheld=Sum(FULL_WEIGHT - F("weight")),
                stars=Sum((FULL_WEIGHT - F("weight")) * F("value"), output_field=models.FloatField()),
            )
        )
        counted: dict[int, Any] = {fact["movie"]: fact for fact in facts}
        nothing = {"n": 0, "total": 0.0, "withheld": 0, "stars": 0.0}
        changed = []
        for movie in movies.only("pk", *AGGREGATES):
            fact = counted.get(movie.pk, nothing)
            before = [getattr(movie, name) for name in AGGREGATES]
            movie.rating_count, movie.rating_sum = fact["n"], fact["total"]
            movie.withheld_weight, movie.withheld_stars = int(fact["withheld"]), fact["stars"]
            weight = FULL_WEIGHT * movie.rating_count - movie.withheld_weight
            stars = FULL_WEIGHT * movie.rating_sum - movie.withheld_stars
            movie.rating_average = stars / weight if weight else None
            if before != [getattr(movie, name) for name in AGGREGATES]:
                changed.append(movie)
        Movie.objects.bulk_update(changed, AGGREGATES, batch_size=500)
        return len(changed)


class Movie(models.Model):
    """Describes a movie. Pages show `display_title`; every title in every language is a `MovieTitle`."""

    title = models.CharField(_("title"), max_length=255)
    sort_title = models.CharField(_("sort title"), max_length=255, db_index=True, blank=True)
    year = models.PositiveSmallIntegerField(_("year"), null=True, blank=True, db_index=True)
    runtime = models.PositiveSmallIntegerField(_("runtime in minutes"), null=True, blank=True)
    synopsis = models.TextField(_("synopsis"), blank=True)
    poster_path = models.CharField(_("poster path"), max_length=255, blank=True)
    # The name of a photographed poster that the site stores and serves itself; see `catalogue.photographs`.
    photograph = models.CharField(
        _("photographed poster"), max_length=80, blank=True, default="", db_default="", db_index=True,
        validators=[RegexValidator(f"^{NAME_PATTERN}$")],
    )  # fmt: skip
    trailer_url = models.CharField(
        _("trailer"), max_length=200, blank=True, default="", db_default="",
        validators=[URLValidator(schemes=["https"])],
    )  # fmt: skip
    is_visible = models.BooleanField(_("visible"), default=True)
    # When visitors may see it; null where no such time is set. `available_now` reads all three.
    available_from = models.DateTimeField(_("available from"), null=True, blank=True)
    available_until = models.DateTimeField(_("available until"), null=True, blank=True)
    # What another program says of the movie in words of its own: JSON values by name.
    attributes = models.JSONField(_("attributes"), default=dict, blank=True, validators=[validate_attributes])
    genres = models.ManyToManyField(Genre, verbose_name=_("genres"), blank=True, related_name="movies")
    countries = models.ManyToManyField(
        Country, verbose_name=_("countries"), blank=True, related_name="movies"
    )
    languages = models.ManyToManyField(
        Language, verbose_name=_("languages"), blank=True, related_name="movies"
    )
    people = models.ManyToManyField(Person, through="Credit", related_name="movies")
    rating_count = models.PositiveIntegerField(_("ratings"), default=0, editable=False)
    rating_sum = models.FloatField(_("sum of stars"), default=0.0, editable=False)
    # The mean of the stars by their weights (`events.rating_weights`); null where none of them counts.
    rating_average = models.FloatField(_("mean stars"), null=True, editable=False)
    # What the ratings lack of full weight: the sum of 100 - weight, and of the stars times that. Whole
    # numbers and halves, so that sums in any order are exact. Ratings that count fully add nothing here.
    withheld_weight = models.IntegerField(default=0, db_default=0, editable=False)
    withheld_stars = models.FloatField(default=0.0, db_default=0.0, editable=False)
    # The mean that "Best rated" orders by, with PRIOR_RATINGS of PRIOR_STARS. These are the same for every
    # site and at all times, so that an index has the order.
    bayesian_average = models.GeneratedField(
        expression=(
            (F("rating_sum") - F("withheld_stars") / float(FULL_WEIGHT) + PRIOR_STARS * PRIOR_RATINGS)
            / (F("rating_count") - F("withheld_weight") / float(FULL_WEIGHT) + PRIOR_RATINGS)
        ),
        output_field=models.FloatField(),
        db_persist=True,
    )
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    objects = MovieQuerySet.as_manager()
    director_credits: list[Credit]

    class Meta:
        ordering: ClassVar = ["sort_title", "year", "pk"]
        verbose_name = _("film")
        verbose_name_plural = _("films")
        indexes: ClassVar = [
            # The order leads it: SQLite takes `WHERE is_visible` for no comparison, and would sort all movies
            # if that column came first. What hides movies is in it, so that ids need the index alone.
            models.Index(
                fields=[
                    "-rating_count",
                    "-rating_average",
                    "id",
                    "is_visible",
                    "available_from",
                    "available_until",
                ],
                name="most_rated",
            ),
            models.Index(
                fields=["-bayesian_average", "id", "is_visible", "available_from", "available_until"],
                name="best_rated",
            ),
        ]

    # The title in the visitor's language, "" where there is none; None until `load_local_titles` reads it.
    local_title: str | None = None

    def __str__(self) -> str:
        return f"{self.display_title} ({self.year})" if self.year else self.display_title

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the movie.

        A new title sets the sort title, unless that changed too, and replaces the old title's row. The file
        of a photographed poster goes with the last movie that has it.
        """
        before = Movie.objects.filter(pk=self.pk).first() if self.pk else None
        if before is not None and before.photograph != self.photograph:
            Movie.objects.discard_photograph(before.photograph)
        fields = kwargs.get("update_fields")
        if fields is not None and "title" not in fields:
            super().save(*args, **kwargs)
            return
        is_renamed = before is not None and before.title != self.title
        if not self.sort_title or (is_renamed and self.sort_title == before.sort_title):  # type: ignore[union-attr]
            self.sort_title = sort_title(self.title)
            if fields is not None:
                kwargs["update_fields"] = {*fields, "sort_title"}
        with transaction.atomic():
            super().save(*args, **kwargs)
            MovieTitle.objects.put(self, instead_of=before.title if before else "")

    def get_absolute_url(self) -> str:
        return reverse("pages:movie", args=[self.pk])

    @property
    def display_title(self) -> str:
        """Return the title in the visitor's language where it was read and exists, else `title`."""
        return self.local_title or self.title

    @property
    def is_available(self) -> bool:
        """Return whether visitors may see the movie now, as `MovieQuerySet.visible` has it."""
        now = timezone.now()
        return (
            self.is_visible
            and (self.available_from is None or self.available_from <= now)
            and (self.available_until is None or self.available_until > now)
        )

    @property
    def poster_version(self) -> str:
        """Return the version of the drawn poster: it changes with the movie and with `DRAWING`."""
        return f"{DRAWING}{int(self.updated.timestamp() * 1e6):x}"

    @property
    def unweighed_average(self) -> float | None:
        """Return the mean of the stars if every rating counted fully."""
        return self.rating_sum / self.rating_count if self.rating_count else None

    @property
    def slug(self) -> str:
        return slugify(self.title)

    @property
    def director_names(self) -> list[str]:
        """Return the directors in billing order; without a query when `for_cards` was used."""
        if not hasattr(self, "director_credits"):
            self.director_credits = list(
                self.credits.filter(role=Credit.Role.DIRECTOR).select_related("person").order_by("order")
            )
        return [credit.person.name for credit in self.director_credits]

    @property
    def genre_names(self) -> list[str]:
        return [genre.name for genre in self.genres.all()]


class ExternalId(models.Model):
    """Identifies a movie in another catalogue: `imdb` tt0113277, `movielens` 6, `ml-100k` 273, any
    data set."""

    movie = models.ForeignKey(Movie, models.CASCADE, related_name="external_ids")
    source = ExactCharField(_("source"), max_length=64)
    value = ExactCharField(_("id there"), max_length=128)

    class Meta:
        verbose_name = _("external id")
        verbose_name_plural = _("external ids")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "value"], name="one_film_per_external_id")
        ]

    def __str__(self) -> str:
        return f"{self.source}:{self.value}"

    def clean(self) -> None:
        """Write IMDb and TMDB ids in one form, and refuse what is none, such as a placeholder of zeros."""
        parse = {"imdb": imdb_id, "tmdb": tmdb_id}.get(self.source)
        if parse is None:
            return
        reason = RejectReason.IMDB if self.source == "imdb" else RejectReason.TMDB
        try:
            self.value = parse(self.value)
        except RowError:
            self.value = ""
        if not self.value:
            raise ValidationError({"value": _(reason.label)})


class MovieTitleQuerySet(SearchableQuerySet):
    def put(self, movie: Movie, *, instead_of: str = "") -> None:
        """Store the movie's title as one of its titles, in the row of the one before it.

        A row that states a language is a title of its own and stays.
        """
        own, key, key_before = self.filter(movie=movie), search_key(movie.title), search_key(instead_of)
        replaced = own.filter(search_key=key_before[:255], language="").exclude(search_key=key[:255])
        known = own.filter(search_key=key[:255])
        row: Any = known.first() or replaced.first() or MovieTitle(movie=movie)
        if instead_of and known:
            replaced.delete()
        if row.title != movie.title and not row.language:
            row.title = movie.title
            row.save()


class MovieTitle(Searchable):
    """Holds one title of a movie."""

    SEARCHED = "title"
    movie = models.ForeignKey(Movie, models.CASCADE, related_name="titles")
    title = models.CharField(_("title"), max_length=255)
    language = models.CharField(_("language code"), max_length=16, blank=True)

    objects = MovieTitleQuerySet.as_manager()

    class Meta:
        verbose_name = _("title")
        verbose_name_plural = _("titles")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["movie", "search_key"], name="each_title_once")
        ]

    def __str__(self) -> str:
        return self.title


class MovieTag(models.Model):
    """Counts how often people of a data set put a word on a movie; the word is folded as searches fold."""

    movie = models.ForeignKey(Movie, models.CASCADE, related_name="tags")
    name = ExactCharField(_("tag"), max_length=64, db_index=True)
    count = models.PositiveIntegerField(_("how often"), default=1)

    class Meta:
        ordering: ClassVar = ["-count", "name"]
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        constraints: ClassVar = [models.UniqueConstraint(fields=["movie", "name"], name="each_tag_once")]

    def __str__(self) -> str:
        return self.name


class Credit(models.Model):
    class Role(models.TextChoices):
        DIRECTOR = "director", _("Director")
        WRITER = "writer", _("Writer")
        CAST = "cast", _("Cast")

    movie = models.ForeignKey(Movie, models.CASCADE, related_name="credits")
    person = models.ForeignKey(Person, models.CASCADE, related_name="credits")
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    order = models.PositiveSmallIntegerField(_("billing"), default=0)

    objects = CreditQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["role", "order"]
        verbose_name = _("credit")
        verbose_name_plural = _("credits")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["movie", "role", "person"], name="each_credit_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["person", "role"], name="credit_of_person")]

    def __str__(self) -> str:
        return f"{self.person} – {self.get_role_display()} – {self.movie}"


class Rating(models.Model):
    """Holds the stars that a visitor gives a movie now.

    Visitors are `guest:<uuid>`, `user:<pk>` or `ml-100k:42`.
    """

    visitor = ExactCharField(_("visitor"), max_length=128)
    # `weighed_rating_of_film` is its index. As for events, the database has no constraint: who stores a
    # rating has locked the movie.
    movie = models.ForeignKey(
        Movie, models.CASCADE, related_name="ratings", db_index=False, db_constraint=False
    )
    value = models.FloatField(_("stars"), choices=[(value, f"{value:g}") for value in HALF_STARS])
    rated_at = models.DateTimeField(
        _("rated at"), validators=[MinValueValidator(EARLIEST), MaxValueValidator(LATEST)]
    )
    # How much it counts in public means; people of data sets count fully. See `events.rating_weights`.
    weight = models.PositiveSmallIntegerField(
        _("weight in percent"), default=FULL_WEIGHT, db_default=FULL_WEIGHT, editable=False
    )

    class Meta:
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["visitor", "movie"], name="one_rating_per_visitor_and_film"),
            models.CheckConstraint(condition=Q(value__in=HALF_STARS), name="rating_in_half_stars"),
        ]
        # With stars and weight in it: a movie's histogram and mean are counted without a look at its ratings.
        indexes: ClassVar = [models.Index(fields=["movie", "value", "weight"], name="weighed_rating_of_film")]

    def __str__(self) -> str:
        return f"{self.visitor}: {self.movie_id} = {self.value:g}"
