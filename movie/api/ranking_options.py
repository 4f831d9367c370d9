"""From a request to the options of a ranking: film ids of this site, filters, business rules."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from movie.api.authentication import Caller
from movie.api.movie_ids import MovieLookup, Ref, are_numbers
from movie.api.problems import Problem, field_problem
from movie.api.schemas import (
    MAX_CANDIDATES,
    MAX_K,
    BoostIn,
    Filters,
    HistoryEntry,
    HistorySource,
    NumbersBetween,
    RankingRequest,
    RulesIn,
)
from movie.recommendations import filtering
from movie.recommendations.ranking import RankingOptions
from movie.recommendations.rules import NO_RULES, Boost, Pin, Rules

logger = logging.getLogger(__name__)
SAME_NAMES = ("year_from", "year_to", "runtime_from", "runtime_to", "available_through", "leaving_by")
NAME_LISTS = ("genres_in", "genres_out", "tags_in", "tags_out", "people_in", "people_out")


def refs_of(options: RankingRequest, *sources: HistorySource) -> Iterator[Ref]:
    """Yield the ids of all films that a request names, of a list of numbers alone none."""
    for source in sources:
        if not are_numbers(source.history or ()):
            for entry in source.history:
                yield entry.movie_id if isinstance(entry, HistoryEntry) else entry
    for refs in (options.exclude, options.candidates or ()):
        if not are_numbers(refs):
            yield from refs
    yield from rule_refs(options.rules)


def rule_refs(rules: RulesIn | None) -> Iterator[Ref]:
    """Yield the ids of all films that rules name."""
    if rules is not None:
        yield from (pin.movie_id for pin in rules.pins)
        for boost in rules.boosts:
            yield from boost.movies or ()


def stored_rules(caller: Caller) -> RulesIn | None:
    """Return the rules that the operator stored for the client, None where there are none.

    Rules that another version of the site stored and this one cannot read count as none, and are logged.
    """
    if not caller.rules:
        return None
    try:
        return RulesIn.model_validate(caller.rules)
    except ValidationError as error:
        logger.warning("the rules of the client %s are not used: %s", caller.client, error)
        return None


def ranking_options(
    request: RankingRequest, lookup: MovieLookup, unknown: list[str], stored: RulesIn | None = None
) -> RankingOptions:
    """Return the options of a ranking. Ids that no film has are left out and added to `unknown`.

    Without `k` there are 20 films, or all candidates. Raises Problem (422) for an id of a source that nobody
    here knows, and for an offset into a diverse list.
    """
    if request.offset and request.diversity:
        detail = "A diverse list has no offset; ask for an endless one, and then for the list after it."
        raise field_problem("body", "offset", detail)
    k, candidates = request.k, None
    if request.candidates is not None:
        candidates = lookup.known(request.candidates, "candidates", unknown)
        if "k" not in request.model_fields_set:
            k = min(len(request.candidates), MAX_K if getattr(request, "explain", False) else MAX_CANDIDATES)
    own = _rules(request.rules, lookup, "rules", unknown)
    operators = _rules(stored, lookup, "", [])
    return RankingOptions(
        k=k,
        model=request.model,
        exclude=lookup.known(request.exclude, "exclude", unknown),
        among=candidates,
        exclude_known=request.exclude_seen,
        filters=None if request.filters is None else _filters(request.filters),
        diversity=request.diversity,
        familiarity=request.familiarity,
        offset=request.offset,
        rules=own if stored is None else Rules(operators.pins + own.pins, operators.boosts + own.boosts),
    )


def _rules(sent: RulesIn | None, lookup: MovieLookup, field: str, unknown: list[str]) -> Rules:
    """Return rules with ids of this site. Without a `field` they are the operator's, which refuse nothing."""
    if sent is None:
        return NO_RULES
    pins = []
    for position, pin in enumerate(sent.pins):
        movie_id = _site_id(
            pin.movie_id, lookup, f"{field}.pins[{position}].movie_id" if field else "", unknown
        )
        if movie_id is not None:
            pins.append(Pin(movie_id, pin.rank, pin.name))
    boosts = [
        _boost(boost, lookup, f"{field}.boosts[{position}]" if field else "", unknown)
        for position, boost in enumerate(sent.boosts)
    ]
    return Rules(tuple(pins), tuple(boosts))


def _boost(sent: BoostIn, lookup: MovieLookup, field: str, unknown: list[str]) -> Boost:
    if sent.filters is not None:
        path = f"{field}.filters" if field else ""
        return Boost(sent.places, filters=_filters(sent.filters), name=sent.name, field=path)
    found = [
        _site_id(ref, lookup, f"{field}.movies[{position}]" if field else "", unknown)
        for position, ref in enumerate(sent.movies)
    ]
    return Boost(sent.places, tuple(pk for pk in found if pk is not None), name=sent.name)


def _site_id(ref: Ref, lookup: MovieLookup, field: str, unknown: list[str]) -> int | None:
    """Return the id here, None for an id that no film has, which is added to `unknown`."""
    try:
        found = lookup.get(ref, field)
    except Problem:
        if field:
            raise
        return None
    if found is None:
        unknown.append(str(ref))
    return found


def _filters(sent: Filters) -> filtering.Filters:
    values: dict[str, Any] = {name: getattr(sent, name) for name in (*SAME_NAMES, "arrived_since")}
    values |= {name: tuple(getattr(sent, name)) for name in (*NAME_LISTS, "languages", "countries")}
    conditions = ((name, _condition(each)) for name, each in sent.attributes.items())
    return filtering.Filters(**values, attributes=tuple(conditions))


def _condition(sent: Any) -> filtering.Between | tuple[Any, ...]:
    if isinstance(sent, NumbersBetween):
        return filtering.Between(sent.low, sent.high)
    return tuple(sent) if isinstance(sent, list) else (sent,)
