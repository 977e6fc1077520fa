"""The public door: a load balancer that speaks HTTPS and passes on to the gateway."""

from aws_cdk import CfnParameter, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from ledgerlink_aws.nag import excuse
from ledgerlink_aws.sizes import Size
from ledgerlink_aws.wiring import GATEWAY


def make_access_log(scope: Construct, size: Size) -> s3.Bucket:
    """Make the bucket that keeps the load balancer's access log."""
    bucket = s3.Bucket(
        scope,
        "access-log",
        encryption=s3.BucketEncryption.S3_MANAGED,  # the only kind that the load balancer can write to
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(size.log_days))],
        removal_policy=RemovalPolicy.RETAIN,
    )
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            sid="LoadBalancerWrites",
            principals=[iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
            actions=["s3:PutObject"],
            resources=[
                bucket.arn_for_objects(f"AWSLogs/{Stack.of(scope).account}/*")
            ],  # and no other account's balancer
        )
    )
    excuse(bucket, ("AwsSolutions-S1", "It is an access log itself: its own would have no end."))
    return bucket


def make_balancer(
    scope: Construct,
    size: Size,
    vpc: ec2.Vpc,
    gateway: ecs.FargateService,
    certificate: CfnParameter,
) -> tuple[elb.ApplicationLoadBalancer, elb.ApplicationTargetGroup]:
    """Make the load balancer, its listeners, and the group of gateways that it watches."""
    group = ec2.SecurityGroup(scope, "edge", vpc=vpc, description="The load balancer", allow_all_outbound=False)
    for port in (80, 443):
        group.add_ingress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(port), "The public")
    excuse(group, ("AwsSolutions-EC23", "This is the public door: everybody may knock, at 80 only to be sent to 443."))
    balancer = elb.ApplicationLoadBalancer(
        scope,
        "door",
        vpc=vpc,
        internet_facing=True,
        security_group=group,
        drop_invalid_header_fields=True,
        idle_timeout=Duration.seconds(60),  # the gateway keeps connections for 65: it is never the first to close
        deletion_protection=size.protected,
    )
    bucket = make_access_log(scope, size)
    balancer.set_attribute("access_logs.s3.enabled", "true")
    balancer.set_attribute("access_logs.s3.bucket", bucket.bucket_name)
    balancer.node.add_dependency(bucket)
    balancer.add_redirect(open=False)
    listener = balancer.add_listener(
        "https",
        port=443,
        open=False,
        certificates=[elb.ListenerCertificate.from_arn(certificate.value_as_string)],
        ssl_policy=elb.SslPolicy.RECOMMENDED_TLS,
    )
    targets = listener.add_targets(
        "gateways",
        port=GATEWAY.port,
        protocol=elb.ApplicationProtocol.HTTP,
        targets=[gateway.load_balancer_target(container_name="app", container_port=GATEWAY.port)],
        deregistration_delay=Duration.seconds(25),
        health_check=elb.HealthCheck(
            path="/healthz",  # not /readyz: a gateway in front of a broken service still serves the others
            interval=Duration.seconds(10),
            timeout=Duration.seconds(5),
            healthy_threshold_count=2,
            unhealthy_threshold_count=3,
            healthy_http_codes="200",
        ),
    )
    return balancer, targets
