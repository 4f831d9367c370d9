"""Results of an experiment so far: figures by arm, verdict, warnings."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, Sum
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from movie.core.spreadsheets import neutralize
from movie.experiments.models import Experiment, ExperimentArm, VisitorTotals
from movie.experiments.statistics import (
    ALPHA,
    LEAST_EVENTS,
    LEAST_VISITORS,
    Effect,
    Interval,
    Moments,
    SampleRatio,
    compare,
    interval,
    sample_ratio_test,
)

Metric = Experiment.Metric
SAME = 0.05  # an effect that is surely smaller than this is none worth waiting for
MANY_CHANGED = 0.05  # so many visitors seen in two arms blur the effect


class Ratio(NamedTuple):
    """A metric as y over x, sums of VisitorTotals; `tau` is the size of effects to look for."""

    y: str
    x: str
    tau: float


RATIOS = {
    Metric.CTR: Ratio("clicks", "impressions", 0.10),
    Metric.RATING_RATE: Ratio("ratings", "impressions", 0.10),
    Metric.MEAN_RATING: Ratio("stars", "ratings", 0.02),
}
COUNTS = ("impressions", "fallbacks", "clicks", "ratings")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric of an arm. `lift` is None for the control, and while there is too little."""

    metric: Metric
    value: float | None
    low: float | None
    high: float | None
    lift: Effect | None

    @property
    def label(self) -> str:
        return str(self.metric.label)

    @property
    def lift_words(self) -> dict[str, str] | None:
        """Return the effect in percent and its p-value as text."""
        if self.lift is None:
            return None
        p = float(self.lift.p)
        words = f"< {number_format(0.001)}" if p < 0.001 else number_format(round(p, 3), 3)
        return {**_percents(self.lift.lift), "p": words}


@dataclass(frozen=True, slots=True)
class ArmResult:
    arm: ExperimentArm
    visitors: int
    changed_arm: int
    impressions: int
    fallbacks: int
    clicks: int
    ratings: int
    moments: dict[Metric, Moments]
    figures: dict[Metric, Estimate]

    @property
    def fallback_percent(self) -> str | None:
        return percent(self.fallbacks / self.impressions) if self.impressions else None


