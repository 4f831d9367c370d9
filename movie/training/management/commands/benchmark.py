"""manage.py benchmark: measure models against each other by a named protocol."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from datasets.readers import dataset as readers
from datasets.splits import protocols
from datasets.splits.cases import SplitError
from evaluation import plots, report, runner
from evaluation.compare import compare_rows
from evaluation.protocols import MET, STATED
from evaluation.tables import difference_tables, result_tables
from movie.core.progress import ProgressBar
from movie.training.processes import refuse_several_processes
from predictors.config import options_of, parse_pairs
from predictors.errors import PredictorError
from predictors.plugins import MODELS
from predictors.tuning import read_config


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
            metavar="[MODEL.]NAME=VALUE",
            help="training options; without MODEL. they are for all",
        )
        add("--config", type=Path, metavar="FILE", help="options from a JSON or TOML file, as tune writes it")
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
        add("--n", help="guest and session: how many films are given, such as 1,3,80%% or 1,5,all")
        add("--held-out", type=int, metavar="USERS", help="guest and session: users held out, twice")
        add(
            "--stated",
            choices=STATED,
            default=MET,
            help="histories as films met alike, as in papers, or with stars and dislikes, as on the site",
        )
        add("--against", metavar="MODEL", help="paired differences of all others to this one of --models")
        add(
            "--labels",
            type=Path,
            metavar="FILE",
            help="CSV item,label|label, such as genres: adds calibration",
        )
        add("--groups", type=Path, metavar="FILE", help="CSV user,group: adds figures of each group")
        add("--limit-users", type=int, metavar="USERS", help="ask about so many users only, for a quick look")
        add("--on", choices=protocols.PARTS, default="test", help="validation is for tuning")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_several_processes("benchmark")
        benchmark = _benchmark(options)
        _check_outputs(benchmark, options)
        against = options["against"]
        rows: list[dict[str, Any]] = []
        values = report.UserValues()
        try:
            finished = report.read_report(options["json"]) if options["resume"] else []
            if options["resume"]:
                values = report.UserValues.read(options["json"])
            self._measure(benchmark, finished, values, options["json"], rows)
        except (PredictorError, readers.DatasetError, SplitError, ValueError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            kept = "Finished rows are in {file}.".format(file=options["json"]) if options["json"] else ""
            raise CommandError(" ".join(["Interrupted.", kept]).strip(), returncode=130) from None
        measured = [row for row in rows if "error" not in row]
        if measured:
            tables = result_tables(measured)
            if against:
                tables += self._compare(benchmark, measured, values, options)
            # An ending would break the lines that rich writes in pieces.
            self.stdout.ending = ""
            for table in tables:
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
        values: report.UserValues,
        path: Path | None,
        rows: list[dict[str, Any]],
    ) -> None:
        """Fill `rows`; a signal ends the running child and keeps the finished rows."""
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            with ProgressBar() as bar:

                def watch(step: runner.Step) -> None:
                    name = step.model if len(benchmark.seeds) == 1 else f"{step.model}, seed {step.seed}"
                    bar(step.event.done, f"{name}  {step.event.message}".rstrip())

                for row in runner.run_benchmark(benchmark, finished=finished, values=values, watch=watch):
                    rows.append(row)
                    if path:
                        report.write_report(path, benchmark, rows, values)
        finally:
            signal.signal(signal.SIGTERM, before)

    def _compare(
        self,
        benchmark: runner.Benchmark,
        rows: list[dict[str, Any]],
        values: report.UserValues,
        options: dict[str, Any],
    ) -> list[Table]:
        """Return the tables of paired differences, which the report gets too."""
        baseline = next((row for row in rows if row["model"] == options["against"]), None)
        if baseline is None:  # it failed, which is said at the end
            return []
        try:
            found = [
                each for row in rows if row is not baseline for each in compare_rows(row, baseline, values)
            ]
        except PredictorError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            records = [each.record() for each in found]
            report.write_report(options["json"], benchmark, rows, values, records)
        return difference_tables(found, options["against"])


def _check_outputs(benchmark: runner.Benchmark, options: dict[str, Any]) -> None:
    """Refuse what could only fail after the models were measured."""
    if options["resume"] and not options["json"]:
        raise CommandError("--resume needs the --json file that holds the finished rows")
    for name in ("plot", "curve"):
        if options[name] and options[name].suffix.lower() not in plots.SUFFIXES:
            raise CommandError(f"--{name}: expected a name ending in {', '.join(plots.SUFFIXES)}")
    if options["against"] and options["against"] not in benchmark.models:
        raise CommandError(f"--against {options['against']} is not among --models")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _benchmark(options: dict[str, Any]) -> runner.Benchmark:
    """Return the benchmark that the command line describes. Raises CommandError on a value of the wrong
    form.
    """
    models = tuple(dict.fromkeys(name.strip() for name in options["models"].split(",") if name.strip()))
    try:
        seeds = tuple(dict.fromkeys(int(seed) for seed in options["seeds"].split(",")))
    except ValueError:
        raise CommandError("--seeds: expected whole numbers such as 1,2,3") from None
    if any(seed < 0 for seed in seeds):
        raise CommandError("--seeds: expected numbers from 0 up")
    for name in ("candidates", "held_out", "limit_users", "budget"):
        if options[name] is not None and options[name] <= 0:
            raise CommandError("--{name}: expected more than 0".format(name=name.replace("_", "-")))
    for_models: dict[str, dict[str, Any]] = {name: {} for name in models}
    try:
        if options["config"]:
            for_models = {name: read_config(options["config"], name) for name in models}
        given = parse_pairs(options["options"])
        for name in given:
            model, dot, _ = name.partition(".")
            if dot and model in MODELS and model not in models:
                raise CommandError(f"--options {name}: {model} is not among --models")
        for model in models:
            for_models[model] |= options_of(model, given, models)
        if options["vary"]:
            option, equals, values = options["vary"].partition("=")
            if not (option and equals and values):
                raise CommandError("--vary: expected an option with its values, NAME=VALUE,VALUE")
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
        n=tuple(options["n"].split(",")) if options["n"] else None,
        stated=options["stated"],
        labels=options["labels"],
        groups=options["groups"],
        held_out=options["held_out"],
        limit_users=options["limit_users"],
        candidates=options["candidates"],
        curve=options["curve"] is not None,
    )
