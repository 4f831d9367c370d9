"""manage.py tune: search for the options with which a model ranks validation rows best."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from evaluation.protocols import MET, STARS, STATED
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.training.data_options import add_data_options, check_data_options, load_interactions
from movie.training.datasets import graph_option
from movie.training.processes import refuse_several_processes
from movie.training.runs import Interrupted, StopTraining
from predictors.config import parse_pairs
from predictors.devices import resolved
from predictors.errors import PredictorError
from predictors.plugins import MODELS, predictor_class
from predictors.progress import ProgressEvent
from predictors.tuning import read_config, search_space

if TYPE_CHECKING:
    from datasets.splits.cases import Split
    from evaluation.tuning import Search, Tuned

MAX_USERS = 2000  # whose validation rows decide
TRIALS = 20
PROTOCOLS = ("leave-one-out", "random-split", "guest", "session", "temporal", "cold-item")


class Command(BaseCommand):
    help = "Search for the options with which a model ranks validation rows best; test rows stay unseen."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("model", metavar="MODEL", help=", ".join(MODELS))
        add_data_options(parser)
        add("--trials", type=int, default=TRIALS, metavar="N", help="in all (default: %(default)s)")
        add("--budget", type=float, default=0.0, metavar="CPU_SECONDS", help="of all trials together")
        add(
            "--space",
            type=Path,
            metavar="FILE",
            help="what to search: JSON or TOML, see docs/tuning.md",
        )
        add("--protocol", choices=PROTOCOLS, default="leave-one-out", help="default: %(default)s")
        add("--order", choices=("time", "random"), default="time", help="guest: which films are given")
        add("--n", help="guest and session: how many films are given, such as 1,3,10")
        add(
            "--stated",
            choices=STATED,
            help="stars by default for --from-site, else met",
        )
        add(
            "--options",
            nargs="+",
            default=[],
            metavar="NAME=VALUE",
            help="where to start",
        )
        add("--config", type=Path, metavar="FILE", help="the same from a JSON or TOML file")
        add("--output", type=Path, metavar="FILE", help="where to put the best options as well")
        add("--seed", type=int, default=1)
        add("--quiet", action="store_true", help="only say what went wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_several_processes("tune")
        self._check(options)
        from evaluation.tuning import tune

        try:
            search = self._search(options)
            with StopTraining() as stop, ProgressBar(enabled=not options["quiet"]) as bar:

                def watch(event: ProgressEvent) -> None:
                    bar.show(event, options["model"])
                    stop.check()

                found = tune(search, Path(settings.TUNING_DIR), progress=watch)
            if options["output"]:
                options["output"].parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found.config, options["output"])
        except Interrupted:
            raise CommandError(
                "Interrupted. The same command goes on where it was.", returncode=INTERRUPTED
            ) from None
        except (PredictorError, ValueError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(
                f"{error.filename or settings.TUNING_DIR}: {error.strerror or error}"
            ) from error
        self._say(found, options)

    def _check(self, options: dict[str, Any]) -> None:
        """Refuse what can be refused before any work."""
        if options["model"] not in MODELS:
            raise CommandError(f"There is no model {options['model']}; known: {', '.join(MODELS)}")
        check_data_options(options)
        for name in ("trials", "budget", "seed"):
            if options[name] < (1 if name == "trials" else 0):
                raise CommandError(f"--{name}: expected more")

    def _search(self, options: dict[str, Any]) -> Search:
        from evaluation.tuning import Search

        kind = predictor_class(options["model"])
        from_file = read_config(options["config"], kind.name) if options["config"] else {}
        graph = graph_option(kind.name) if options["from_site"] else {}
        given = {"device": resolved(settings.DEVICE), **graph, **from_file, **parse_pairs(options["options"])}
        return Search(
            kind.name,
            self._split(options),
            search_space(kind, options["space"]),
            options=given,
            n_trials=options["trials"],
            budget=options["budget"],
            stated=options["stated"] or (STARS if options["from_site"] else MET),
            seed=options["seed"],
            source="" if options["from_site"] else str(options["data"]),
        )

    def _split(self, options: dict[str, Any]) -> Split:
        from datasets.splits.cases import SplitError
        from datasets.splits.protocols import latest_of_each_pair, split_interactions

        dislikes = options["from_site"] and predictor_class(options["model"]).learns_from_dislikes
        rows = latest_of_each_pair(load_interactions(options, dislikes=dislikes, say=self.stderr.write))
        try:
            return split_interactions(
                options["protocol"],
                rows,
                seed=options["seed"],
                part="validation",
                order=options["order"],
                n=tuple(options["n"].split(",")) if options["n"] else None,
                limit_users=MAX_USERS,
            )
        except SplitError as error:
            raise CommandError(str(error)) from error

    def _say(self, found: Tuned, options: dict[str, Any]) -> None:
        if options["quiet"]:
            return
        start = "-" if found.start is None else f"{found.start:.4f}"
        self.stdout.write(
            f"{options['model']}: {found.metric} {found.value:.4f} on validation, {start} at the start; "
            f"{found.n_trials} trials ({found.n_pruned} pruned, {found.n_failed} failed), "
            f"{found.cpu_seconds:.1f} CPU-seconds"
        )
        for name, value in found.options.items():
            self.stdout.write(f"  {name}={value}")
        source = "--from-site" if options["from_site"] else f"--data {options['data']}"
        file = options["output"] or found.config
        self.stdout.write(f"Train with them: manage.py train {options['model']} {source} --config {file}")
