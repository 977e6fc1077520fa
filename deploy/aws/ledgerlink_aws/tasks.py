"""Task definitions, the services that keep them running, and the one-off tasks that migrate."""

from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from ledgerlink_aws.collector import MEMORY_MIB, collector_config
from ledgerlink_aws.nag import excuse
from ledgerlink_aws.network import retention
from ledgerlink_aws.secrets import Vault
from ledgerlink_aws.signs import signs_of
from ledgerlink_aws.sizes import Size, TaskSize
from ledgerlink_aws.wiring import STOP_S, Process, Service, fill, health_command, migrate_command

USER: Final = "10001:10001"
COLLECTOR_USER: Final = "10002:10002"
CPU_TARGET_PERCENT: Final = 60
OPEN_SETTINGS = (
    "AwsSolutions-ECS2",
    "Settings that are no secrets stand in the open; secrets are given by ARN, which a test holds.",
)
REGISTRY_LOGIN = (
    "AwsSolutions-IAM5[Resource::*]",
    "ecr:GetAuthorizationToken logs in to the registry as a whole and takes no resource.",
)
TRACES = (
    "AwsSolutions-IAM5[Resource::*]",
    "X-Ray's PutTraceSegments and PutTelemetryRecords take no resource.",
)
LOG_STREAMS = ("AwsSolutions-IAM5", "Streams of the one log group named here; their names are made as tasks start.")


@dataclass(frozen=True, slots=True)
class Ground:
    """What every task of an environment stands on."""

    size: Size
    vpc: ec2.Vpc
    cluster: ecs.Cluster
    image: ecs.ContainerImage
    collector_image: ecs.ContainerImage
    vault: Vault
    words: dict[str, str]
    metrics_log: logs.LogGroup


def image_of(scope: Construct, name: str, repository: str, tag: str) -> ecs.ContainerImage:
    """Give an image that lies in the account's own registry."""
    return ecs.ContainerImage.from_ecr_repository(ecr.Repository.from_repository_name(scope, name, repository), tag)


def size_of(size: Size, process: Process) -> TaskSize:
    """Give how big a process is."""
    if process.is_worker:
        return size.worker
    return size.wallet if process.service.name == "wallet" else size.server


def make_log(scope: Construct, size: Size, name: str) -> logs.LogGroup:
    """Make a log group whose lines are forgotten in time."""
    return logs.LogGroup(
        scope,
        f"{name}-log",
        log_group_name=f"/ledgerlink/{size.name}/{name}",
        retention=retention(size.log_days),
        removal_policy=RemovalPolicy.RETAIN if size.protected else RemovalPolicy.DESTROY,
    )


