"""manage.py train: fit models on a file or on what the site's visitors like."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from evaluation.trainer import FROM_SITE, Trained, refuse_other_ids, train
from movie.event_stream.training_feed import feed_file, id_space_of
from movie.models import TrainingRun
from movie.progress_bar import shown
from movie.training_data import DataUnusable, site_graph, to_train_on
from movie.training_runs import Interrupted, StopTraining, queue, recorded
from predictors.config import parse_pairs
from predictors.devices import resolved
from predictors.errors import PredictorError, TrainingError
from predictors.plugins import MODELS, predictor_class
from predictors.progress import ProgressEvent
from predictors.serving.registry import ModelStore

if TYPE_CHECKING:
    from datasets.interactions import Interactions

INTERRUPTED = 130  # what a shell reports for a process that SIGINT ended


class Command(BaseCommand):
    help = "Train models and publish each as a new version; see manage.py models for what there is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("names", nargs="+", metavar="NAME", help=", ".join(MODELS))
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--data", type=Path, metavar="PATH", help="a data file or the folder that holds it"
        )
        source.add_argument("--from-site", action="store_true", help="what the visitors of this site like")
        add("--format", help="of --data; by default the name and the first lines decide")
        add("--columns", nargs="+", default=[], metavar="ROLE=NAME", help="of --data: user=uid item=sku ...")
        add("--min-rating", type=float, help="of --data: leave out interactions rated lower")
        add("--activate", action="store_true", help="serve the new versions at once")
        add("--options", nargs="+", default=[], metavar="NAME=VALUE", help="training options of the models")
        add("--resume", action="store_true", help="go on with an interrupted training")
        add("--no-refit", action="store_false", dest="refit", help="publish what was measured: half the time")
        add("--seed", type=int, default=1)
        add("--quiet", action="store_true", help="only say what went wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        names = list(dict.fromkeys(options["names"]))
        if options["data"] is not None:
            options["data"] = feed_file(options["data"])
        chosen = _checked(names, options)
        waiting = queue(names)
        refused = []
        try:
            with StopTraining() as stop:
                data: dict[bool, Interactions] = {}
                for name in names:
                    dislikes = options["from_site"] and predictor_class(name).learns_from_dislikes
                    if dislikes not in data:
                        data[dislikes] = _interactions(options, dislikes=dislikes)
                    run = waiting.pop(name)
                    try:
                        self._train(run, data[dislikes], chosen, stop, options)
                    except PredictorError as error:
                        refused.append(f"{name}: {error}")
                    except Interrupted:
                        raise CommandError(
                            _how_to_go_on([name, *waiting], options), returncode=INTERRUPTED
                        ) from None
        finally:
            for run in waiting.values():  # not begun
                run.delete()
        if refused:
            raise CommandError("\n".join(refused))

    def _train(
        self,
        run: TrainingRun,
        data: Interactions,
        chosen: Mapping[str, str],
        stop: StopTraining,
        options: Mapping[str, Any],
    ) -> None:
        with recorded(run) as write, shown(run.model, quiet=options["quiet"]) as show:

            def watch(event: ProgressEvent) -> None:
                show(event)
                write(event)
                stop.check()

            graph = site_graph(run.model) if options["from_site"] else {}
            trained = train(
                run.model,
                data,
                ModelStore(settings.MODEL_DIR),
                id_space=_id_space(options),
                source="" if options["from_site"] else str(options["data"]),
                options={"device": resolved(settings.DEVICE), **graph, **chosen},
                seed=options["seed"],
                activate=options["activate"],
                resume=options["resume"],
                refit=options["refit"],
                progress=watch,
            )
            run.version, run.metrics = trained.version, trained.metrics
        if not options["quiet"]:
            self.stdout.write(_result(trained))
            for name, reason in trained.left_out.items():
                self.stdout.write(f"{run.model} is fitted without {name}: {reason}")


def _checked(names: list[str], options: Mapping[str, Any]) -> dict[str, str]:
    """The training options, after everything was refused that can be refused before any work."""
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise CommandError(
            _("There is no model %(name)s; known: %(known)s")
            % {"name": ", ".join(unknown), "known": ", ".join(MODELS)}
        )
    if options["from_site"] and (options["format"] or options["columns"] or options["min_rating"]):
        raise CommandError(_("--format, --columns and --min-rating describe a file: use them with --data"))
    if options["seed"] < 0:
        raise CommandError(_("--seed: expected a number from 0 up"))
    try:
        if options["activate"]:
            refuse_other_ids(names[0], _id_space(options))
        return parse_pairs(options["options"])
    except TrainingError as error:
        raise CommandError(str(error)) from error


def _id_space(options: Mapping[str, Any]) -> str:
    if options["from_site"]:
        return FROM_SITE
    return id_space_of(options["data"])


def _interactions(options: Mapping[str, Any], *, dislikes: bool) -> Interactions:
    """What to train on; from the site with or without low ratings.

    Raises CommandError saying what to do when there is nothing.
    """
    if options["from_site"]:
        try:
            return to_train_on(dislikes=dislikes)
        except DataUnusable as error:
            raise CommandError(str(error)) from error
    from datasets.readers.dataset import DatasetError, named_columns, read_interactions
    from datasets.splits.protocols import at_least

    try:
        columns = named_columns(options["columns"]) or None
        interactions = read_interactions(options["data"], columns=columns, format=options["format"])
    except (DatasetError, ValueError) as error:
        raise CommandError(str(error)) from error
    if options["min_rating"] is not None:
        interactions = at_least(interactions, options["min_rating"])
    if not len(interactions):
        raise CommandError(_("%(file)s holds no such interactions") % {"file": options["data"]})
    return interactions


def _result(trained: Trained) -> str:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    return _("%(model)s %(version)s, %(state)s: %(figures)s (validation), %(seconds).1f CPU-seconds") % {
        "model": trained.name,
        "version": trained.version,
        "state": _("active") if trained.activated else _("not active"),
        "figures": figures or _("nothing to measure on"),
        "seconds": trained.cpu_seconds,
    }


def _how_to_go_on(names: Iterable[str], options: Mapping[str, Any]) -> str:
    parts = [*names, "--from-site" if options["from_site"] else f"--data {options['data']}"]
    parts += ["--activate"] if options["activate"] else []
    return _("Interrupted. To go on: manage.py train %(arguments)s --resume") % {"arguments": " ".join(parts)}
