"""The alarms, all sent to one topic: every process, every database, Redis and the public door."""

from collections.abc import Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cw
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from constructs import Construct

from ledgerlink_aws.collector import namespace
from ledgerlink_aws.signs import Kind, Sign, signs_of
from ledgerlink_aws.sizes import Size
from ledgerlink_aws.tasks import size_of
from ledgerlink_aws.wiring import Process

MISSING_IS_BAD, MISSING_IS_GOOD = cw.TreatMissingData.BREACHING, cw.TreatMissingData.NOT_BREACHING
ABOVE, BELOW = cw.ComparisonOperator.GREATER_THAN_THRESHOLD, cw.ComparisonOperator.LESS_THAN_THRESHOLD
GIB = 1024**3


class Alarms:
    """Makes alarms that tell one topic when they begin and when they end."""

    def __init__(self, scope: Construct, size: Size, key: kms.Key) -> None:
        """Make the topic; who listens is subscribed by hand, so that no address stands here."""
        self._scope, self._size = scope, size
        self.topic = sns.Topic(
            scope, "alarms", topic_name=f"ledgerlink-{size.name}-alarms", master_key=key, enforce_ssl=True
        )
        # A topic with a policy of its own has lost AWS's default one: without this word no alarm is ever told.
        cloudwatch = iam.ServicePrincipal("cloudwatch.amazonaws.com")
        key.grant_encrypt_decrypt(cloudwatch)
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsTell",
                principals=[cloudwatch],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
            )
        )

    def _alarm(
        self,
        name: str,
        metric: cw.IMetric,
        threshold: float,
        *,
        why: str,
        minutes: int = 5,
        when: cw.ComparisonOperator = ABOVE,
        missing: cw.TreatMissingData = MISSING_IS_GOOD,
    ) -> None:
        alarm = cw.Alarm(
            self._scope,
            f"alarm-{name}",
            alarm_name=f"ledgerlink-{self._size.name}-{name}",
            alarm_description=why,
            metric=metric,
            threshold=threshold,
            evaluation_periods=minutes,
            comparison_operator=when,
            treat_missing_data=missing,
        )
        action = actions.SnsAction(self.topic)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)

    def watch_process(self, process: Process, service: ecs.FargateService) -> None:
        """Watch one process: enough of it runs, within its CPU and memory; a worker also tells what it sees."""
        name = process.name
        minute = Duration.minutes(1)
        running = cw.Metric(
            namespace="ECS/ContainerInsights",
            metric_name="RunningTaskCount",
            dimensions_map={"ClusterName": service.cluster.cluster_name, "ServiceName": service.service_name},
            statistic="Minimum",
            period=minute,
        )
        least = size_of(self._size, process).count_min
        self._alarm(
            f"{name}-running",
            running,
            least,
            why=f"Fewer than {least} tasks of {name} run.",
            when=BELOW,
            missing=MISSING_IS_BAD,
        )
        self._alarm(
            f"{name}-cpu", service.metric_cpu_utilization(period=minute), 85, minutes=15, why=f"{name} is short of CPU."
        )
        self._alarm(
            f"{name}-memory", service.metric_memory_utilization(period=minute), 85, why=f"{name} is short of memory."
        )
        for sign in signs_of(process):
            self._watch_sign(name, sign)

    def _watch_sign(self, name: str, sign: Sign) -> None:
        """Watch what a worker tells of itself, at its worst over all of its tasks."""
        metric = cw.Metric(
            namespace=namespace(self._size.name),
            metric_name=sign.metric,
            dimensions_map={"process": name},
            statistic="Sum" if sign.kind is Kind.COUNT else "Maximum",
            period=Duration.minutes(1),
        )
        self._alarm(
            f"{name}-{sign.name}",
            metric,
            sign.threshold,
            why=sign.why.format(name),
            minutes=sign.minutes,
            missing=MISSING_IS_BAD if sign.is_always_told else MISSING_IS_GOOD,
        )

    def watch_database(self, name: str, database: rds.DatabaseInstance) -> None:
        """Watch one database server: CPU, room, memory."""
        minute = Duration.minutes(1)
        self._alarm(
            f"{name}-database-cpu",
            database.metric_cpu_utilization(period=minute),
            80,
            minutes=15,
            why=f"The database of {name} is short of CPU.",
        )
        self._alarm(
            f"{name}-database-storage",
            database.metric_free_storage_space(period=minute),
            5 * GIB,
            when=BELOW,
            why=f"The database of {name} has less than 5 GiB left, or is gone.",
            missing=MISSING_IS_BAD,
        )
        self._alarm(
            f"{name}-database-memory",
            database.metric_freeable_memory(period=minute),
            0.1 * GIB,
            minutes=15,
            when=BELOW,
            why=f"The database of {name} has less than 100 MiB of memory left.",
        )

    def watch_redis(self, group: str, nodes: int) -> None:
        """Watch each node of Redis."""
        for number in range(1, nodes + 1):
            for short, metric_name, why in (
                ("cpu", "EngineCPUUtilization", "Redis is short of CPU."),
                ("memory", "DatabaseMemoryUsagePercentage", "Redis is short of memory: streams may be refused."),
            ):
                metric = cw.Metric(
                    namespace="AWS/ElastiCache",
                    metric_name=metric_name,
                    dimensions_map={"CacheClusterId": f"{group}-{number:03}"},
                    statistic="Average",
                    period=Duration.minutes(1),
                )
                self._alarm(f"redis-{number}-{short}", metric, 80, why=why)

    def watch_door(self, balancer: elb.ApplicationLoadBalancer, targets: elb.ApplicationTargetGroup) -> None:
        """Watch what the public sees: errors, slowness, gateways that do not answer."""
        minute = Duration.minutes(1)
        metrics: Mapping[str, tuple[cw.IMetric, float, str]] = {
            "door-5xx": (
                balancer.metrics.http_code_elb(elb.HttpCodeElb.ELB_5XX_COUNT, period=minute),
                5,
                "The load balancer answers errors of its own: no gateway takes requests.",
            ),
            "gateway-5xx": (
                targets.metrics.http_code_target(elb.HttpCodeTarget.TARGET_5XX_COUNT, period=minute),
                5,
                "More than 5 requests a minute end in an error of ours.",
            ),
            "gateway-slow": (
                targets.metrics.target_response_time(statistic="p99", period=minute),
                2,
                "One request in a hundred takes more than two seconds.",
            ),
            "gateway-unhealthy": (targets.metrics.unhealthy_host_count(period=minute), 0, "A gateway does not answer."),
        }
        for name, (metric, threshold, why) in metrics.items():
            self._alarm(name, metric, threshold, why=why)
