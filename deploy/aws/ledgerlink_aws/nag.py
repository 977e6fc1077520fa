"""Exceptions from the security rules (cdk-nag, AWS Solutions), each made where it is needed and with its reason."""

from cdk_nag import NagPackSuppression, NagSuppressions
from constructs import IConstruct


def excuse(construct: IConstruct, *reasons: tuple[str, str], under: bool = False) -> None:
    """Let ``construct`` break rules, given as (rule or rule[finding], reason).

    ``under``: its children too.
    """
    found = [
        NagPackSuppression(id=rule.partition("[")[0], reason=reason)
        if "[" not in rule
        else NagPackSuppression(
            id=rule.partition("[")[0], reason=reason, applies_to=[rule.partition("[")[2].removesuffix("]")]
        )
        for rule, reason in reasons
    ]
    NagSuppressions.add_resource_suppressions(construct, found, apply_to_children=under)