Compared = tuple[ArmResult, Effect]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion: `state` for programs, `text` for people. `winner` is an arm that may be made the
    default.
    """

    state: str  # draft, planned, early, imbalance, better, worse, same, open
    text: str
    winner: ExperimentArm | None = None


@dataclass(frozen=True, slots=True)
class Results:
    experiment: Experiment
    arms: Sequence[ArmResult]
    sample_ratio: SampleRatio | None
    verdict: Verdict
    alpha: float  # for each comparison

    @property
    def by_primary_metric(self) -> list[tuple[ArmResult, Estimate]]:
        """Return each arm with its figure of the metric that decides."""
        metric = Metric(self.experiment.metric)
        return [(each, each.figures[metric]) for each in self.arms]

    @property
    def changed_arm(self) -> int:
        return sum(each.changed_arm for each in self.arms)

    @property
    def many_changed(self) -> bool:
        return self.changed_arm > MANY_CHANGED * sum(each.visitors for each in self.arms)


def results_of(experiment: Experiment) -> Results:
    """Compute the results from the sums of all visitors, in two queries."""
    arms = list(experiment.arms.all())
    sums = _sums(experiment)
    alpha = ALPHA / max(1, len(arms) - 1)
    moments = {arm.pk: {metric: _moments(sums.get(arm.pk, {}), metric) for metric in RATIOS} for arm in arms}
    control = next((arm for arm in arms if arm.is_control), None)
    found = [
        _arm_result(arm, sums.get(arm.pk, {}), moments[arm.pk], moments[control.pk] if control else {}, alpha)
        for arm in arms
    ]
    counts = [float(each.visitors) for each in found]
    ratio = sample_ratio_test(counts, [float(arm.share) for arm in arms]) if sum(counts) else None
    return Results(experiment, found, ratio, _verdict(experiment, found, ratio), alpha)


def as_rows(results: Results) -> list[dict[str, Any]]:
    """Return a row for each arm and metric for programs; undefined numbers are None."""
    return [
        {
            "arm": each.arm.name,
            "model": each.arm.predictor,
            "share": float(each.arm.share),
            "is_control": each.arm.is_control,
            "visitors": each.visitors,
            "lists": each.impressions,
            "lists_by_fallback": each.fallbacks,
            "films_opened": each.clicks,
            "ratings": each.ratings,
            "changed_arm": each.changed_arm,
            "metric": figure.metric.value,
            "is_primary": figure.metric == results.experiment.metric,
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            **_plain(figure.lift),
        }
        for each in results.arms
        for figure in each.figures.values()
    ]


def as_csv(results: Results) -> str:
    text = io.StringIO()
    rows = as_rows(results)
    writer = csv.DictWriter(text, rows[0] if rows else ["arm"])
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: neutralize(cell) if isinstance(cell, str) else cell for key, cell in row.items()}
        )
    return text.getvalue()


def _plain(found: Effect | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(("lift", "lift_low", "lift_high", "p"))
    lift = found.lift
    return {
        "lift": float(lift.value),
        "lift_low": float(lift.low),
        "lift_high": float(lift.high),
        "p": float(found.p),
    }


def _sums(experiment: Experiment) -> dict[int, dict[str, Any]]:
    """Return the sums and sums of products by arm, over visitors who were shown a list."""
    products = {
        f"{a}_{b}": Sum(F(a) * F(b))
        for a, b in [
            ("impressions", "impressions"),
            ("impressions", "clicks"),
            ("impressions", "ratings"),
            ("clicks", "clicks"),
            ("ratings", "ratings"),
            ("ratings", "stars"),
            ("stars", "stars"),
        ]
    }
    # Who was counted for opening a film but never for a list has a browser that blocks the picture.
    rows = VisitorTotals.objects.filter(arm__experiment=experiment, impressions__gt=0)
    plain = {f"{name}_sum": Sum(name) for name in (*COUNTS, "stars")}
    grouped = rows.values("arm_id").annotate(
        visitors=Count("pk"), changed=Count("pk", filter=Q(changed_arm=True)), **plain, **products
    )
    return {row["arm_id"]: dict(row) for row in grouped}


def _moments(row: dict[str, Any], metric: Metric) -> Moments:
    y, x, _tau = RATIOS[metric]
    between = row.get(f"{x}_{y}", row.get(f"{y}_{x}", 0))
    sums = (row.get(name) for name in ("visitors", f"{x}_sum", f"{y}_sum", f"{x}_{x}"))
    return Moments(*(float(each or 0) for each in (*sums, between, row.get(f"{y}_{y}"))))


def _arm_result(
    arm: ExperimentArm,
    row: dict[str, Any],
    moments: dict[Metric, Moments],
    control: dict[Metric, Moments],
    alpha: float,
) -> ArmResult:
    figures = {}
    for metric, ratio in RATIOS.items():
        estimate = interval(moments[metric], ratio.tau, alpha)
        lift = None
        is_treatment = control and not arm.is_control
        if is_treatment and all(_has_min_sample(each, metric) for each in (control, moments)):
            found = compare(control[metric], moments[metric], ratio.tau, alpha)
            lift = found if math.isfinite(found.p) else None  # all visitors of an arm did the same
        value, low, high = (_number(each) for each in estimate)
        figures[metric] = Estimate(metric, value, low, high, lift)
    counts = {name: int(row.get(f"{name}_sum") or 0) for name in COUNTS}
    return ArmResult(
        arm=arm,
        visitors=int(row.get("visitors", 0)),
        changed_arm=int(row.get("changed", 0)),
        moments=moments,
        figures=figures,
        **counts,
    )


def _has_min_sample(moments: dict[Metric, Moments], metric: Metric) -> bool:
    if metric == Metric.MEAN_RATING:  # as many ratings, not stars
        return bool(moments[metric]._replace(y=moments[metric].x).has_min_sample)
    return bool(moments[metric].has_min_sample)


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _verdict(experiment: Experiment, arms: Sequence[ArmResult], ratio: SampleRatio | None) -> Verdict:
    if not experiment.has_started:
        return Verdict("draft", _("It has not been started."))
    if experiment.is_planned:
        return Verdict("planned", _("It starts by itself at the time that is set."))
    if ratio is not None and ratio.is_alarming:
        return Verdict(
            "imbalance",
            _(
                "Do not decide by these figures: visitors did not come to the arms as the shares say, so"
                " something loses or keeps visitors of one arm. Find out what before you start anew."
            ),
        )
    metric = Metric(experiment.metric)
    compared = [(each, each.figures[metric].lift) for each in arms if not each.arm.is_control]
    ready = [(each, lift) for each, lift in compared if lift is not None]
    if not ready or len(ready) < len(compared):
        text = _(
            "Too early to say anything: each arm needs %(visitors)d visitors and %(events)d of what counts."
        )
        return Verdict("early", text % {"visitors": LEAST_VISITORS, "events": LEAST_EVENTS})
    return _decision(metric, arms, ready) or _undecided(experiment, metric, ready)


def _decision(metric: Metric, arms: Sequence[ArmResult], ready: Sequence[Compared]) -> Verdict | None:
    """Return the verdict on the primary metric when the intervals allow one."""
    control = next((each.arm for each in arms if each.arm.is_control), None)
    better = [(each, found) for each, found in ready if found.lift.low > 0]
    if better:
        best, found = max(better, key=lambda pair: float(pair[1].lift.value))
        text = _(
            "%(arm)s is better than the control in %(metric)s: by %(lift)s %%;"
            " the 95 %% range is %(low)s %% to %(high)s %%."
        )
        values = {"arm": best.arm.name, "metric": _in_text(metric), **_percents(found.lift)}
        return Verdict("better", text % values, best.arm)
    if all(found.lift.high < 0 for _each, found in ready):
        text = _("The control is better than every other arm in %(metric)s; nothing else is to be expected.")
        return Verdict("worse", text % {"metric": _in_text(metric)}, control)
    if all(max(-found.lift.low, found.lift.high) < SAME for _each, found in ready):
        text = _("No difference in %(metric)s that would matter: the 95 %% range is within %(same)s %%.")
        return Verdict("same", text % {"metric": _in_text(metric), "same": percent(SAME)}, control)
    return None


def _undecided(experiment: Experiment, metric: Metric, ready: Sequence[Compared]) -> Verdict:
    found = max((each for _arm, each in ready), key=lambda each: float(each.lift.high) - float(each.lift.low))
    if experiment.is_running():
        text = _(
            "Not decided, so let it run: the 95 %% range of the difference in %(metric)s is"
            " %(low)s %% to %(high)s %%."
        )
    else:
        text = _(
            "It ended undecided: the 95 %% range of the difference in %(metric)s is"
            " %(low)s %% to %(high)s %%."
        )
    return Verdict("open", text % {"metric": _in_text(metric), **_percents(found.lift)})


def percent(share: float) -> str:
    return number_format(round(100 * share, 1), 1)


def _percents(lift: Interval) -> dict[str, str]:
    value, low, high = (percent(float(each)) for each in lift)
    return {"lift": value, "low": low, "high": high}


def _in_text(metric: Metric) -> str:
    return {
        Metric.CTR: _("films opened per list"),
        Metric.RATING_RATE: _("ratings per list"),
        Metric.MEAN_RATING: _("the mean rating"),
    }[metric]
