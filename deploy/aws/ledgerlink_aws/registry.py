"""The account's own part, made once before any environment: where images lie, and the trust in GitHub's tokens."""

from typing import Any, Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

from ledgerlink_aws.wiring import APP_IMAGE

OTEL_IMAGE: Final = "ledgerlink/otel-collector"
GITHUB_TOKENS: Final = "token.actions.githubusercontent.com"


class Registry(Stack):
    """One image for all of our processes, a copy of the collector's, GitHub as an issuer of identities."""

    def __init__(self, scope: Construct, name: str, **options: Any) -> None:
        """Make it."""
        super().__init__(scope, name, **options)
        for image in (APP_IMAGE, OTEL_IMAGE):
            ecr.Repository(
                self,
                image.partition("/")[2],
                repository_name=image,
                image_scan_on_push=True,
                # A tag never moves: what ran as a release can be run again.
                image_tag_mutability=ecr.TagMutability.IMMUTABLE,
                removal_policy=RemovalPolicy.RETAIN,
                # A release is never removed by itself: a task that is replaced months after it must find its image.
                lifecycle_rules=[
                    ecr.LifecycleRule(
                        tag_status=ecr.TagStatus.UNTAGGED,
                        max_image_age=Duration.days(7),
                        description="Forget what lost its tag",
                    ),
                ],
            )
        iam.CfnOIDCProvider(self, "github", url=f"https://{GITHUB_TOKENS}", client_id_list=["sts.amazonaws.com"])
