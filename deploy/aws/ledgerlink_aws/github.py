"""The role that GitHub Actions takes by its own token: push an image, migrate, deploy these services, nothing else."""

from collections.abc import Sequence

from aws_cdk import CfnParameter, Duration, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from ledgerlink_aws.nag import excuse
from ledgerlink_aws.registry import GITHUB_TOKENS
from ledgerlink_aws.sizes import Size
from ledgerlink_aws.wiring import APP_IMAGE

PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
UNBOUND = (
    "AwsSolutions-IAM5[Resource::*]",
    "These take no resource: a login, and task definitions, which run only with roles that may be passed.",
)
FAMILIES = (
    "AwsSolutions-IAM5",
    "Revisions of our own task families, and tasks of our own cluster: their numbers are made as they start.",
)


def make_deploy_role(
    scope: Construct,
    size: Size,
    repository: CfnParameter,
    cluster: ecs.Cluster,
    services: Sequence[ecs.FargateService],
    tasks: Sequence[ecs.FargateTaskDefinition],
    migrations: Sequence[ecs.FargateTaskDefinition],
) -> iam.Role:
    """Make the role; only a workflow of our repository that runs in this GitHub environment may take it."""
    provider = Stack.of(scope).format_arn(
        service="iam", region="", resource="oidc-provider", resource_name=GITHUB_TOKENS
    )
    role = iam.Role(
        scope,
        "deploy-role",
        role_name=f"ledgerlink-{size.name}-deploy",
        description="GitHub Actions: push LedgerLink's image and deploy its services",
        max_session_duration=Duration.hours(1),
        assumed_by=iam.WebIdentityPrincipal(
            provider,
            {
                "StringEquals": {
                    f"{GITHUB_TOKENS}:aud": "sts.amazonaws.com",
                    f"{GITHUB_TOKENS}:sub": f"repo:{repository.value_as_string}:environment:{size.github_environment}",
                }
            },
        ),
    )
    for statement in (*_pushing(Stack.of(scope)), *_deploying(Stack.of(scope), cluster, services, tasks, migrations)):
        role.add_to_policy(statement)
    excuse(role, UNBOUND, FAMILIES, under=True)
    return role


def _pushing(stack: Stack) -> list[iam.PolicyStatement]:
    """Let it push our image."""
    repository = stack.format_arn(service="ecr", resource="repository", resource_name=APP_IMAGE)
    return [
        iam.PolicyStatement(sid="Login", actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        iam.PolicyStatement(sid="Push", actions=list(PUSH), resources=[repository]),
    ]


def _deploying(
    stack: Stack,
    cluster: ecs.Cluster,
    services: Sequence[ecs.FargateService],
    tasks: Sequence[ecs.FargateTaskDefinition],
    migrations: Sequence[ecs.FargateTaskDefinition],
) -> list[iam.PolicyStatement]:
    """Let it revise task definitions, run the migrations and update our services, with our own roles only."""

    def arn(resource: str, name: str) -> str:
        return stack.format_arn(service="ecs", resource=resource, resource_name=name)

    roles = [each.role_arn for task in (*tasks, *migrations) for each in (task.task_role, task.obtain_execution_role())]
    return [
        iam.PolicyStatement(
            sid="Revise", actions=["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"], resources=["*"]
        ),
        iam.PolicyStatement(
            sid="Deploy",
            actions=["ecs:DescribeServices", "ecs:UpdateService"],
            resources=[service.service_arn for service in services],
        ),
        iam.PolicyStatement(
            sid="Migrate",
            actions=["ecs:RunTask"],
            resources=[arn("task-definition", f"{task.family}:*") for task in migrations],
            conditions={"ArnEquals": {"ecs:cluster": cluster.cluster_arn}},
        ),
        iam.PolicyStatement(
            sid="Watch", actions=["ecs:DescribeTasks"], resources=[arn("task", f"{cluster.cluster_name}/*")]
        ),
        iam.PolicyStatement(
            sid="GiveTasksTheirRoles",
            actions=["iam:PassRole"],
            resources=roles,
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]
