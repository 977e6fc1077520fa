"""Proves that CloudFormation takes the templates, on a local emulator that is asked through AWS's own API afterwards.

The emulator (ministack, bound to loopback) makes records, not machines. It lacks the types of `LACKS`, which are left
out together with the two routes that need them, and ignores ExcludePunctuation, the services' registration by name,
the names of a task's secrets and Redis's real address: those are held by the assertions on the template alone.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from ledgerlink_aws.promote import PromotionFailed, Release, promote
from ledgerlink_aws.sizes import DEV, SIZES, Size
from ledgerlink_aws.wiring import PASSWORD_CHARS, composed, generated, processes, services

LACKS: Final = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::EC2::EIP",
    "AWS::EC2::FlowLog",
    "AWS::EC2::NatGateway",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::IAM::OIDCProvider",
}
REGION: Final = "eu-west-2"
PARAMETERS: Final = {
    "Domain": "api.example.com",
    "CertificateArn": f"arn:aws:acm:{REGION}:000000000000:certificate/planted",
    "ImageTag": "1.2.3",
    "CollectorTag": "1",
    "AdminEmail": "admin@example.com",
    "MailFrom": "no-reply@example.com",
    "MailUrl": "smtp://user:password@mail.example.com:587",
    "GithubRepository": "owner/name",
}
Aws = Callable[[str], Any]


def referred(node: Any) -> Iterator[str]:
    """Give the logical names that a piece of a template refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value[0]
            else:
                yield from referred(value)
    elif isinstance(node, list):
        for each in node:
            yield from referred(each)


