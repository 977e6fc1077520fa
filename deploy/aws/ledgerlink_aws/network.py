"""The network: public subnets for the load balancer, private ones for tasks, isolated ones for data."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from ledgerlink_aws.sizes import Size
from ledgerlink_aws.wiring import Service, address


def make_vpc(scope: Construct, size: Size) -> ec2.Vpc:
    """Make a VPC over two zones, with the record of its flows."""
    vpc = ec2.Vpc(
        scope,
        "network",
        ip_addresses=ec2.IpAddresses.cidr(size.vpc_cidr),
        max_azs=2,
        nat_gateways=size.nat_gateways,
        restrict_default_security_group=False,  # a custom resource would do it; nothing of ours is in that group
        subnet_configuration=[
            ec2.SubnetConfiguration(
                name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
            ),
            ec2.SubnetConfiguration(name="tasks", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20),
            ec2.SubnetConfiguration(name="data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
        ],
        # Image layers come from S3: by this door they cost no NAT.
        gateway_endpoints={"s3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
    )
    flows = logs.LogGroup(scope, "flows", retention=retention(size.log_days), removal_policy=RemovalPolicy.DESTROY)
    vpc.add_flow_log(
        "rejected",
        destination=ec2.FlowLogDestination.to_cloud_watch_logs(flows),
        traffic_type=ec2.FlowLogTrafficType.REJECT,
    )
    return vpc


def retention(days: int) -> logs.RetentionDays:
    """Give CloudWatch's word for a number of days."""
    return {14: logs.RetentionDays.TWO_WEEKS, 365: logs.RetentionDays.ONE_YEAR}[days]


def make_groups(scope: Construct, vpc: ec2.Vpc, services: tuple[Service, ...]) -> dict[str, ec2.SecurityGroup]:
    """Make a security group for each service; a server lets in only those whose settings name its address."""
    groups = {
        service.name: ec2.SecurityGroup(scope, f"{service.name}-tasks", vpc=vpc, description=f"Tasks of {service.name}")
        for service in services
    }
    for caller in services:
        for called in services:
            if called is not caller and calls(caller, called):
                groups[called.name].add_ingress_rule(
                    groups[caller.name], ec2.Port.tcp(called.port), f"{caller.name} calls {called.name}"
                )
    return groups


def calls(caller: Service, called: Service) -> bool:
    """Whether ``caller``'s settings name where ``called`` answers."""
    return any(address(called.name) in value for value in caller.environment().values())