def make_task(scope: Construct, ground: Ground, process: Process) -> ecs.FargateTaskDefinition:
    """Make the definition of a process's task: the process, and the collector beside it."""
    name, size = process.name, size_of(ground.size, process)
    watched = [sign.metric for sign in signs_of(process)]
    log = make_log(scope, ground.size, name)
    task = ecs.FargateTaskDefinition(
        scope,
        f"{name}-task",
        family=f"ledgerlink-{ground.size.name}-{name}",
        cpu=size.cpu,
        memory_limit_mib=size.memory_mib,
    )
    task.add_container(
        "app",
        image=ground.image,
        entry_point=process.command[:1],  # whatever the image would start by itself
        command=process.command[1:],
        user=USER,
        readonly_root_filesystem=True,
        environment={key: fill(value, ground.words) for key, value in process.service.environment().items()},
        secrets=secrets_of(ground, process.service.secret_variables()),
        port_mappings=[ecs.PortMapping(container_port=process.port)],
        logging=ecs.LogDriver.aws_logs(stream_prefix="app", log_group=log),
        health_check=ecs.HealthCheck(
            command=health_command(process.port), interval=Duration.seconds(15), start_period=Duration.seconds(60)
        ),
        stop_timeout=Duration.seconds(STOP_S),
    )
    task.add_container(
        "otel",
        image=ground.collector_image,
        user=COLLECTOR_USER,
        readonly_root_filesystem=True,
        essential=False,  # money moves on without traces
        environment={
            "AOT_CONFIG_CONTENT": collector_config(
                ground.size.name, name, process.port, watched, ground.metrics_log.log_group_name
            )
        },
        logging=ecs.LogDriver.aws_logs(stream_prefix="otel", log_group=log),
        memory_limit_mib=MEMORY_MIB,
        enable_restart_policy=True,
        restart_attempt_period=Duration.seconds(60),
    )
    task.add_to_task_role_policy(
        iam.PolicyStatement(
            sid="Traces", actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]
        )
    )
    if watched:
        task.add_to_task_role_policy(
            iam.PolicyStatement(
                sid="Metrics",
                actions=["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                resources=[ground.metrics_log.log_group_arn],  # it ends in `:*`, so its streams are meant as well
            )
        )
    excuse(task, OPEN_SETTINGS)
    excuse(task.task_role, TRACES, LOG_STREAMS, under=True)
    excuse(task.obtain_execution_role(), REGISTRY_LOGIN, under=True)
    return task


def secrets_of(ground: Ground, variables: dict[str, str]) -> dict[str, ecs.Secret]:
    """Give the secrets that ECS puts into a container as it starts; the execution role may read these and no other."""
    return {key: ecs.Secret.from_secrets_manager(ground.vault.secrets[name]) for key, name in variables.items()}


def make_migration(scope: Construct, ground: Ground, service: Service) -> ecs.FargateTaskDefinition:
    """Make the one-off task that brings a service's database to the release's migrations; it knows one secret."""
    name = f"{service.name}-migrate"
    task = ecs.FargateTaskDefinition(
        scope, f"{name}-task", family=f"ledgerlink-{ground.size.name}-{name}", cpu=256, memory_limit_mib=512
    )
    variable = f"{service.prefix}DATABASE_URL"
    task.add_container(
        "app",
        image=ground.image,
        entry_point=migrate_command(service)[:1],
        command=migrate_command(service)[1:],
        user=USER,
        readonly_root_filesystem=True,
        environment={"PGSSLMODE": "require"},
        secrets=secrets_of(ground, {variable: service.secret_variables()[variable]}),
        logging=ecs.LogDriver.aws_logs(stream_prefix="app", log_group=make_log(scope, ground.size, name)),
    )
    excuse(task, OPEN_SETTINGS)
    excuse(task.obtain_execution_role(), REGISTRY_LOGIN, under=True)
    return task


def make_service(
    scope: Construct, ground: Ground, process: Process, task: ecs.FargateTaskDefinition, group: ec2.SecurityGroup
) -> ecs.FargateService:
    """Keep a process running; a release that does not become healthy is taken back by ECS itself."""
    size = size_of(ground.size, process)
    scales = size.count_max > size.count_min
    service = ecs.FargateService(
        scope,
        f"{process.name}-service",
        service_name=process.name,
        cluster=ground.cluster,
        task_definition=task,
        security_groups=[group],
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        assign_public_ip=False,
        desired_count=None if scales else size.count_min,  # what scaling chose survives a deploy
        min_healthy_percent=100,
        max_healthy_percent=200,
        circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
        propagate_tags=ecs.PropagatedTagSource.SERVICE,
        health_check_grace_period=Duration.seconds(90) if process.name == "gateway" else None,
        # Others find a server by its name; a worker is asked nothing.
        cloud_map_options=None
        if process.is_worker
        else ecs.CloudMapOptions(name=process.name, dns_ttl=Duration.seconds(10)),
    )
    if scales:
        scaling = service.auto_scale_task_count(min_capacity=size.count_min, max_capacity=size.count_max)
        scaling.scale_on_cpu_utilization(
            "cpu",
            target_utilization_percent=CPU_TARGET_PERCENT,
            scale_in_cooldown=Duration.minutes(5),
            scale_out_cooldown=Duration.minutes(1),
        )
    return service
