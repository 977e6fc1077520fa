"""What keeps data: a PostgreSQL for each service, and one Redis. Neither has a public address; both speak TLS only."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from ledgerlink_aws.nag import excuse
from ledgerlink_aws.network import retention
from ledgerlink_aws.secrets import Vault
from ledgerlink_aws.sizes import Size
from ledgerlink_aws.wiring import Service

POSTGRES_PORT, REDIS_PORT = 5432, 6379


def make_database(
    scope: Construct, size: Size, vpc: ec2.Vpc, service: Service, tasks: ec2.SecurityGroup, vault: Vault, key: kms.Key
) -> rds.DatabaseInstance:
    """Make the database server of one service; only that service's tasks reach it."""
    identifier = f"ledgerlink-{size.name}-{service.name}"
    keep = RemovalPolicy.SNAPSHOT if size.protected else RemovalPolicy.DESTROY
    engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.of("16.14", "16"))
    group = ec2.SecurityGroup(
        scope, f"{service.name}-data", vpc=vpc, description=f"Database of {service.name}", allow_all_outbound=False
    )
    group.add_ingress_rule(tasks, ec2.Port.tcp(POSTGRES_PORT), f"{service.name} reaches its own database")
    lines = logs.LogGroup(
        scope,
        f"{service.name}-data-log",
        log_group_name=f"/aws/rds/instance/{identifier}/postgresql",
        retention=retention(size.log_days),
        removal_policy=RemovalPolicy.DESTROY,
    )
    database = rds.DatabaseInstance(
        scope,
        f"{service.name}-database",
        instance_identifier=identifier,
        database_name=service.name,
        engine=engine,
        instance_type=ec2.InstanceType(size.wallet_database_class if service.name == "wallet" else size.database_class),
        credentials=rds.Credentials.from_password(service.name, vault.value(f"{service.name}-database-password")),
        vpc=vpc,
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
        security_groups=[group],
        publicly_accessible=False,
        port=POSTGRES_PORT,
        multi_az=size.multi_az,
        storage_type=rds.StorageType.GP3,
        allocated_storage=size.storage_gib,
        max_allocated_storage=size.storage_gib_max,
        storage_encrypted=True,
        storage_encryption_key=key,
        backup_retention=Duration.days(size.backup_days),
        copy_tags_to_snapshot=True,
        delete_automated_backups=not size.protected,
        deletion_protection=size.protected,
        removal_policy=keep,
        auto_minor_version_upgrade=True,
        allow_major_version_upgrade=False,
        cloudwatch_logs_exports=["postgresql"],
        parameter_group=rds.ParameterGroup(
            scope,
            f"{service.name}-parameters",
            engine=engine,
            description=f"{service.name}: TLS only, slow statements told",
            parameters={"rds.force_ssl": "1", "log_min_duration_statement": "1000", "log_lock_waits": "1"},
        ),
    )
    database.node.add_dependency(lines)
    excuse(
        database,
        ("AwsSolutions-RDS11", "Only the service's own security group reaches the port; another number hides nothing."),
        *(
            ()
            if size.protected
            else (
                ("AwsSolutions-RDS3", "dev may wait for a restore: a second zone doubles its price."),
                ("AwsSolutions-RDS10", "dev is made and deleted at will; prod is protected."),
            )
        ),
    )
    return database


def make_redis(
    scope: Construct, size: Size, vpc: ec2.Vpc, tasks: dict[str, ec2.SecurityGroup], vault: Vault, key: kms.Key
) -> elasticache.CfnReplicationGroup:
    """Make the Redis that carries events and rate limits: TLS, a password, and never the only copy of anything."""
    group = ec2.SecurityGroup(scope, "redis-data", vpc=vpc, description="Redis", allow_all_outbound=False)
    for name, each in tasks.items():
        group.add_ingress_rule(each, ec2.Port.tcp(REDIS_PORT), f"{name} reaches Redis")
    subnets = elasticache.CfnSubnetGroup(
        scope,
        "redis-subnets",
        description="LedgerLink's Redis",
        subnet_ids=vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED).subnet_ids,
    )
    redis = elasticache.CfnReplicationGroup(
        scope,
        "redis",
        replication_group_description=f"LedgerLink {size.name}",
        replication_group_id=f"ledgerlink-{size.name}",
        engine="redis",
        engine_version="7.1",
        cache_node_type=size.redis_class,
        num_cache_clusters=1 + size.redis_replicas,
        automatic_failover_enabled=size.redis_replicas > 0,
        multi_az_enabled=size.redis_replicas > 0,
        cache_subnet_group_name=subnets.ref,
        security_group_ids=[group.security_group_id],
        port=REDIS_PORT,
        transit_encryption_enabled=True,
        at_rest_encryption_enabled=True,
        kms_key_id=key.key_id,
        auth_token=vault.value("redis-password").unsafe_unwrap(),
        snapshot_retention_limit=0,  # the services converge when it is wiped: ADR 6
    )
    excuse(
        redis,
        ("AwsSolutions-AEC5", "Only our tasks' security groups reach the port; another number hides nothing."),
        *(
            ()
            if size.redis_replicas
            else (("AwsSolutions-AEC4", "dev may be without Redis for a while; the services converge afterwards."),)
        ),
    )
    return redis
