"""Suffixes of titles and names: the index in which searches find a word by its beginning.

"The Godfather" has the suffixes `the godfather` and `godfather`, one for each word, and the same with a tab
in front, which marks the beginning of the title with and without its article. A database finds the texts that
begin with `godf` as one finds a word in a dictionary: by the order of an index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.db import models, transaction

from movie.catalogue.titles import search_key
from movie.core.fields import ExactCharField

TITLE_START = "\t"  # no search key has such a character
ARTICLES = ("the", "a", "an")  # at the front of a title or a query they count for nothing
LONGEST = 24  # characters after the mark; searches compare the rest with the search key
LAST = chr(0x10FFFF)  # after every other character
BATCH = 1_000  # rows of one statement


def suffixes(key: str) -> set[str]:
    """Return the suffixes of a search key: from each word on, and from each letter that is not a Latin one.

    Words of Korean, Chinese and other scripts are found by any part of them, Latin ones by their beginning,
    also after a hyphen or an apostrophe.
    """
    found = {TITLE_START + each[:LONGEST] for each in (key, without_article(key)) if each}
    for i, letter in enumerate(key):
        if not letter.isspace() and not (i and _is_latin(letter) and _is_latin(key[i - 1])):
            found.add(key[i : i + LONGEST].rstrip())
    return found


def _is_latin(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()


def bounds(text: str) -> tuple[str, str]:
    """Return the least text that a suffix with this beginning can be, and the least one after all of them."""
    start = text[: LONGEST + text.startswith(TITLE_START)].rstrip(" ")
    return start, start + LAST


def without_article(key: str) -> str:
    article, _, rest = key.partition(" ")
    return rest if rest and article in ARTICLES else key


class Suffix(models.Model):
    """Holds one suffix of its owner's `search_key`."""

    pk = models.CompositePrimaryKey("owner", "text")
    text = ExactCharField(max_length=LONGEST + 1)

    class Meta:
        abstract = True
        indexes: ClassVar = [models.Index(fields=["text", "owner"], name="%(class)s_text")]

    def __str__(self) -> str:
        return self.text


def _owner(model: str) -> models.ForeignKey:
    """Return the reference to the owner, with which the primary key begins.

    The database does not hold it, so that code from before the index can delete titles and names.
    """
    return models.ForeignKey(
        model, models.CASCADE, related_name="suffixes", db_index=False, db_constraint=False
    )


class TitleSuffix(Suffix):
    owner = _owner("MovieTitle")


class NameSuffix(Suffix):
    owner = _owner("Person")


def write_suffixes(model: Any, owners: Iterable[tuple[int, str]]) -> None:
    """Insert the suffixes of owners, given as (primary key, search key); `model` is a kind of Suffix."""
    model.objects.bulk_create(
        (model(owner_id=owner, text=text) for owner, key in owners for text in suffixes(key)),
        batch_size=BATCH,
        ignore_conflicts=True,
    )


def write_all_missing(model: Any, owner: Any) -> int:
    """Write the suffixes of all rows of `owner` that have none, in batches; return for how many rows."""
    last = n_written = 0
    missing = owner.objects.filter(suffixes=None).order_by("pk").values_list("pk", "search_key")
    while batch := list(missing.filter(pk__gt=last)[:BATCH]):
        write_suffixes(model, batch)
        last, n_written = batch[-1][0], n_written + len(batch)
    return n_written


def delete_orphans(model: Any, owner: Any) -> int:
    """Delete the suffixes whose owner is gone; return how many."""
    gone = model.objects.exclude(owner__in=owner.objects.values("pk"))
    return gone._raw_delete(gone.db)


class SearchableQuerySet(models.QuerySet[Any]):
    """Creates rows together with their suffixes."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Create as Django does, and write the suffixes of the new rows; their keys may be unknown."""
        with transaction.atomic():
            created: list[Any] = super().bulk_create(objs, *args, **kwargs)
            self.model.objects.all().write_missing_suffixes({each.search_key for each in created})
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined] # no template may call it

    def write_missing_suffixes(self, keys: Collection[str]) -> None:
        """Write the suffixes of the rows with these search keys that have none."""
        wanted = list(keys)
        for start in range(0, len(wanted), BATCH):
            rows = self.filter(search_key__in=wanted[start : start + BATCH], suffixes=None)
            write_suffixes(self.model.suffixes.rel.related_model, rows.values_list("pk", "search_key"))

    write_missing_suffixes.alters_data = True  # type: ignore[attr-defined]


class Searchable(models.Model):
    """Holds a text that searches find: `search_key` is the text folded, `suffixes` are its index."""

    SEARCHED: ClassVar[str]  # the field of the text
    search_key = ExactCharField(max_length=255, db_index=True, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.search_key = search_key(getattr(self, self.SEARCHED))[:255]
        with transaction.atomic():
            super().save(*args, **kwargs)

    def write_suffixes(self) -> None:
        """Replace the suffixes of a former text; a signal calls it after each save."""
        own: Any = self.suffixes  # type: ignore[attr-defined]
        wanted, there = suffixes(self.search_key), set(own.values_list("text", flat=True))
        if there - wanted:
            own.filter(text__in=there - wanted).delete()
        if wanted - there:
            write_suffixes(own.model, [(self.pk, self.search_key)])

    write_suffixes.alters_data = True  # type: ignore[attr-defined]
