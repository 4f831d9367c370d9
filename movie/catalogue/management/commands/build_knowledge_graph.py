"""manage.py build_knowledge_graph: write who made which movie, where and when, as a graph."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from movie.catalogue import knowledge_graph
from movie.catalogue.importing import cli
from movie.catalogue.importing.reports import ProgressCallback, RejectReport
from movie.catalogue.models import ExternalId, Movie
from movie.catalogue.titles import search_key
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED

if TYPE_CHECKING:
    from datasets.knowledge_graph.graph import KnowledgeGraph
    from datasets.knowledge_graph.triples import Facts

CATALOGUE = "catalogue"
FILES = ("rkge", "dbpedia", "recbole")  # `knowledge_graph_readers.SOURCES`, without its imports
TAGS_LEAST = 5
SHOWN = 10  # refused rows on the terminal; --report has all


class Command(BaseCommand):
    help = "Build the knowledge graph from the site's catalogue or from files, and say what it covers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("path", nargs="?", type=Path, metavar="PATH", help="the folder or file, with --from a format")
        add(
            "--from",
            dest="source",
            choices=(CATALOGUE, *FILES),
            default=CATALOGUE,
            help="the site's catalogue (default), or the format of the files at PATH",
        )
        add(
            "--ids",
            metavar="SOURCE",
            help="name films by their ids in this id space, such as movielens, instead of the site's own",
        )
        add(
            "--match",
            metavar="SOURCE",
            help="the id space of the film ids in the files: find the films in the catalogue by them",
        )
        add(
            "--tags",
            nargs="?",
            type=int,
            const=TAGS_LEAST,
            metavar="N",
            help="with the tags that people gave N times or more (5), on two films at least",
        )
        add(
            "--hub-limit",
            type=int,
            metavar="N",
            help="leave out the edges of people, genres and the like that have more than N; none by default",
        )
        add("--output", type=Path, metavar="FOLDER", help="where to write it (KNOWLEDGE_GRAPH_DIR)")
        cli.add_common_options(parser)

    def handle(self, **options: Any) -> None:
        from datasets.knowledge_graph.graph import KnowledgeGraphError
        from datasets.readers.dataset import DatasetError

        _refuse_contradictions(options)
        try:
            with cli.handle_interrupts(), RejectReport(options["report"]) as report:
                self._build(options, report)
        except (DatasetError, KnowledgeGraphError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Nothing was written.", returncode=INTERRUPTED) from None

    def _build(self, options: dict[str, Any], report: RejectReport) -> None:
        from datasets.knowledge_graph.statistics import relation_coverage
        from datasets.knowledge_graph.storage import save_graph

        of_site = options["source"] == CATALOGUE or options["match"] is not None
        with ProgressBar(enabled=not options["no_progress"]) as progress:
            progress(0.0, "reading")
            facts = self._facts(options, progress)
            progress(0.7, "building")
            graph = facts.graph()
            if options["hub_limit"]:
                graph = graph.without_hubs(options["hub_limit"])
            ratings = knowledge_graph.ratings_of(graph, options["ids"]) if of_site else None
            coverage = relation_coverage(graph, ratings if ratings is not None and ratings.any() else None)
            progress(0.9, "writing")
            output = options["output"] or Path(settings.KNOWLEDGE_GRAPH_DIR)
            if not options["dry_run"]:
                save_graph(
                    graph,
                    output,
                    about={
                        "source": options["source"],
                        "ids": options["ids"] or ("site" if of_site else "files"),
                        "tags": options["tags"],
                        "hub_limit": options["hub_limit"],
                        "rejected": len(facts.rejected),
                        "coverage": coverage,
                    },
                )
        self._say_refused(facts, report)
        text = (
            "%(entities)s entities and %(edges)s edges would be written to %(path)s."
            if options["dry_run"]
            else "%(entities)s entities and %(edges)s edges written to %(path)s."
        )
        counts = {"entities": f"{graph.n_entities:,}", "edges": f"{graph.n_edges:,}", "path": output}
        self.stdout.write(text % counts)
        self._show(graph, coverage, weighted=ratings is not None and bool(ratings.any()))

    def _facts(self, options: dict[str, Any], progress: ProgressCallback) -> Facts:
        ids = options["ids"]
        if ids and not ExternalId.objects.filter(source=ids).exists():
            raise CommandError(_no_such_ids(ids))
        if options["source"] == CATALOGUE:
            if not Movie.objects.exists():
                raise CommandError(
                    "The catalogue has no film yet. Import some first: manage.py import_movies."
                )
            facts = knowledge_graph.catalogue_facts(ids=ids, tags=options["tags"])
            if ids and (missing := Movie.objects.exclude(external_ids__source=ids).count()):
                self.stdout.write(
                    "{n} films have no id in {source} and are left out.".format(n=f"{missing:,}", source=ids)
                )
            return facts
        from datasets.knowledge_graph.readers import read_facts

        facts = read_facts(options["source"], options["path"], fold=search_key)
        if facts.left_out:
            self.stdout.write("{n} rows touch no film and are left out.".format(n=f"{facts.left_out:,}"))
        if match := options["match"]:
            if not ExternalId.objects.filter(source=match).exists():
                raise CommandError(_no_such_ids(match))
            progress(0.4, "films of the catalogue")
            facts, unknown = knowledge_graph.in_catalogue(facts, match, ids=ids)
            if unknown:
                self.stdout.write(
                    "{n} films of the files are not in the catalogue and are left out.".format(
                        n=f"{unknown:,}"
                    )
                )
        return facts

    def _say_refused(self, facts: Facts, report: RejectReport) -> None:
        for path, line, reason, raw in facts.rejected:
            report.note(path, line, reason, raw)
        for path, line, reason, _raw in facts.rejected[:SHOWN]:
            self.stderr.write(f"{path}, line {line}: {reason}")
        cli.write_lines(self.stdout, cli.rejected_lines(report))

    def _show(self, graph: KnowledgeGraph, coverage: dict[str, dict[str, float]], *, weighted: bool) -> None:
        from datasets.knowledge_graph.statistics import graph_statistics

        statistics = graph_statistics(graph)
        self.stdout.ending = ""  # an ending would break the lines that rich writes in pieces
        console = Console(file=cast(IO[str], self.stdout), width=None if self.stdout.isatty() else 120)
        console.print(_types_table(statistics["types"]))
        console.print(_relations_table(statistics["relations"], coverage, weighted=weighted))


def _refuse_contradictions(options: dict[str, Any]) -> None:
    source, from_files = options["source"], options["source"] != CATALOGUE
    if from_files and options["path"] is None:
        raise CommandError(f"--from {source} needs the PATH of its files.")
    if not from_files and options["path"] is not None:
        text = "PATH needs the format of its files: --from %(known)s."
        raise CommandError(text % {"known": ", ".join(FILES)})
    if options["match"] and not from_files:
        raise CommandError("--match is for films of files.")
    if from_files and options["ids"] and not options["match"]:
        raise CommandError("--ids needs --match: without it films keep the ids of the files.")
    if from_files and options["tags"] is not None:
        raise CommandError("--tags is for the catalogue.")
    for name in ("tags", "hub_limit"):
        if options[name] is not None and options[name] < 1:
            text = "--%(name)s: expected a number from 1 up"
            raise CommandError(text % {"name": name.replace("_", "-")})


def _no_such_ids(source: str) -> str:
    known = ExternalId.objects.order_by().values_list("source", flat=True).distinct()
    return "No film has an id in {source}; known: {known}.".format(
        source=source,
        known=", ".join(sorted(known)) or "-",
    )


def _types_table(types: dict[str, Any]) -> Table:
    table = Table(title="entities", title_justify="left", pad_edge=False)
    table.add_column("type", no_wrap=True)
    for heading in ("entities", "with edges", "edges of each"):
        table.add_column(heading, justify="right")
    table.add_column("most edges")
    for name, facts in types.items():
        hub = facts["hub"]
        table.add_row(
            name,
            f"{facts['entities']:,}",
            f"{facts['linked']:,}",
            f"{facts['degree']:.1f}",
            f"{escape(hub['name'])}: {hub['edges']:,}" if hub else "",
        )
    return table


def _relations_table(
    relations: dict[str, int], coverage: dict[str, dict[str, float]], *, weighted: bool
) -> Table:
    table = Table(
        title="edges, and the share of films that have one",
        title_justify="left",
        caption="onward: the edge leads to another film; by ratings where there are any",
        caption_justify="left",
        pad_edge=False,
    )
    table.add_column("relation", no_wrap=True)
    for heading in ("edges", "films", "by ratings", "onward"):
        table.add_column(heading, justify="right")
    rows = [(escape(name), count, coverage[name]) for name, count in relations.items() if name in coverage]
    for name, count, share in [*rows, ("any relation", sum(relations.values()), coverage[""])]:
        table.add_row(
            name,
            f"{count:,}",
            f"{share['films']:.1%}",
            f"{share['weighted']:.1%}" if weighted else "-",
            f"{share['onward']:.1%}",
        )
    return table
