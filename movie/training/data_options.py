"""Command line options that name training data, and the rows behind them."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from evaluation.trainer import FROM_SITE
from movie.training.datasets import DataUnusable, load_training_data
from movie.training.training_feed import id_space_of

if TYPE_CHECKING:
    from datasets.interactions import Interactions


def add_data_options(parser: ArgumentParser) -> None:
    """Add --data or --from-site, and what describes a file."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="PATH", help="a data file or the folder that holds it")
    source.add_argument("--from-site", action="store_true", help="what the visitors of this site like")
    add = parser.add_argument
    add("--format", help="of --data; by default the name and the first lines decide")
    add("--columns", nargs="+", default=[], metavar="ROLE=NAME", help="of --data: user=uid item=sku ...")
    add("--min-rating", type=float, help="of --data: leave out interactions rated lower")


def check_data_options(options: Mapping[str, Any]) -> None:
    """Raise CommandError on options of a file without a file."""
    if options["from_site"] and (options["format"] or options["columns"] or options["min_rating"]):
        raise CommandError(_("--format, --columns and --min-rating describe a file: use them with --data"))


def id_space(options: Mapping[str, Any]) -> str:
    """Return what the item ids mean."""
    if options["from_site"]:
        return FROM_SITE
    return id_space_of(options["data"])


def load_interactions(
    options: Mapping[str, Any], *, dislikes: bool, say: Callable[[str], object]
) -> Interactions:
    """Return what to train on; from the site with or without low ratings.

    `say` is told what was found out about the file and not stated.
    Raises CommandError saying what to do when there is nothing.
    """
    if options["from_site"]:
        try:
            return load_training_data(dislikes=dislikes)
        except DataUnusable as error:
            raise CommandError(str(error)) from error
    from datasets.readers.dataset import DatasetError, named_columns, read_interactions
    from datasets.splits.protocols import at_least

    try:
        columns = named_columns(options["columns"]) or None
        interactions = read_interactions(options["data"], columns=columns, format=options["format"], say=say)
    except (DatasetError, ValueError) as error:
        raise CommandError(str(error)) from error
    if options["min_rating"] is not None:
        interactions = at_least(interactions, options["min_rating"])
    if not len(interactions):
        raise CommandError(_("%(file)s holds no such interactions") % {"file": options["data"]})
    return interactions
