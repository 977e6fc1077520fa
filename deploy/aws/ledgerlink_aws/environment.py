"""One environment, `dev` or `prod`, as one stack: the composition of everything beside this module."""

from typing import Any

from aws_cdk import CfnOutput, CfnParameter, RemovalPolicy, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from constructs import Construct

from ledgerlink_aws import wiring
from ledgerlink_aws.alarms import Alarms
from ledgerlink_aws.edge import make_balancer
from ledgerlink_aws.github import make_deploy_role
from ledgerlink_aws.network import make_groups, make_vpc
from ledgerlink_aws.registry import OTEL_IMAGE
from ledgerlink_aws.secrets import Vault
from ledgerlink_aws.sizes import Size
from ledgerlink_aws.stores import make_database, make_redis
from ledgerlink_aws.tasks import Ground, image_of, make_log, make_migration, make_service, make_task
from ledgerlink_aws.wiring import APP_IMAGE


class Environment(Stack):
    """LedgerLink in one environment. Account and region are those of whoever deploys it."""

    def __init__(self, scope: Construct, name: str, size: Size, **options: Any) -> None:
        """Make every resource."""
        super().__init__(scope, name, **options)
        Tags.of(self).add("product", "ledgerlink")
        Tags.of(self).add("environment", size.name)
        services = wiring.services(sandbox=size.sandbox)
        given = self._parameters()
        key = kms.Key(
            self,
            "data-key",
            description=f"LedgerLink {size.name}: databases, Redis, secrets, alarms",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN if size.protected else RemovalPolicy.DESTROY,
        )
        vpc = make_vpc(self, size)
        groups = make_groups(self, vpc, services)
        vault = Vault(self, size, services, key)
        databases = {
            service.name: make_database(self, size, vpc, service, groups[service.name], vault, key)
            for service in services
            if service.has_database
        }
        redis = make_redis(self, size, vpc, groups, vault, key)
        addresses = {f"database:{each}": one.db_instance_endpoint_address for each, one in databases.items()}
        vault.compose({"redis": redis.attr_primary_end_point_address, **addresses}, given["MailUrl"])
        ground = self._ground(size, vpc, vault, given)
        alarms = Alarms(self, size, key)
        tasks, running = {}, {}
        for process in wiring.processes(services):
            tasks[process.name] = make_task(self, ground, process)
            running[process.name] = make_service(
                self, ground, process, tasks[process.name], groups[process.service.name]
            )
            alarms.watch_process(process, running[process.name])
        migrations = [make_migration(self, ground, service) for service in services if service.has_database]
        balancer, targets = make_balancer(self, size, vpc, running["gateway"], given["CertificateArn"])
        for each, database in databases.items():
            alarms.watch_database(each, database)
        alarms.watch_redis(f"ledgerlink-{size.name}", 1 + size.redis_replicas)
        alarms.watch_door(balancer, targets)
        repository, cluster = given["GithubRepository"], ground.cluster
        role = make_deploy_role(
            self, size, repository, cluster, list(running.values()), list(tasks.values()), migrations
        )
        CfnOutput(self, "DoorAddress", value=balancer.load_balancer_dns_name, description="Point the domain here")
        CfnOutput(self, "DeployRole", value=role.role_arn, description="The role for GitHub Actions")
        CfnOutput(self, "AlarmTopic", value=alarms.topic.topic_arn, description="Subscribe whoever is on duty")

    def _ground(self, size: Size, vpc: ec2.Vpc, vault: Vault, given: dict[str, CfnParameter]) -> Ground:
        """Make what all tasks share: the cluster, the images, the words of their settings."""
        namespace = f"{size.name}.ledgerlink.internal"
        return Ground(
            size=size,
            vpc=vpc,
            cluster=ecs.Cluster(
                self,
                "cluster",
                cluster_name=f"ledgerlink-{size.name}",
                vpc=vpc,
                container_insights_v2=ecs.ContainerInsights.ENABLED,
                default_cloud_map_namespace=ecs.CloudMapNamespaceOptions(name=namespace),
            ),
            image=image_of(self, "app-image", APP_IMAGE, given["ImageTag"].value_as_string),
            collector_image=image_of(self, "otel-image", OTEL_IMAGE, given["CollectorTag"].value_as_string),
            vault=vault,
            words={
                "domain": given["Domain"].value_as_string,
                "admin_email": given["AdminEmail"].value_as_string,
                "mail_from": given["MailFrom"].value_as_string,
                "namespace": namespace,
                "vpc_cidr": size.vpc_cidr,
            },
            metrics_log=make_log(self, size, "metrics"),
        )

    def _parameters(self) -> dict[str, CfnParameter]:
        """Ask the operator for what cannot be known here; no account, domain or address stands in the code."""
        asked = {
            "Domain": CfnParameter(self, "Domain", description="Where people reach the API, such as api.example.com"),
            "CertificateArn": CfnParameter(self, "CertificateArn", description="ACM certificate of that domain"),
            "ImageTag": CfnParameter(self, "ImageTag", description="Release to run: a tag of our image in ECR"),
            "CollectorTag": CfnParameter(self, "CollectorTag", description="Tag of the copied OTel collector in ECR"),
            "AdminEmail": CfnParameter(self, "AdminEmail", description="Address of the first admin"),
            "MailFrom": CfnParameter(self, "MailFrom", description="Sender of all mail"),
            "MailUrl": CfnParameter(
                self, "MailUrl", no_echo=True, description="smtp://user:password@host:port, kept as a secret"
            ),
            "GithubRepository": CfnParameter(self, "GithubRepository", description="owner/name that may deploy"),
        }
        for parameter in asked.values():
            parameter.min_length = 1
        return asked
