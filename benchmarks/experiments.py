"""How often an experiment is wrong when somebody looks after every single list, and how soon it is right.

    python -m benchmarks.experiments [--simulations 1000] [--visitors 20000] [--lift 0.10] [--skip-site]

Visitors come one after another, and again and again: each sees 1 + Poisson(4) lists, spread over the time
that is left, and opens a film of a list with a chance of their own (Beta, mean 0.10, sd 0.065),
which the treatment raises by --lift. The figures of `movie.experiments.statistics` are read after every list.
The baseline is the usual test for two arms, a z-test with the same variance, read as often. Then a smaller
run goes through the door of a site of its own: assignment, record(), the handler, the verdict of the results.
Last, what the site spends when a browser says that it has shown a list of the running experiment (/shown/),
in this process and in turn with its baseline, a click on a film that no experiment recommended.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

import numpy as np

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import use_site
from benchmarks.home_page import browser
from movie.experiments.statistics import (
    ALPHA,
    LEAST_VISITORS,
    SRM_ALPHA,
    Moments,
    compare,
    ratio,
    sample_ratio_test,
)

CLICKS_PER_LIST, CONCENTRATION, MORE_LISTS = 0.10, 20.0, 4.0
TAU = 0.10
SITE_VISITORS, SITE_LISTS = 1_200, 4
REQUESTS, WARM_UP = 200, 5  # of each kind


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--visitors", type=int, default=20_000)
    parser.add_argument("--lift", type=float, default=0.10)
    parser.add_argument("--skip-site", action="store_true", help="only the simulations")
    options = parse_options(parser, simulations=50, visitors=5_000)
    for lift in (0.0, options.lift):
        report(lift, options)
    report_balance(options)
    if not options.skip_site:
        with tempfile.TemporaryDirectory() as folder:
            use_site(Path(folder))
            through_the_door()
            impression_cost()


def report(lift: float, options: argparse.Namespace) -> None:
    before = time.process_time()
    found, naive, once, visitors, looks = [], 0, 0, [], 0
    for seed in range(options.simulations):
        control, treatment = arms(np.random.default_rng(seed), options.visitors, lift)
        enough = control.has_min_sample & treatment.has_min_sample
        shown = compare(control, treatment, TAU)
        decided = np.flatnonzero(enough & (shown.p <= ALPHA))
        found.append(decided.size > 0)
        if decided.size:
            visitors.append(float((control.visitors + treatment.visitors)[decided[0]]))
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.abs(np.log1p(shown.lift.value)) / np.sqrt(ratio(control)[1] + ratio(treatment)[1])
        naive += bool((enough & (z > 1.96)).any())
        once += bool(z[-1] > 1.96)
        looks += int(enough.sum())
    n = options.simulations
    print(f"\nplanted effect {100 * lift:+.0f} %: {n} simulations of {options.visitors:,} visitors each")
    print(f"looks at each             {looks / n:,.0f}")
    print(f"found by our test         {100 * statistics.mean(found):.1f} %")
    if lift and visitors:
        print(
            f"visitors until found      {np.median(visitors):,.0f} median,"
            f" {np.quantile(visitors, 0.9):,.0f} in 9 of 10"
        )
    print(f"z-test read as often      {100 * naive / n:.1f} %")
    if naive and not lift:
        print_ratio("experiments: found where nothing is", sum(found) / naive, "the z-test read as often")
    print(f"z-test read once, at end  {100 * once / n:.1f} %")
    print(f"CPU                       {time.process_time() - before:.1f} s")


def report_balance(options: argparse.Namespace) -> None:
    """The alarm about the sample ratio, read after every visitor."""
    before = time.process_time()
    for lost in (0.0, 0.05):
        sequential = chi_square = 0
        when = []
        for seed in range(options.simulations):
            rng = np.random.default_rng(seed)
            second = rng.random(options.visitors) < 0.5
            kept = ~second | (rng.random(options.visitors) >= lost)
            second = second[kept]
            counts = [np.cumsum(~second), np.cumsum(second)]
            found = sample_ratio_test(counts, [0.5, 0.5])
            seen = np.arange(second.size) >= LEAST_VISITORS
            alarms = np.flatnonzero(seen & (found.sequential_p < SRM_ALPHA))
            sequential += alarms.size > 0
            chi_square += bool((seen & (found.chi_square_p < SRM_ALPHA)).any())
            when += [int(alarms[0])] if alarms.size else []
        n = options.simulations
        print(f"\nvisitors of one arm lost: {100 * lost:.0f} %, {n} simulations, read after every visitor")
        print(f"our alarm                 {100 * sequential / n:.1f} %", end="")
        print(f", after {np.median(when):,.0f} visitors (median)" if lost and when else "")
        print(f"chi-square read as often  {100 * chi_square / n:.1f} %")
    print(f"CPU                       {time.process_time() - before:.1f} s")


def arms(rng: np.random.Generator, visitors: int, lift: float) -> tuple[Moments, Moments]:
    """The sums of both arms after every list that was shown, in order of time."""
    lists = 1 + rng.poisson(MORE_LISTS, visitors)
    treated = rng.random(visitors) < 0.5
    chance = rng.beta(CLICKS_PER_LIST * CONCENTRATION, (1 - CLICKS_PER_LIST) * CONCENTRATION, visitors)
    chance = np.minimum(1.0, chance * np.where(treated, 1 + lift, 1.0))
    who = np.repeat(np.arange(visitors), lists)
    first = np.cumsum(lists) - lists
    arrival = np.sort(rng.random(visitors))[who]
    later = rng.random(who.size) * (1 - arrival)
    later[first] = 0.0  # visitors arrive with their first list
    order = np.argsort(arrival + later, kind="stable")
    who, clicked = who[order], (rng.random(who.size) < chance[who[order]]).astype(float)
    by_visitor = np.argsort(who, kind="stable")  # each visitor's lists together, in order of time
    place = np.empty(who.size)
    place[by_visitor] = np.arange(who.size) - first[who[by_visitor]] + 1
    clicks = np.empty(who.size)
    running = np.cumsum(clicked[by_visitor])
    clicks[by_visitor] = running - np.concatenate([[0.0], running])[first[who[by_visitor]]]
    before = clicks - clicked
    more = (
        (place == 1).astype(float),
        np.ones(who.size),
        clicked,
        2 * place - 1,
        place * clicks - (place - 1) * before,
        clicks**2 - before**2,
    )
    return tuple(  # type: ignore[return-value]
        Moments(*(np.cumsum(np.where(treated[who] == arm, each, 0.0)) for each in more))
        for arm in (False, True)
    )


def through_the_door() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from movie.catalogue.models import Movie
    from movie.events.recording import record_all
    from movie.experiments.assignment import assign_arm
    from movie.experiments.models import Experiment
    from movie.experiments.results import results_of

    call_command("migrate", verbosity=0)
    Movie.objects.bulk_create([Movie(title=f"Film {n}", sort_title=f"film {n}") for n in range(20)])
    films = list(Movie.objects.values_list("pk", flat=True))
    for lift in (0.0, 0.5):
        experiment = running_experiment(f"planted-{100 * lift:.0f}")
        rng = np.random.default_rng(7)
        before, looks, found = time.process_time(), 0, None
        for number in range(SITE_VISITORS):
            visitor = f"guest:{experiment.name}-{number}"
            assigned = assign_arm(visitor)
            record_all(events_of(rng, visitor, assigned, lift, films))
            if number % 50 == 49:
                looks += 1
                state = results_of(experiment).verdict.state
                found = found or (number + 1 if state == "better" else None)
        results = results_of(experiment)
        cost = 1000 * (time.process_time() - before) / SITE_VISITORS
        print(f"\nthrough the door, planted {100 * lift:+.0f} %: {SITE_VISITORS:,} visitors, {looks} looks")
        print(f"verdict at the end        {results.verdict.state}: {results.verdict.text}")
        print(f"first found after         {found or 'never'}")
        print(f"CPU per visitor           {cost:.1f} ms for {SITE_LISTS} lists and what was opened")
        experiment.state = Experiment.State.ENDED
        experiment.save()


def running_experiment(name: str) -> Any:
    """Define and start an experiment of two arms; return it."""
    from django.core.cache import cache

    from movie.experiments.models import Experiment, ExperimentArm

    experiment = Experiment.objects.create(name=name)
    for arm, is_control in (("control", True), ("treatment", False)):
        ExperimentArm.objects.create(
            experiment=experiment, name=arm, predictor="popular", share="0.5", is_control=is_control
        )
    experiment.state = Experiment.State.RUNNING
    experiment.save()
    cache.clear()
    return experiment


def events_of(rng: np.random.Generator, visitor: str, assigned, lift: float, films: list[int]) -> Iterator:
    from datetime import UTC, datetime

    from movie.core.ids import new_event_id
    from predictors.history import Interaction

    chance = 0.2 * (1 + lift * assigned.arm_index)
    for _ in range(SITE_LISTS):
        shown = assigned.list_id(fallback=False)
        film, now = int(rng.choice(films)), datetime.now(UTC)
        kinds = ["impression", *(["click"] if rng.random() < chance else [])]
        for kind in kinds:
            yield Interaction(new_event_id(), visitor, kind, film, now, None, "recommend", shown)


def impression_cost() -> None:
    """Print what an impression of a list of the running experiment costs, as a multiple of a click."""
    from django.core.signing import get_cookie_signer
    from django.middleware.csrf import CSRF_SECRET_LENGTH

    from movie.catalogue.models import Movie
    from movie.core.ids import new_event_id
    from movie.experiments.assignment import assign_arm
    from movie.experiments.models import VisitorTotals
    from movie.visitors.visitor import GUEST_COOKIE, SALT, Visitor

    experiment = running_experiment("impressions")
    visitor, token = Visitor.new_guest().key, "x" * CSRF_SECRET_LENGTH
    arm = assign_arm(visitor)
    cookie = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(visitor)
    ask = browser(f"{GUEST_COOKIE}={cookie}; csrftoken={token}")
    films = list(Movie.objects.values_list("pk", flat=True))

    def show(film: int) -> str:
        query = urlencode({"e": new_event_id(), "from": "home", "rec": arm.list_id(fallback=False)})
        fetched = {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_SEC_FETCH_MODE": "no-cors"}
        return ask(f"/shown/{film}/?{query}", **fetched)[0]

    def click(film: int) -> str:
        sent = urlencode({"event_id": new_event_id(), "surface": "home"}).encode()
        return ask(f"/movies/{film}/click/", sent, HTTP_X_CSRFTOKEN=token)[0]

    costs: dict[str, list[float]] = {"200 OK": [], "204 No Content": []}
    for number in range(WARM_UP + REQUESTS):
        for expected, door in zip(costs, (show, click), strict=True):
            before = time.process_time()
            status = door(films[number % len(films)])
            costs[expected].append(1000 * (time.process_time() - before))
            if status != expected:
                raise CouldNotMeasure(f"{door.__name__}: {status}")
    totals = VisitorTotals.objects.filter(arm__experiment=experiment).values_list("impressions", "clicks")
    if list(totals) != [(WARM_UP + REQUESTS, 0)]:
        raise CouldNotMeasure(f"counted were {list(totals)}")
    shown, clicked = (statistics.median(each[WARM_UP:]) for each in costs.values())
    print(f"\nan impression             {shown:.2f} CPU-ms, median of {REQUESTS}")
    print(f"a click                   {clicked:.2f} CPU-ms")
    print_ratio("experiments: /shown/ while one runs", shown / clicked, "a click outside of one", "at most 3")


if __name__ == "__main__":
    run(main)
