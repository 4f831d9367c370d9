"""The CloudFormation templates against the code that they start and their page, and by cfn-lint."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from benchmarks.scale import Prices, Site, UnitCosts, needs, report
from movie.events.archive.dynamodb import DynamoDBArchive
from tests.aws_templates import AWS, containers, resources, template, values_of
from tests.test_deployment import OF_OTHERS, SECRETS, VERSION, training_overrides, variables_read

ROOT = AWS.parent.parent
PAGE = (ROOT / "docs" / "aws.md").read_text()
LARGEST = 51_200  # bytes of a template that is sent without a bucket
CFN_LINT = "import sys; from cfnlint.runner import main; sys.exit(main())"
OWN = {
    "JOB_DIR",
    "FEED_DIR",
    "MODEL_DIR",
    "OMP_NUM_THREADS",
    "MALLOC_ARENA_MAX",
    "WEB_THREADS",
}  # of one task


DATABASE_OPTIONS = re.search(r"3306/reelgraph(\?[^\"]+)", (AWS / "data.yaml").read_text())[1]


@pytest.mark.parametrize("name", ["data", "site"])
def test_cfn_lint_has_nothing_to_say(name):
    if find_spec("cfnlint") is None:
        pytest.skip("cfn-lint is not installed; make check-deploy does it")
    lint = [sys.executable, "-c", CFN_LINT, f"deploy/aws/{name}.yaml"]
    linted = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert (AWS / f"{name}.yaml").stat().st_size < LARGEST


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["Name"]: entry["Value"] for entry in container.get("Environment", [])}


def secrets(container: dict[str, Any]) -> set[str]:
    return {entry["Name"] for entry in container["Secrets"]}


def test_every_variable_is_read_and_all_that_use_the_database_have_the_same():
    read, shared = variables_read(), []
    for task, each in containers():
        assert set(environment(each)) - read - OF_OTHERS == set(), task
        assert not [name for name in environment(each) if SECRETS.search(name)], task
        assert "SECRET_KEY" in secrets(each) <= read
        if "DATABASE_URL" in secrets(each):
            common = {name: value for name, value in environment(each).items() if name not in OWN}
            shared.append((secrets(each), common))
    assert len(shared) == 7 and all(each == shared[0] for each in shared)


def test_the_site_takes_the_environment_without_a_warning(tmp_path):
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    (web,) = [each for _task, each in containers() if each["Name"] == "web"]
    variables = {
        name: value if isinstance(value, str) else "reelgraph" for name, value in environment(web).items()
    }
    variables |= {
        "ALLOWED_HOSTS": "films.example.org",
        "KAFKA_BOOTSTRAP_SERVERS": "b-1.example.org:9098,b-2.example.org:9098",
        "DEFAULT_FROM_EMAIL": "films@example.org",
        "SECRET_KEY": "k3Zr0hYw8uQ2mVx7nT5bLd9sPf1aGc4eJ6iRoUqWtXyMzNvBhKj",
        "DATABASE_URL": "mysql://reelgraph:a1@db.example.org:3306/reelgraph" + DATABASE_OPTIONS,
        "REDIS_URL": "rediss://:b2@cache.example.org:6379/0",
        "EMAIL_URL": "smtp+tls://user:d4@mail.example.org:587",
        "DATA_DIR": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHON_DOTENV_DISABLED": "1",
    }
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_image_has_the_authorities_by_which_the_database_is_known():
    (settings,) = resources("data", "AWS::RDS::DBParameterGroup").values()
    assert settings["Parameters"]["require_secure_transport"] == "1"
    asked = dict(parse_qsl(DATABASE_OPTIONS[1:]))
    assert asked["ssl_mode"] == "VERIFY_IDENTITY"
    assert re.search(rf"^ADD .* {asked['ssl_ca']}$", (AWS / "Dockerfile").read_text(), re.MULTILINE)


def test_nobody_is_root_and_nothing_but_the_balancer_is_public():
    for task, each in containers():
        assert each["User"] == "10001:10001" and each["ReadonlyRootFilesystem"], task
        assert each["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}, task
    services = resources("site", "AWS::ECS::Service")
    assert set(values_of(template("site"), "AssignPublicIp")) == {"DISABLED"}
    subnets = [each["Subnets"] for each in values_of(template("site"), "AwsvpcConfiguration")]
    assert len(subnets) == len(services) + 1
    assert all("PrivateSubnets" in json.dumps(each) for each in subnets)
    (database,) = resources("data", "AWS::RDS::DBInstance").values()
    assert not database["PubliclyAccessible"] and database["StorageEncrypted"] and database["MultiAZ"]
    (bucket,) = resources("data", "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (group,) = [
        each for name, each in resources("data", "AWS::EC2::SecurityGroup").items() if name == "DataGroup"
    ]
    assert {each["SourceSecurityGroupId"]["Ref"] for each in group["SecurityGroupIngress"]} == {"TaskGroup"}


def statements(role: str) -> list[dict[str, Any]]:
    policies = resources("site", "AWS::IAM::Role")[role]["Policies"]
    return [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]


def test_each_role_may_do_what_its_process_does_and_no_more():
    roles = resources("site", "AWS::IAM::Role")
    tasks = resources("site", "AWS::ECS::TaskDefinition")
    assert len({json.dumps(each["TaskRoleArn"]) for each in tasks.values()}) == len(tasks)
    for role in roles:
        for each in statements(role):
            assert not [action for action in each["Action"] if "*" in action], role
            if each["Resource"] == "*":
                assert each["Action"] == ["ecr:GetAuthorizationToken"], role
    document = (ROOT / "docs/events.md").read_text()
    rights = json.loads(re.search(r"```json\n(\{\s+\"Version.*?)```", document, re.DOTALL)[1])
    described = {each["Sid"]: set(each["Action"]) for each in rights["Statement"]}
    for sid, role in (("Web", "WebRole"), ("Relay", "RelayRole"), ("TrainFromSite", "JobsRole")):
        actions = {action for each in statements(role) for action in each["Action"]}
        assert {action for action in actions if action.startswith("dynamodb:")} == described[sid]


def test_what_one_stack_imports_the_other_exports():
    exported = {
        each["Export"]["Name"]["Fn::Sub"] for each in template("data")["Outputs"].values() if "Export" in each
    }
    imported = {each["Fn::Sub"] for each in values_of(template("site"), "Fn::ImportValue")}
    assert {name.replace("DataStack", "AWS::StackName") for name in imported} == exported


def test_the_table_is_the_one_that_the_archive_makes():
    made: dict[str, Any] = {}
    archive = DynamoDBArchive(table="events", region="eu-central-1")
    waiter = SimpleNamespace(wait=lambda **options: None)
    vars(archive)["_client"] = SimpleNamespace(
        create_table=lambda **options: made.update(options), get_waiter=lambda name: waiter,
        exceptions=SimpleNamespace(ResourceInUseException=KeyError),
    )  # fmt: skip
    archive.create()
    (table,) = resources("data", "AWS::DynamoDB::Table").values()
    del made["TableName"]
    assert len(made) == 3 and {name: table[name] for name in made} == made
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}


def test_the_image_calls_a_volume_what_tasks_mount_from_the_host():
    recipe = (AWS / "Dockerfile").read_text()
    assert f"\nFROM reelgraph:{VERSION}\n" in recipe
    volumes = json.loads(recipe.partition("\nVOLUME ")[2])
    tasks = resources("site", "AWS::ECS::TaskDefinition")
    for task, each in containers():
        own = {name["Name"] for name in tasks[task]["Volumes"] if "EFSVolumeConfiguration" not in name}
        mounted = [mount["ContainerPath"] for mount in each["MountPoints"] if mount["SourceVolume"] in own]
        assert mounted[:2] == volumes[:2] and set(mounted) <= set(volumes)


def test_only_what_pulls_writes_to_the_models_that_web_serves():
    folder = "/var/lib/reelgraph/models"
    read_only = {
        each["Name"]: mount.get("ReadOnly", False)
        for _task, each in containers()
        for mount in each["MountPoints"]
        if mount["ContainerPath"] == folder
    }
    assert read_only == {"web": True, "first-models": False, "pull-models": False}


def test_the_nightly_training_leaves_pushing_to_the_task_that_always_runs():
    overrides = {each["name"]: each["command"] for each in training_overrides()}
    (jobs,) = [each for task, each in template("site")["Resources"].items() if task == "JobsTask"]
    assert set(overrides) == {each["Name"] for each in jobs["Properties"]["ContainerDefinitions"]}
    assert overrides["push-models"] == ["true"]


def test_files_are_mounted_by_access_points_over_tls_alone():
    (files,) = resources("data", "AWS::EFS::FileSystem").values()
    allowed, *denied = files["FileSystemPolicy"]["Statement"]
    assert allowed["Effect"] == "Allow" and {each["Effect"] for each in denied} == {"Deny"}
    assert [each["Condition"] for each in denied] == [
        {"Null": {"elasticfilesystem:AccessPointArn": "true"}},
        {"Bool": {"aws:SecureTransport": "false"}},
    ]
    for volume in values_of(template("site"), "EFSVolumeConfiguration"):
        assert volume["TransitEncryption"] == "ENABLED"
        assert volume["AuthorizationConfig"].keys() == {"AccessPointId", "IAM"}


def test_the_page_names_every_parameter():
    for name in ("data", "site"):
        for parameter, described in template(name)["Parameters"].items():
            default = described.get("Default")
            row = re.search(rf"^\| `{parameter}` \| (.+?) \|", PAGE, re.MULTILINE)
            assert row, parameter
            assert row[1] == (f"`{default}`" if default is not None else "none"), parameter


def test_the_page_quotes_the_arithmetic_as_it_is_now():
    quoted = re.search(r"^`python -m benchmarks\.scale --visitors (\d+)`", PAGE, re.MULTILINE)
    costs = report(Site(visitors=float(quoted[1])), UnitCosts(), Prices()).partition("\n\n")[0]
    assert costs in PAGE
    of_a_million = sum(each.dollars for each in needs(Site(), UnitCosts(), Prices()))
    assert f"A million visitors a day come to ${of_a_million:,.0f} " in PAGE
