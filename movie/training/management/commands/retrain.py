"""manage.py retrain: train on recent interactions, and activate the result unless it is worse."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.events.weighing import settle_weights, warn_of_unusual_movies
from movie.training.datasets import DataUnusable, graph_option, load_training_data
from movie.training.models import TrainingRun
from movie.training.processes import refuse_several_processes
from movie.training.promotion import TOLERANCE, RetrainingBusy, RetrainResult, exclusive_lock, retrain
from movie.training.runs import Interrupted, StopTraining, queued, recorded
from movie.training.site_store import SiteModelStore
from movie.training.temporal_split import MIN_VISITORS
from predictors.config import options_of, parse_pairs
from predictors.devices import resolved
from predictors.errors import PredictorError, TrainingError
from predictors.plugins import MODELS, predictor_class
from predictors.progress import ProgressEvent
from predictors.serving.registry import ModelStore
from predictors.tuning import read_config

if TYPE_CHECKING:
    from datasets.interactions import Interactions

logger = logging.getLogger(__name__)

ACTIVATED, FAILED, KEPT, BUSY = 0, 1, 3, 75  # 2 is a wrong call, 75 EX_TEMPFAIL
STATUS = f"""exit status: {ACTIVATED} a new version serves, {KEPT} all stayed as they were, {FAILED} something
failed, {BUSY} another retraining is at work, {INTERRUPTED} interrupted"""
LONGEST_MESSAGE = 255


class Command(BaseCommand):
    help = (
        "Settle the weights of ratings, train models anew and let each new version serve unless it is worse "
        "than the active one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog = STATUS
        add = parser.add_argument
        add("names", nargs="*", metavar="MODEL", help="by default all that have an active version")
        add("--data", type=Path, metavar="PATH", help="a training feed instead of what the site has")
        add(
            "--options",
            nargs="+",
            default=[],
            metavar="[MODEL.]NAME=VALUE",
            help="other options than the active ones; without MODEL. for all that are named",
        )
        add("--config", type=Path, metavar="FILE", help="options from a JSON or TOML file, as tune writes it")
        add(
            "--tolerance",
            type=float,
            default=TOLERANCE,
            metavar="SHARE",
            help="of the active version's figure by which a new one may be worse (default: %(default)s)",
        )
        add(
            "--min-visitors",
            type=int,
            default=MIN_VISITORS,
            metavar="N",
            help="to compare by; with fewer nothing is changed (default: %(default)s)",
        )
        add("--dry-run", action="store_true", help="train and compare, but store and activate nothing")
        add("--seed", type=int, default=1)
        add("--quiet", action="store_true", help="only say what went wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_several_processes("retrain")
        store = SiteModelStore(settings.MODEL_DIR)
        options["names"] = list(dict.fromkeys(options["names"])) or store.names()
        names = _check_models(options["names"], options)
        try:
            with exclusive_lock(store.root), StopTraining() as stop:
                if not (options["data"] or options["dry_run"]):  # those need no site, or change none
                    settle_weights()
                    warn_of_unusual_movies()
                outcomes, failed = self._retrain_all(names, store, stop, options)
        except RetrainingBusy as error:
            raise CommandError(str(error), returncode=BUSY) from error
        except Interrupted:
            raise CommandError(
                "Interrupted. What serves was not changed by what was under way.", returncode=INTERRUPTED
            ) from None
        if failed:
            raise CommandError("\n".join(failed), returncode=FAILED)
        if not any(outcome.activated for outcome in outcomes):
            raise SystemExit(KEPT)

    def _retrain_all(
        self, names: list[str], store: ModelStore, stop: StopTraining, options: Mapping[str, Any]
    ) -> tuple[list[RetrainResult], list[str]]:
        data: dict[bool, Interactions] = {}
        outcomes: list[RetrainResult] = []
        failed: list[str] = []
        with queued([] if options["dry_run"] else names) as waiting:
            for name in names:
                stop.check()
                run = waiting.pop(name, None) or TrainingRun(model=name)
                try:
                    dislikes = predictor_class(name).learns_from_dislikes
                    if dislikes not in data:
                        data[dislikes] = load_training_data(options["data"], dislikes=dislikes)
                    outcome = self._retrain(run, data[dislikes], store, stop, options)
                except (PredictorError, DataUnusable) as error:
                    failed.append(f"{name}: {error}")
                    continue
                except OSError as error:
                    failed.append(f"{name}: {error.filename or store.root}: {error.strerror or error}")
                    continue
                except Interrupted:
                    raise
                except Exception as error:  # the others are retrained whatever a model of a package raises
                    logger.exception("the retraining of %s failed", name)
                    failed.append(f"{name}: {type(error).__name__}: {error}")
                    continue
                outcomes.append(outcome)
                if not options["quiet"]:
                    self.stdout.write(_describe(outcome, dry_run=options["dry_run"]))
        return outcomes, failed

    def _retrain(
        self,
        run: TrainingRun,
        data: Interactions,
        store: ModelStore,
        stop: StopTraining,
        options: Mapping[str, Any],
    ) -> RetrainResult:
        with ProgressBar(enabled=not options["quiet"]) as bar:

            def retrain_model(write: Any) -> RetrainResult:
                def watch(event: ProgressEvent) -> None:
                    bar.show(event, run.model)
                    write(event)
                    stop.check()

                return retrain(
                    run.model,
                    data,
                    store,
                    options=_options(run.model, options),
                    run_options={"device": resolved(settings.DEVICE), **graph_option(run.model)},
                    source="" if options["data"] is None else str(options["data"]),
                    seed=options["seed"],
                    tolerance=options["tolerance"],
                    min_visitors=options["min_visitors"],
                    dry_run=options["dry_run"],
                    progress=watch,
                )

            if options["dry_run"]:
                return retrain_model(lambda event: None)
            with recorded(run) as write:
                outcome = retrain_model(write)
                run.version = outcome.version
                run.metrics = {**run.metrics, **_figures(outcome)}
            run.message = _describe(outcome)[:LONGEST_MESSAGE]
            run.save(update_fields=["message", "updated_at"])
        return outcome


def _check_models(names: list[str], options: Mapping[str, Any]) -> list[str]:
    """Return the models after refusing everything that can be refused before any work."""
    if unknown := [name for name in names if name not in MODELS]:
        raise CommandError(
            "There is no model {name}; known: {known}".format(
                name=", ".join(unknown), known=", ".join(MODELS)
            )
        )
    if not names:
        raise CommandError(
            "No model is active. Train one with: manage.py train popular --from-site --activate"
        )
    if not 0 <= options["tolerance"] < 1:
        raise CommandError("--tolerance: expected a share from 0 up to 1, such as 0.02")
    if options["min_visitors"] < 1:
        raise CommandError("--min-visitors: expected 1 or more")
    if options["seed"] < 0:
        raise CommandError("--seed: expected a number from 0 up")
    try:
        for name in names:
            _options(name, options)
    except TrainingError as error:
        raise CommandError(str(error)) from error
    return names


def _options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that differ from the active ones: those of the file, changed by --options."""
    from_file = read_config(options["config"], name) if options["config"] else {}
    return {**from_file, **options_of(name, parse_pairs(options["options"]), options["names"])}


def _describe(outcome: RetrainResult, *, dry_run: bool = False) -> str:
    names = {"model": outcome.model, "version": outcome.version, "reason": outcome.reason}
    if dry_run:
        would = "%(model)s, dry run: would be activated. %(reason)s"
        would_not = "%(model)s, dry run: would be kept out. %(reason)s"
        return (would if outcome.activated else would_not) % names
    if outcome.activated:
        return "{model} {version} is active. {reason}".format(**names)
    if outcome.version:
        return "{model} {version} is kept out. {reason}".format(**names)
    return "{model} stays as it is. {reason}".format(**names)


def _figures(outcome: RetrainResult) -> dict[str, float]:
    """Return the figures of both versions for the record of the run."""
    compared = outcome.comparison
    if compared is None:
        return {}
    name = f"{compared.protocol} {compared.metric}"
    return {name: compared.candidate, f"{name}, active before": compared.active}
