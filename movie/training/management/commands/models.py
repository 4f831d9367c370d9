"""manage.py models: list trained versions, show cards, activate, roll back, verify, prune, compare."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime
from django.utils.timezone import localtime
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluation.model_card import model_card
from evaluation.provenance import code_digest, commit
from evaluation.trainer import FROM_SITE
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.training.comparison_tables import comparison_sentence, comparison_tables
from movie.training.datasets import DataUnusable, graph_option, load_training_data
from movie.training.default_comparison import compare_defaults
from movie.training.models import DefaultComparison
from movie.training.promotion import RetrainingBusy, exclusive_lock
from movie.training.registry import default_models
from movie.training.runs import Interrupted, StopTraining
from movie.training.site_store import SiteModelStore
from movie.training.temporal_split import MIN_VISITORS
from predictors.devices import resolved
from predictors.errors import ArtifactError, PredictorError
from predictors.plugins import MODELS, predictor_class
from predictors.progress import ProgressEvent

KEPT = 5  # versions of each model that prune leaves by default


class Command(BaseCommand):
    help = "List, activate, roll back, verify, prune and compare trained models."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION")
        listing = actions.add_parser("list", help="every version (the default action)")
        listing.add_argument("name", nargs="?", choices=tuple(MODELS), metavar="NAME")
        listing.add_argument("--json", action="store_true", help="for programs")
        card = actions.add_parser("card", help="what a version is, as Markdown")
        card.add_argument("name", metavar="NAME")
        card.add_argument("version", nargs="?", metavar="VERSION", help="active or newest by default")
        activate = actions.add_parser("activate", help="serve a version, without a restart")
        activate.add_argument("name", metavar="NAME")
        activate.add_argument("version", metavar="VERSION", help="a version, or: latest")
        back = actions.add_parser("roll-back", help="serve the version that was active before")
        back.add_argument("name", metavar="NAME")
        verify = actions.add_parser("verify", help="compare every file with its recorded sha256")
        verify.add_argument("name", nargs="?", metavar="NAME")
        verify.add_argument("version", nargs="?", metavar="VERSION")
        prune = actions.add_parser("prune", help="delete old versions, never the active or the previous one")
        prune.add_argument("name", nargs="?", metavar="NAME")
        prune.add_argument("--keep", type=int, default=KEPT, help="newest versions to keep of each model")
        prune.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
        compare = actions.add_parser(
            "compare", help="which model should be the default here, asked of the site's own log"
        )
        compare.add_argument("--models", help="comma-separated; all active ones by default")
        compare.add_argument(
            "--min-visitors",
            type=int,
            default=MIN_VISITORS,
            metavar="N",
            help="to ask (default: %(default)s)",
        )
        compare.add_argument("--seed", type=int, default=1)
        compare.add_argument("--json", action="store_true", help="for programs")
        compare.add_argument("--quiet", action="store_true", help="without progress")

    def handle(self, *args: Any, **options: Any) -> None:
        self.store = SiteModelStore(settings.MODEL_DIR)
        action = (options.get("action") or "list").replace("-", "_")
        name = options.get("name")
        if name is not None and name not in MODELS:
            raise CommandError(
                "There is no model {name}; known: {known}".format(name=name, known=", ".join(MODELS))
            )
        try:
            getattr(self, f"_{action}")(options)
        except PredictorError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        rows = [self._row(name, version) for name, version in self._chosen(options.get("name"))]
        if options.get("json"):
            self.stdout.write(json.dumps(rows, indent=1, ensure_ascii=False))
            return
        if not rows:
            self.stdout.write(
                "No model is trained yet. Train one with: manage.py train popular --from-site --activate"
            )
            return
        table = Table(title="Trained models", title_justify="left", pad_edge=False)
        for heading in ("model", "version", "created", ""):
            table.add_column(heading, no_wrap=True)
        for heading in ("trained on", "figures"):
            table.add_column(heading)
        for row in rows:
            created = parse_datetime(row["created"])
            table.add_row(
                row["model"],
                row["version"],
                localtime(created).strftime("%Y-%m-%d %H:%M") if created else "",
                ", ".join(row["state"]),
                escape(row["problem"] or _trained_on(row["data"])),
                escape("; ".join(map(_figures, row["metrics"]))),
                style="red" if row["problem"] else "bold" if "active" in row["state"] else None,
            )
        self._print([table])

    def _print(self, tables: Iterable[Table]) -> None:
        # An ending would break the lines that rich writes in pieces.
        ending, self.stdout.ending = self.stdout.ending, ""
        stream: Any = self.stdout
        for table in tables:
            Console(file=stream, width=None if stream.isatty() else 200).print(table)
        self.stdout.ending = ending

    def _row(self, name: str, version: str) -> dict[str, Any]:
        """Return one version as a row of the list. The files of the active one are verified: it is what
        serves.
        """
        state = []
        if version == self.store.current(name):
            state.append("active")
        elif version == self.store.previous(name):
            state.append("previous")
        meta: dict[str, Any] = {}
        problem = ""
        try:
            meta = self.store.meta(name, version)
            if "active" in state:
                self.store.verify(name, version)
        except ArtifactError as error:
            problem = str(error)
            state.append("damaged")
        return {
            "model": name,
            "version": version,
            "state": state,
            "created": str(meta.get("created", "")),
            "data": meta.get("data", {}),
            "metrics": meta.get("metrics", []),
            "problem": problem,
        }

    def _card(self, options: dict[str, Any]) -> None:
        name = options["name"]
        version = options["version"] or self.store.current(name) or "latest"
        version = self._known_version(name, version)
        card = model_card(predictor_class(name), self.store.meta(name, version))
        self.stdout.write(card, ending="")

    def _activate(self, options: dict[str, Any]) -> None:
        name, version = options["name"], self._known_version(options["name"], options["version"])
        self.store.serve(name, version)
        self.stdout.write(f"{name} {version} is active.")

    def _roll_back(self, options: dict[str, Any]) -> None:
        version = self.store.roll_back(options["name"])
        self.stdout.write("{model} {version} is active again.".format(model=options["name"], version=version))

    def _verify(self, options: dict[str, Any]) -> None:
        name, version = options.get("name"), options.get("version")
        if name and version:
            chosen = [(name, self._known_version(name, version))]
        else:
            chosen = list(self._chosen(name))
        damaged = []
        for model, each in chosen:
            try:
                self.store.verify(model, each)
            except ArtifactError as error:
                damaged.append(str(error))
                self.stdout.write(f"{model} {each}: damaged")
            else:
                self.stdout.write(f"{model} {each}: sound")
        if damaged:
            raise CommandError("\n".join(damaged))
        if not chosen:
            self.stdout.write("There is nothing to verify.")

    def _prune(self, options: dict[str, Any]) -> None:
        keep = options["keep"]
        if keep < 1:
            raise CommandError("--keep: expected 1 or more")
        deleted = 0
        for name in [options["name"]] if options.get("name") else MODELS:
            for version in self.store.superseded(name, keep):
                deleted += 1
                sentence = "would delete %(what)s" if options["dry_run"] else "deleted %(what)s"
                if not options["dry_run"]:
                    self.store.delete(name, version)
                self.stdout.write(sentence % {"what": f"{name} {version}"})
        if not deleted:
            self.stdout.write("There is nothing to delete.")

    def _compare(self, options: dict[str, Any]) -> None:
        default = next((name for name in default_models() if self.store.current(name)), "")
        if not default:
            raise CommandError(
                "No model is active. Train one with: manage.py train popular --from-site --activate"
            )
        names = _asked_models(options["models"], self.store, default)
        try:
            data = load_training_data()
            with (
                exclusive_lock(self.store.root),
                StopTraining() as stop,
                ProgressBar(enabled=not options["quiet"]) as bar,
            ):

                def watch(event: ProgressEvent) -> None:
                    bar.show(event, "compare")
                    stop.check()

                result = compare_defaults(
                    names,
                    data,
                    self.store,
                    default=default,
                    min_visitors=options["min_visitors"],
                    seed=options["seed"],
                    run_options=lambda name: {"device": resolved(settings.DEVICE), **graph_option(name)},
                    progress=watch,
                )
        except (DataUnusable, RetrainingBusy) as error:
            raise CommandError(str(error)) from error
        except Interrupted:
            raise CommandError(
                "Interrupted. What is finished is kept; the same command goes on from there.",
                returncode=INTERRUPTED,
            ) from None
        stored = DefaultComparison.objects.create(revision=commit() or code_digest(), **asdict(result))
        if options["json"]:
            self.stdout.write(json.dumps(stored.tables, indent=1))
            return
        self._print(comparison_tables(stored))
        self.stdout.write(comparison_sentence(stored))

    def _chosen(self, name: str | None) -> Iterator[tuple[str, str]]:
        """Return all versions of a model or of all models, newest first."""
        for each in [name] if name else MODELS:
            for version in self.store.versions(each):
                yield each, version

    def _known_version(self, name: str, version: str) -> str:
        versions = self.store.versions(name)
        if version == "latest" and versions:
            return versions[0]
        if version in versions:
            return version
        if not versions:
            raise CommandError(f"{name} has no version; train one with: manage.py train {name} --from-site")
        raise CommandError(
            "{model} has no version {version}; there are: {known}".format(
                model=name, version=version, known=", ".join(versions)
            )
        )


def _asked_models(given: str | None, store: SiteModelStore, default: str) -> list[str]:
    """Return the models to compare, the default among them. Raises CommandError on an unknown one."""
    names = [name.strip() for name in given.split(",") if name.strip()] if given else store.names()
    if unknown := [name for name in names if name not in MODELS]:
        raise CommandError(
            "There is no model {name}; known: {known}".format(
                name=", ".join(unknown), known=", ".join(MODELS)
            )
        )
    # A model that learns from low ratings predicts stars; as a default it would rank badly.
    listed = [name for name in names if given or not predictor_class(name).learns_from_dislikes]
    return list(dict.fromkeys([default, *listed]))


def _trained_on(data: dict[str, Any]) -> str:
    if not data:
        return ""
    size = "{rows} from {users} users, {films} films".format(
        rows=f"{data.get('n_interactions', 0):,}",
        users=f"{data.get('n_users', 0):,}",
        films=f"{data.get('n_items', 0):,}",
    )
    where = "this site" if data.get("id_space") == FROM_SITE else Path(data.get("source", "")).name
    return f"{where}: {size}"


def _figures(row: dict[str, Any]) -> str:
    """Return one row of figures with its protocol: `leave-one-out validation NDCG@10 0.1234 HR@10 0.2345`."""
    figures = " ".join(f"{name} {value:.4f}" for name, value in row.items() if "@" in name)
    return f"{row.get('protocol', '')} {row.get('part', '')} {figures}" if figures else ""
