"""The secrets: drawn by Secrets Manager, joined into addresses by CloudFormation. No template ever holds a value."""

from collections.abc import Mapping

from aws_cdk import CfnParameter, RemovalPolicy, SecretValue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as sm
from constructs import Construct

from ledgerlink_aws.nag import excuse
from ledgerlink_aws.sizes import Size
from ledgerlink_aws.wiring import Service, composed, fill, generated

NOT_ROTATED = (
    "AwsSolutions-SMG4",
    "Addresses are joined of this value when the stack is deployed, so it changes by a deploy: see the runbook.",
)


class Vault:
    """All secrets of one environment, by name."""

    def __init__(self, scope: Construct, size: Size, services: tuple[Service, ...], key: kms.Key) -> None:
        """Draw the generated ones."""
        self._scope, self._size, self._services, self._key = scope, size, services, key
        self.secrets: dict[str, sm.Secret] = {}
        for name, chars in generated(services).items():
            self._make(
                name,
                generate_secret_string=sm.SecretStringGenerator(
                    password_length=chars, exclude_punctuation=True, include_space=False
                ),
            )

    def value(self, name: str) -> SecretValue:
        """Give a reference that only CloudFormation resolves, inside AWS."""
        return self.secrets[name].secret_value

    def compose(self, addresses: Mapping[str, str], mail_url: CfnParameter) -> None:
        """Make those that are put together of others, now that the servers' addresses are known."""
        words = {name: self.value(name).unsafe_unwrap() for name in generated(self._services)}
        for name, template in composed(self._services).items():
            text = fill(template, {**words, **addresses})
            self._make(name, secret_string_value=SecretValue.unsafe_plain_text(text))
        self._make("mail-url", secret_string_value=SecretValue.cfn_parameter(mail_url))

    def _make(
        self,
        name: str,
        *,
        generate_secret_string: sm.SecretStringGenerator | None = None,
        secret_string_value: SecretValue | None = None,
    ) -> None:
        secret = sm.Secret(
            self._scope,
            f"secret-{name}",
            secret_name=f"ledgerlink/{self._size.name}/{name}",
            encryption_key=self._key,
            generate_secret_string=generate_secret_string,
            secret_string_value=secret_string_value,
            removal_policy=RemovalPolicy.RETAIN if self._size.protected else RemovalPolicy.DESTROY,
        )
        excuse(secret, NOT_ROTATED)
        self.secrets[name] = secret
