"""manage.py train: fit models on a file or on what the site's visitors like."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from evaluation.hooks import open_hooks
from evaluation.trainer import Trained, refuse_other_ids, train
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.training.data_options import add_data_options, check_data_options, id_space, load_interactions
from movie.training.datasets import graph_option
from movie.training.models import TrainingRun
from movie.training.processes import is_first_process, joined_processes
from movie.training.runs import Interrupted, StopTraining, queued, recorded
from movie.training.site_store import SiteModelStore
from movie.training.training_feed import feed_file
from predictors.config import options_of, parse_pairs
from predictors.devices import resolved
from predictors.errors import PredictorError
from predictors.plugins import MODELS, predictor_class
from predictors.progress import ProgressEvent
from predictors.tuning import read_config

if TYPE_CHECKING:
    from datasets.interactions import Interactions

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Train models and publish each as a new version; see manage.py models for what there is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("names", nargs="+", metavar="NAME", help=", ".join(MODELS))
        add_data_options(parser)
        add("--activate", action="store_true", help="serve the new versions at once")
        add(
            "--options",
            nargs="+",
            default=[],
            metavar="[MODEL.]NAME=VALUE",
            help="training options; without MODEL. they are for all that are named",
        )
        add("--config", type=Path, metavar="FILE", help="options from a JSON or TOML file, as tune writes it")
        add(
            "--hook",
            action="append",
            default=[],
            metavar="TRACKER=TARGET",
            help="follow the training in tensorboard=FOLDER or mlflow=URI",
        )
        add("--resume", action="store_true", help="go on with an interrupted training")
        add("--no-refit", action="store_false", dest="refit", help="publish what was measured: half the time")
        add("--seed", type=int, default=1)
        add("--quiet", action="store_true", help="only say what went wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        names = list(dict.fromkeys(options["names"]))
        if not is_first_process():
            options |= {"activate": False, "hook": [], "quiet": True}
        elif options["data"] is not None:
            options["data"] = feed_file(options["data"])
        chosen = _check_models(names, options)
        refused = []
        with (
            joined_processes() as load_once,
            queued(names, is_first=is_first_process()) as waiting,
            StopTraining() as stop,
        ):
            data: dict[bool, Interactions] = {}
            for name in names:
                dislikes = options["from_site"] and predictor_class(name).learns_from_dislikes
                if dislikes not in data:
                    data[dislikes] = load_once(
                        partial(load_interactions, options, dislikes=dislikes, say=self.stderr.write)
                    )
                run = waiting.pop(name)
                try:
                    self._train(run, data[dislikes], chosen[name], stop, options)
                except PredictorError as error:
                    refused.append(f"{name}: {error}")
                except Interrupted:
                    raise CommandError(
                        _resume_command([name, *waiting], options), returncode=INTERRUPTED
                    ) from None
                except Exception as error:
                    logger.exception("the training of %s failed", name)
                    refused.append(f"{name}: {type(error).__name__}: {error}")
                if refused and settings.TRAINING_PROCESSES > 1:
                    break  # the others may be at another model
        if refused:
            raise CommandError("\n".join(refused))

    def _train(
        self,
        run: TrainingRun,
        data: Interactions,
        chosen: Mapping[str, Any],
        stop: StopTraining,
        options: Mapping[str, Any],
    ) -> None:
        with (
            recorded(run, is_first=is_first_process()) as write,
            ProgressBar(enabled=not options["quiet"]) as bar,
        ):

            def watch(event: ProgressEvent) -> None:
                bar.show(event, run.model)
                write(event)
                stop.check()

            graph = graph_option(run.model) if options["from_site"] else {}
            trained = train(
                run.model,
                data,
                SiteModelStore(settings.MODEL_DIR),
                id_space=id_space(options),
                source="" if options["from_site"] else str(options["data"]),
                options={"device": resolved(settings.DEVICE), **graph, **chosen},
                seed=options["seed"],
                activate=options["activate"],
                resume=options["resume"],
                refit=options["refit"],
                progress=watch,
                hooks=open_hooks(options["hook"]),
                is_first=is_first_process(),
            )
            run.version, run.metrics = trained.version, trained.metrics
        if not options["quiet"]:
            self.stdout.write(_result(trained))
            for name, reason in trained.left_out.items():
                self.stdout.write(f"{run.model} is fitted without {name}: {reason}")


def _check_models(names: list[str], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the training options by model after refusing everything that can be refused before any work."""
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise CommandError(
            "There is no model {name}; known: {known}".format(
                name=", ".join(unknown), known=", ".join(MODELS)
            )
        )
    check_data_options(options)
    if options["seed"] < 0:
        raise CommandError("--seed: expected a number from 0 up")
    try:
        if settings.TRAINING_PROCESSES > 1:
            _refuse_trained_alone(names)
        if options["activate"]:
            refuse_other_ids(names[0], id_space(options))
        pairs = parse_pairs(options["options"])
        given = {name: options_of(name, pairs, names) for name in names}
        open_hooks(options["hook"])  # what is not installed is said now
        if not options["config"]:
            return given
        return {name: {**read_config(options["config"], name), **given[name]} for name in names}
    except PredictorError as error:
        raise CommandError(str(error)) from error


def _refuse_trained_alone(names: Iterable[str]) -> None:
    """Raise CommandError on models that several processes cannot train together."""
    together = [name for name in MODELS if predictor_class(name).trains_on_processes]
    if alone := [name for name in names if name not in together]:
        raise CommandError(
            f"one process trains {', '.join(alone)}; several can train {', '.join(together)} only"
        )


def _result(trained: Trained) -> str:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    return "{model} {version}, {state}: {figures} (validation), {seconds:.1f} CPU-seconds".format(
        model=trained.name,
        version=trained.version,
        state="active" if trained.activated else "not active",
        figures=figures or "nothing to measure on",
        seconds=trained.cpu_seconds,
    )


def _resume_command(names: Iterable[str], options: Mapping[str, Any]) -> str:
    parts = [*names, "--from-site" if options["from_site"] else f"--data {options['data']}"]
    parts += ["--activate"] if options["activate"] else []
    return "Interrupted. To go on: manage.py train {arguments} --resume".format(arguments=" ".join(parts))
