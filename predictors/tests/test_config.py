"""Configurations from names, text, files and artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from predictors.config import Config, options_of, parse_pairs, read_file
from predictors.errors import ArtifactError, ConfigError, TrainingError
from predictors.models.ease import EaseConfig, EasePredictor
from predictors.models.for_you.model import ForYouConfig
from predictors.models.popular import PopularPredictor
from predictors.plugins import MODELS, predictor_class
from predictors.run import Run, split_options
from predictors.tests.small_world import interactions


@dataclass(frozen=True)
class Inner(Config):
    size: int = 1


@dataclass(frozen=True)
class Dials(Config):
    depth: int = 3
    width: float = 0.5
    fast: bool = False
    label: str = "plain"
    steps: tuple[float, ...] = (1.0, 2.0)
    inner: Inner = Inner()

    def check(self) -> None:
        self.require(self.depth > 0, "depth must be above 0")


def test_text_becomes_the_type_of_the_field() -> None:
    given = {"depth": "7", "width": "1e-3", "fast": "yes", "label": "x", "steps": "0.1,4", "inner.size": "5"}
    assert Dials.read(given) == Dials(7, 0.001, True, "x", (0.1, 4.0), Inner(5))
    assert Dials.read(None) == Dials()


@pytest.mark.parametrize(
    "given",
    [
        {"depth": "2.5"},
        {"depth": 2.5},
        {"depth": True},
        {"depth": 0},
        {"width": "nan"},
        {"fast": "maybe"},
        {"label": 3},
        {"steps": "1,two"},
        {"inner": 5},
        {"inner.size": "x"},
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_name(given: dict) -> None:
    name = next(iter(given)).rpartition(".")[2]
    with pytest.raises(ConfigError, match=name):
        Dials.read(given)
    if "." not in next(iter(given)):
        with pytest.raises(ConfigError, match=name):
            Dials(**given)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TrainingError, match=r"'dept'.*depth, width"):
        Dials.read({"dept": 1})
    with pytest.raises(TrainingError, match=r"'siz'.*size"):
        Dials.read({"inner.siz": 1})
    with pytest.raises(ConfigError, match="inner"):
        Dials.read({"inner": 1, "inner.size": 1})


def test_every_model_refuses_what_is_no_number_for_the_run() -> None:
    for name in MODELS:
        with pytest.raises(ConfigError, match="cpu_budget_seconds"):
            split_options(predictor_class(name), {"cpu_budget_seconds": "banana"})
        with pytest.raises(ConfigError, match="device"):
            split_options(predictor_class(name), {"device": "abacus"})


def test_every_model_names_its_options_and_reads_them_back() -> None:
    for name in MODELS:
        kind = predictor_class(name)
        assert kind.config_class.names()
        config = kind.config_class()
        assert kind.config_class.read(config.as_dict()) == config


def test_options_of_the_run_are_taken_from_among_those_of_the_model() -> None:
    config, run, graph = split_options(EasePredictor, {"seed": "3", "ridge": "20", "device": "cpu"})
    assert config == EaseConfig(ridge=20)
    assert (run.seed, run.device, graph) == (3, "cpu", "")
    with pytest.raises(ConfigError, match="no option 'graph'"):
        split_options(EasePredictor, {"graph": "/somewhere"})
    assert split_options(predictor_class("kprn"), {"graph": "/there"})[2] == "/there"


def test_an_option_is_for_one_of_several_models_or_for_all() -> None:
    given = {"ease.ridge": "5", "als.factors": "8", "epochs": "3", "for_you.ease.ridge": "7"}
    assert options_of("ease", given, ["ease", "als", "for_you"]) == {"ridge": "5", "epochs": "3"}
    assert options_of("als", given, ["ease", "als", "for_you"]) == {"factors": "8", "epochs": "3"}
    assert options_of("for_you", {"ease.ridge": "7"}, ["for_you"]) == {"ease": {"ridge": "7"}}
    assert options_of("neighbours", {"neighbours": "5"}, ["neighbours"]) == {"neighbours": "5"}  # its option


def test_a_blend_configures_its_members() -> None:
    given = {"for_you.ease.ridge": "20", "for_you.members": "popular,ease", "ease.ridge": "5"}
    config = ForYouConfig.read(options_of("for_you", given, ["for_you", "ease"]))
    assert config.members == ("popular", "ease")
    assert config.member_configs == {"ease": EaseConfig(ridge=20, popularity_exponent=0.1)}
    assert ForYouConfig.read(config.as_dict()) == config
    assert config.as_dict()["ease"]["ridge"] == 20
    with pytest.raises(ConfigError, match="als"):
        ForYouConfig.read({"als.factors": 3})
    with pytest.raises(ConfigError, match="no option 'ridg'"):
        ForYouConfig.read({"ease.ridg": 3})


def test_a_file_holds_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"members": ["popular", "ease"], "ease": {"ridge": 20}}')
    (tmp_path / "a.toml").write_text('members = ["popular", "ease"]\n[ease]\nridge = 20\n')
    by_json, by_toml = (ForYouConfig.read(read_file(tmp_path / name)) for name in ("a.json", "a.toml"))
    assert by_json == by_toml == ForYouConfig.read({"members": "popular,ease", "ease.ridge": "20"})
    (tmp_path / "b.json").write_text("[1]")
    (tmp_path / "c.toml").write_text("=")
    for name in ("b.json", "c.toml", "missing.json"):
        with pytest.raises(ConfigError, match=name):
            read_file(tmp_path / name)


def test_an_artifact_with_an_unknown_option_is_refused_the_same_way_for_every_model() -> None:
    popular = PopularPredictor.fit(interactions())
    for name in MODELS:
        for wrong in ({"no_such_option": 1}, {"seed": 1}):
            with pytest.raises(ArtifactError, match="config: there is no option"):
                predictor_class(name).restore(popular.tensors(), popular.ids, {"config": wrong})


def test_a_model_is_configured_by_its_own_class() -> None:
    with pytest.raises(ConfigError, match="PopularConfig, not EaseConfig"):
        PopularPredictor.fit(interactions(), EaseConfig())


def test_resume_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="checkpoint_dir"):
        Run(resume=True)


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert parse_pairs(["a=1", " b = x=y"]) == {"a": "1", "b": "x=y"}
    for wrong in ("a", "=1"):
        with pytest.raises(ConfigError, match="name=value"):
            parse_pairs([wrong])
