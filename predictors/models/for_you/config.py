"""The options of For you: its members, each with its options, and what their weights are fitted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from predictors.config import Config, nested
from predictors.errors import ConfigError
from predictors.models.for_you.members import (
    DEFAULT_MEMBERS,
    PRIOR,
    VARIANTS,
    member_class,
    member_config,
)
from predictors.models.transitions import TransitionsConfig
from predictors.plugins import MODELS


@dataclass(frozen=True)
class ForYouConfig(Config):
    """The members with their own configurations (`ease.ridge=`), and the fit of their weights."""

    #: models to join; popular must be among them, for visitors without a history
    members: tuple[str, ...] = DEFAULT_MEMBERS
    most_shared: float = 0.09  #: share of their ten films that two random visitors may have in common
    recencies: tuple[float, ...] = (1.0, 0.8, 0.6)  #: how much a film counts against the one after it, to try
    #: what it costs when the rest of a taste, in no order, is found less well than wanted (`Wish`)
    taste: float = 4.0
    tries: int = 1000  #: mixes to try at each length of a history
    visitors: int = 600  #: most users the weights are fitted on
    kept: int = 0  #: best targets kept of each film and member; 0 = by size, from 300 down to 60
    dislike_weight: float = 0.2  #: how much a disliked item takes away, against what a liked one adds
    max_history: int = 200  #: latest liked items that are read
    file_order: bool = False  #: rows without times are in the order in which they happened
    #: configurations of members by name; the others have their defaults
    member_configs: Mapping[str, Config] = field(default_factory=dict)

    def check(self) -> None:
        self.require(0 < self.most_shared <= 1, "most_shared must be above 0, and 1 at most")
        self.require(
            len(self.recencies) > 0 and all(0 < each <= 1 for each in self.recencies),
            "recencies must be above 0, and 1 at most",
        )
        object.__setattr__(self, "recencies", tuple(sorted(set(self.recencies), reverse=True)))
        self.require(self.taste >= 0, "taste must be 0 or more")
        self.require(self.tries >= 8, "tries must be 8 or more")
        self.require(self.visitors >= 2, "visitors must be 2 or more")
        self.require(self.kept >= 0, "kept must be 0 or more")
        self.require(self.max_history >= 1, "max_history must be 1 or more")
        self.require(self.dislike_weight >= 0, "dislike_weight must be 0 or more")
        object.__setattr__(self, "members", tuple(dict.fromkeys(self.members)))
        self.require(
            PRIOR in self.members and len(self.members) > 1,
            f"members must name {PRIOR} and another model, not {', '.join(self.members)}",
        )
        for name in self.members:
            member_class(name)
        for name in self.member_configs:
            self.require(name in self.members, f"option {name}: it is not one of the members")

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Self:
        """Read a configuration; `ease.ridge` names the option ridge of the member ease."""
        values = nested(given or {})
        configs = {}
        for name in [name for name in values if name in VARIANTS or name in MODELS]:
            options = values.pop(name)
            if not isinstance(options, Mapping):
                raise ConfigError(f"option {name}: write {name}.option=value")
            configs[name] = member_config(name, options)
        return super().read(values | ({"member_configs": configs} if configs else {}))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values that `read` accepts: the options of a member under its name."""
        values = super().as_dict()
        return {**values, **values.pop("member_configs")}

    def of_member(self, name: str) -> Config:
        """Return the configuration of a member."""
        config = self.member_configs.get(name) or member_config(name)
        if self.file_order and isinstance(config, TransitionsConfig):
            return replace(config, file_order=True)
        return config
