"""The CloudFormation templates of deploy/aws as plain values: `!Sub X` is {"Fn::Sub": "X"}."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

AWS = Path(__file__).resolve().parent.parent / "deploy" / "aws"


class _Loader(yaml.SafeLoader):
    pass


def _function(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name if name == "Ref" else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


@cache
def template(name: str) -> dict[str, Any]:
    """Return data.yaml or site.yaml."""
    return yaml.load((AWS / f"{name}.yaml").read_text(), Loader=_Loader)  # noqa: S506 - a safe one


def resources(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a kind by their logical names."""
    found = template(name)["Resources"].items()
    return {key: each.get("Properties", {}) for key, each in found if each["Type"] == kind}


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every container of every task, with the name of the task."""
    for task, properties in resources("site", "AWS::ECS::TaskDefinition").items():
        for container in properties["ContainerDefinitions"]:
            yield task, container


def text_of(value: str | dict[str, str]) -> str:
    """Return a text in which the parameters of site.yaml have their defaults."""
    if isinstance(value, str):
        return value
    defaults = {name: each.get("Default", "") for name, each in template("site")["Parameters"].items()}
    return re.sub(r"\$\{(\w+)\}", lambda found: str(defaults[found[1]]), value["Fn::Sub"])


def values_of(node: Any, key: str) -> Iterator[Any]:
    """Yield everything that stands under a key, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(value, key)