def reduced(template: Any) -> dict[str, Any]:
    """Give the template without what the emulator lacks; only routes to a NAT gateway may go with it."""
    resources = {name: each for name, each in template.resources.items() if each["Type"] not in LACKS}
    gone = template.resources.keys() - resources.keys()
    needing = {name for name, each in resources.items() if gone & set(referred(each))}
    assert {resources[name]["Type"] for name in needing} <= {"AWS::EC2::Route"}
    kept: dict[str, Any] = {}
    for name in resources.keys() - needing:
        needs = resources[name].get("DependsOn", [])
        needs = [needs] if isinstance(needs, str) else needs
        kept[name] = {**resources[name], "DependsOn": [each for each in needs if each not in gone | needing]}
    return {**template.content, "Resources": kept}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("emulator") / "log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "DOCKER_HOST": "unix:///nowhere/docker.sock",  # no container is to be started
    }
    program = Path(sys.executable).parent / "ministack"
    with log.open("w") as lines:
        process = subprocess.Popen([str(program)], env=environment, stdout=lines, stderr=lines, cwd=log.parent)
        try:
            until = time.monotonic() + 30
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < until, log.read_text()[-2000:]
                time.sleep(0.1)
            yield lambda name: boto3.client(
                name,
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        finally:
            process.terminate()
            process.wait(20)


def deploy(aws: Aws, name: str, content: dict[str, Any], parameters: dict[str, str]) -> None:
    """Deploy by way of a bucket, as the runbook does: a template of this size cannot be sent in the call."""
    aws("s3").put_object(Bucket="templates", Key=name, Body=json.dumps(content))
    formation = aws("cloudformation")
    formation.create_stack(
        StackName=name,
        TemplateURL=f"{formation.meta.endpoint_url}/templates/{name}",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    until = time.monotonic() + 60
    status = "CREATE_IN_PROGRESS"
    while status == "CREATE_IN_PROGRESS" and time.monotonic() < until:
        time.sleep(0.2)
        status = formation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    failed = [
        (each["LogicalResourceId"], each.get("ResourceStatusReason"))
        for each in formation.describe_stack_events(StackName=name)["StackEvents"]
        if "FAILED" in each["ResourceStatus"]
    ]
    assert (status, failed) == ("CREATE_COMPLETE", [])


@pytest.fixture(scope="module")
def deployed(aws: Aws, templates: dict[str, Any]) -> Aws:
    aws("s3").create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": REGION})
    for name in ("registry", "dev", "prod"):
        deploy(aws, name, reduced(templates[name]), {} if name == "registry" else PARAMETERS)
    return aws


@pytest.mark.parametrize("size", SIZES, ids=lambda each: each.name)
def test_every_process_is_an_ecs_service_of_the_release_with_the_circuit_breaker(deployed: Aws, size: Size) -> None:
    ecs, cluster = deployed("ecs"), f"ledgerlink-{size.name}"
    arns = ecs.list_services(cluster=cluster, maxResults=100)["serviceArns"]
    found = [
        each
        for start in range(0, len(arns), 10)
        for each in ecs.describe_services(cluster=cluster, services=arns[start : start + 10])["services"]
    ]
    assert {each["serviceName"] for each in found} == {
        process.name for process in processes(services(sandbox=size.sandbox))
    }
    for each in found:
        assert each["deploymentConfiguration"]["deploymentCircuitBreaker"]["rollback"] is True
        task = ecs.describe_task_definition(taskDefinition=each["taskDefinition"])["taskDefinition"]
        app = next(container for container in task["containerDefinitions"] if container["name"] == "app")
        assert app["image"].endswith("/ledgerlink/app:1.2.3")
        assert app["readonlyRootFilesystem"] is True


@pytest.mark.parametrize("size", SIZES, ids=lambda each: each.name)
def test_every_database_is_there_and_closed(deployed: Aws, size: Size) -> None:
    prefix = f"ledgerlink-{size.name}-"
    found = {
        each["DBInstanceIdentifier"].removeprefix(prefix): each
        for each in deployed("rds").describe_db_instances()["DBInstances"]
        if each["DBInstanceIdentifier"].startswith(prefix)
    }
    assert found.keys() == {each.name for each in services(sandbox=size.sandbox) if each.has_database}
    for each in found.values():
        assert each["PubliclyAccessible"] is False
        assert each["StorageEncrypted"] is True
        assert each["DeletionProtection"] is size.protected


def test_secrets_are_joined_inside_and_leave_no_reference_open(deployed: Aws) -> None:
    secrets, chosen = deployed("secretsmanager"), services(sandbox=True)

    def value(name: str) -> str:
        return secrets.get_secret_value(SecretId=f"ledgerlink/{DEV.name}/{name}")["SecretString"]

    for name in (*generated(chosen), *composed(chosen)):
        assert "resolve:" not in value(name)
    password = value("wallet-database-password")
    assert len(password) == PASSWORD_CHARS
    url = value("wallet-database-url")
    assert url.startswith(f"postgresql://wallet:{password}@ledgerlink-dev-wallet.")
    assert url.endswith(":5432/wallet")
    assert value("redis-url").startswith(f"rediss://:{value('redis-password')}@")
    assert value("service-clients").count('":"') == 4
    assert value("wallet-checkpoint-key") == f"{value('wallet-checkpoint-seed')}A="
    assert value("mail-url") == PARAMETERS["MailUrl"]


def test_redis_and_the_door_are_there(deployed: Aws) -> None:
    groups = {
        each["ReplicationGroupId"]: each
        for each in deployed("elasticache").describe_replication_groups()["ReplicationGroups"]
    }
    assert groups.keys() == {"ledgerlink-dev", "ledgerlink-prod"}
    assert all(each["TransitEncryptionEnabled"] and each["AuthTokenEnabled"] for each in groups.values())
    assert len(deployed("elbv2").describe_load_balancers()["LoadBalancers"]) == 2


@pytest.mark.parametrize("size", SIZES, ids=lambda each: each.name)
def test_alarms_tell_the_topic(deployed: Aws, size: Size) -> None:
    pages = deployed("cloudwatch").get_paginator("describe_alarms").paginate()
    found = [each for page in pages for each in page["MetricAlarms"] if f"-{size.name}-" in each["AlarmName"]]
    for process in processes(services(sandbox=size.sandbox)):
        assert f"ledgerlink-{size.name}-{process.name}-running" in {each["AlarmName"] for each in found}
    assert all(f"ledgerlink-{size.name}-alarms" in each["AlarmActions"][0] for each in found)


def test_roles_are_there_and_githubs_trusts_tokens_of_one_place(deployed: Aws) -> None:
    iam = deployed("iam")
    role = iam.get_role(RoleName="ledgerlink-prod-deploy")["Role"]
    trust = json.dumps(role["AssumeRolePolicyDocument"])
    assert "repo:owner/name:environment:production" in trust
    assert "sts:AssumeRoleWithWebIdentity" in trust


def test_images_have_tags_that_never_move(deployed: Aws) -> None:
    repositories = deployed("ecr").describe_repositories()["repositories"]
    assert {each["repositoryName"] for each in repositories} == {"ledgerlink/app", "ledgerlink/otel-collector"}
    assert {each["imageTagMutability"] for each in repositories} == {"IMMUTABLE"}


def test_a_release_is_promoted_into_the_registry_once(deployed: Aws) -> None:
    ecr, said, manifest = deployed("ecr"), list[str](), json.dumps({"schemaVersion": 2, "layers": []})
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"

    def programs(command: Sequence[str], _: str) -> tuple[int, str]:
        if "create" in command:  # what docker does, by the API
            ecr.put_image(repositoryName="ledgerlink/app", imageManifest=manifest, imageTag="9.9.9")
        return 0, json.dumps({"digest": digest}) if "inspect" in command else ""

    release = Release("ghcr.io/owner/name", "9.9.9", "owner/name")
    assert promote(ecr, programs, release, said.append) == digest
    assert said[-1] == "ledgerlink/app:9.9.9 is in ECR"
    assert promote(ecr, programs, release, said.append) == digest
    assert said[-1] == "ledgerlink/app:9.9.9 is in ECR already"
    with pytest.raises(PromotionFailed, match="never moves"):
        promote(ecr, lambda *_: (0, json.dumps({"digest": "sha256:other"})), release, said.append)
