"""manage.py benchmark: measure models against each other by a named protocol."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from datasets.readers import dataset as readers
from datasets.splits import protocols
from evaluation import plots, runner
from predictors.config import parse_pairs
from predictors.errors import PredictorError
from predictors.plugins import MODELS


class Command(BaseCommand):
    help = "Fit models on a data set, each in a process of its own, and compare them on held-out users."
    requires_system_checks = ()  # it reads a file and touches neither the site nor its database

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("protocol", choices=protocols.PROTOCOLS)
        add("--data", type=Path, required=True, help="a data file, or the folder that holds it")
        add("--format", choices=readers.FORMATS, help="by default the name and the first lines decide")
        add("--columns", nargs="+", default=[], metavar="ROLE=NAME", help="for tables: user=uid item=sku ...")
        add("--models", default=",".join(MODELS), help="comma-separated; all of them by default")
        add("--seeds", default="1", help="comma-separated; figures are means over the seeds")
        add("--budget", type=float, metavar="CPU_SECONDS", help="of each fit")
        add("--json", type=Path, metavar="FILE", help="written after every model")
        add("--plot", type=Path, metavar="FILE", help="a .png, .svg or .pdf")
        add("--resume", action="store_true", help="keep the finished rows of the --json file")
        add("--min-rating", type=float, help="leave out interactions rated lower")
        add(
            "--options",
            nargs="+",
            default=[],
            metavar="MODEL.NAME=VALUE",
            help="training options; without MODEL. they are for all",
        )
        add(
            "--vary",
            metavar="NAME=VALUE,VALUE",
            help="measure every model with each value of an option, such as negatives=uniform,hard",
        )
        add(
            "--curve",
            type=Path,
            metavar="FILE",
            help="draw Recall@20 and NDCG@20 over the CPU time of training, for models that learn in epochs",
        )
        add("--candidates", type=int, metavar="N", help="also rank the targets among N random films only")
        add("--order", choices=protocols.ORDERS, default="random", help="guest: which films are given")
        add(
            "--n", default=",".join(protocols.GIVEN), help="guest: how many films are given, such as 1,3,80%%"
        )
        add("--held-out", type=int, metavar="USERS", help="guest: users held out for test and for validation")
        add("--limit-users", type=int, metavar="USERS", help="ask about so many users only, for a quick look")
        add("--on", choices=protocols.PARTS, default="test", help="validation is for tuning")

    def handle(self, *args: Any, **options: Any) -> None:
        benchmark = _benchmark(options)
        if options["resume"] and not options["json"]:
            raise CommandError(_("--resume needs the --json file that holds the finished rows"))
        for name in ("plot", "curve"):
            if options[name] and options[name].suffix.lower() not in plots.SUFFIXES:
                raise CommandError(
                    _("--%(name)s: expected a name ending in %(suffixes)s")
                    % {"name": name, "suffixes": ", ".join(plots.SUFFIXES)}
                )
        rows: list[dict[str, Any]] = []
        try:
            finished = runner.read_report(options["json"]) if options["resume"] else []
            self._measure(benchmark, finished, options["json"], rows)
        except (PredictorError, readers.DatasetError, protocols.SplitError, ValueError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            kept = _("Finished rows are in %(file)s.") % {"file": options["json"]} if options["json"] else ""
            raise CommandError(" ".join([_("Interrupted."), kept]).strip(), returncode=130) from None
        measured = [row for row in rows if "error" not in row]
        if measured:
            # An ending would break the lines that rich writes in pieces.
            self.stdout.ending = ""
            for table in _tables(measured):
                Console(file=cast(IO[str], self.stdout), width=None if self.stdout.isatty() else 300).print(
                    table
                )
            if options["plot"]:
                plots.draw(measured, options["plot"])
            if options["curve"]:
                plots.draw_curves(measured, options["curve"])
        failed = [f"{row['model']}: {row['error']}" for row in rows if "error" in row]
        if failed:
            raise CommandError("\n".join(failed))

    def _measure(
        self,
        benchmark: runner.Benchmark,
        finished: list[dict[str, Any]],
        report: Path | None,
        rows: list[dict[str, Any]],
    ) -> None:
        """Fill `rows`; a signal ends the running child and keeps what is there."""
        before = signal.signal(signal.SIGTERM, _interrupt)
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        try:
            with Progress(
                *columns,
                TimeElapsedColumn(),
                console=console,
                transient=True,
                disable=not console.is_terminal,
            ) as bar:
                task = bar.add_task(_("reading"), total=1.0, note="")

                def watch(step: runner.Step) -> None:
                    name = step.model if len(benchmark.seeds) == 1 else f"{step.model}, seed {step.seed}"
                    bar.update(task, description=name, completed=step.event.done, note=step.event.message)

                for row in runner.run_benchmark(benchmark, finished=finished, watch=watch):
                    rows.append(row)
                    if report:
                        runner.write_report(report, benchmark, rows)
        finally:
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _benchmark(options: dict[str, Any]) -> runner.Benchmark:
    """The benchmark that the command line asks for. Raises CommandError on a value of the wrong form."""
    models = tuple(dict.fromkeys(name.strip() for name in options["models"].split(",") if name.strip()))
    try:
        seeds = tuple(dict.fromkeys(int(seed) for seed in options["seeds"].split(",")))
    except ValueError:
        raise CommandError(_("--seeds: expected whole numbers such as 1,2,3")) from None
    if any(seed < 0 for seed in seeds):
        raise CommandError(_("--seeds: expected numbers from 0 up"))
    for name in ("candidates", "held_out", "limit_users", "budget"):
        if options[name] is not None and options[name] <= 0:
            raise CommandError(_("--%(name)s: expected more than 0") % {"name": name.replace("_", "-")})
    for_models: dict[str, dict[str, Any]] = {name: {} for name in models}
    try:
        for name, value in parse_pairs(options["options"]).items():
            model, dot, option = name.rpartition(".")
            if dot and model not in for_models:
                raise CommandError(
                    _("--options %(name)s: %(model)s is not among --models") % {"name": name, "model": model}
                )
            for target in [model] if dot else models:
                for_models[target][option] = value
        if options["vary"]:
            option, equals, values = options["vary"].partition("=")
            if not (option and equals and values):
                raise CommandError(_("--vary: expected an option with its values, NAME=VALUE,VALUE"))
            for_models = {
                variant: {**for_models[runner.kind_of(variant)], **value}
                for variant, value in runner.varied(models, option, values.split(",")).items()
            }
        columns = readers.named_columns(options["columns"]) or None
    except (PredictorError, ValueError) as error:
        raise CommandError(str(error)) from error
    return runner.Benchmark(
        protocol=options["protocol"],
        data=options["data"],
        models=tuple(for_models),
        seeds=seeds,
        options=for_models,
        budget=options["budget"],
        columns=columns,
        format=options["format"],
        min_rating=options["min_rating"],
        part=options["on"],
        order=options["order"],
        n=tuple(options["n"].split(",")),
        held_out=options["held_out"],
        limit_users=options["limit_users"],
        candidates=options["candidates"],
        curve=options["curve"] is not None,
    )


def _tables(rows: list[dict[str, Any]]) -> list[Table]:
    """One table per way of ranking, so that masked, unmasked and sampled figures never stand together."""
    first = rows[0]
    by_ranking: dict[str, dict[str, None]] = {}
    for row in rows:  # a condition may be known to some models only
        for condition in row["conditions"]:
            by_ranking.setdefault(condition["ranking"], {})[condition["label"]] = None
    tables = [_table(rows, ranking, list(labels)) for ranking, labels in by_ranking.items()]
    caption = _(
        "seeds %(seeds)s · filter: %(filter)s · %(split)s · data sha256 %(sha)s · ±: 95 %% interval"
    ) % {
        "seeds": ", ".join(map(str, first["seeds"])),
        "filter": first["filter"],
        "split": first["split"],
        "sha": first["data_sha256"][:12],
    }
    if any(row["budget_exceeded"] for row in rows):
        caption += "\n" + _("! a fit took more than the budget")
    tables[-1].caption = caption
    return tables


def _table(rows: list[dict[str, Any]], ranking: str, labels: list[str]) -> Table:
    table = Table(
        title=f"{rows[0]['protocol']}: {ranking}",
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
    )
    asked = {
        label: {
            index: condition
            for index, row in enumerate(rows)
            for condition in row["conditions"]
            if (condition["ranking"], condition["label"]) == (ranking, label)
        }
        for label in labels
    }
    several = len(labels) > 1
    for heading in (_("condition"), _("users")) if several else ():
        table.add_column(heading, no_wrap=True)
    table.add_column(_("model"), no_wrap=True)
    metrics = list(next(iter(asked[labels[0]].values()))["metrics"])
    for heading in (
        *(metric.replace("popularity_bias", "pop.bias") for metric in metrics),
        _("fit CPU s"),
        _("rank CPU s"),
        _("peak MB"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, measured in asked.items():
        for turn, (index, own) in enumerate(measured.items()):
            row = rows[index]
            lead = (label, str(own["users"])) if turn == 0 else ("", "")
            over = "!" if row["budget_exceeded"] else ""
            table.add_row(
                *(lead if several else ()),
                escape(row["model"]),
                *(_figure(name, own["metrics"][name], own["intervals"].get(name)) for name in metrics),
                f"{row['cpu_seconds']:.1f}{over}",
                f"{row['score_cpu_seconds']:.1f}",
                f"{row['peak_rss_mb']:.0f}",
            )
        table.add_section()
    return table


def _figure(name: str, value: float, bounds: list[float] | None) -> str:
    """An accuracy with half the width of its interval; other figures alone."""
    if name.startswith("novelty"):
        return f"{value:.2f}"
    if bounds is None or name.startswith("popularity"):
        return f"{value:.3f}"
    return f"{value:.4f} ±{(bounds[1] - bounds[0]) / 2:.3f}"
