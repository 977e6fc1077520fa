"""`python deploy/aws/app.py [--out FOLDER]`: write the CloudFormation templates; needs Node, no network, no account."""

import argparse
import sys
from pathlib import Path

import ledgerlink_aws  # noqa: F401 - it names the CDK's Node before the CDK looks for one

# isort: split
from aws_cdk import App, Aspects, DefaultStackSynthesizer
from cdk_nag import AwsSolutionsChecks

from ledgerlink_aws.environment import Environment
from ledgerlink_aws.registry import Registry
from ledgerlink_aws.sizes import SIZES


def synthesize(folder: str) -> list[str]:
    """Write the templates of all stacks into ``folder`` and return what the security rules found."""
    app = App(outdir=folder, analytics_reporting=False)

    # Plain templates: no bootstrap stack, no assets, nothing that only the CDK's own program could deploy.
    def plain() -> DefaultStackSynthesizer:
        return DefaultStackSynthesizer(generate_bootstrap_version_rule=False)

    Registry(app, "ledgerlink-registry", synthesizer=plain(), description="LedgerLink: images, and trust in GitHub")
    for size in SIZES:
        Environment(
            app,
            f"ledgerlink-{size.name}",
            size,
            synthesizer=plain(),
            description=f"LedgerLink, environment {size.name}",
        )
    Aspects.of(app).add(AwsSolutionsChecks(verbose=True, reports=False))
    assembly = app.synth()
    return [
        f"{message.id}: {message.entry.data}"
        for stack in assembly.stacks
        for message in stack.messages
        if str(message.level).endswith(("ERROR", "WARNING"))
    ]


def main() -> int:
    """Write the templates; exit code 1 when the security rules found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(Path(__file__).parent / "out"), help="folder of the templates")
    found = synthesize(parser.parse_args().out)
    for finding in found:
        print(finding, file=sys.stderr)
    print(f"aws: {len(SIZES) + 1} templates, {len(found)} findings of the security rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
