"""`python deploy/aws/rollout.py ENVIRONMENT TAG [--no-migrations]`: bring a release that lies in ECR to AWS.

Credentials and region are found as boto3 finds them. Going back is the same command with the previous tag and
`--no-migrations`: the previous release runs on the newer schema, as every migration keeps it able to.
"""

import argparse
import sys
import time

import boto3

from ledgerlink_aws.rollout import Place, RolloutFailed, roll_out
from ledgerlink_aws.sizes import SIZES
from ledgerlink_aws.wiring import services


def main() -> int:
    """Roll out; exit code 1 when the release does not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", choices=[size.name for size in SIZES])
    parser.add_argument("tag", help="tag of the image in ECR")
    parser.add_argument("--no-migrations", action="store_true", help="leave the schemas as they are: to go back")
    options = parser.parse_args()
    size = next(each for each in SIZES if each.name == options.environment)
    place = Place(boto3.client("ecs"), size.name, services(sandbox=size.sandbox), time.sleep, print)
    try:
        roll_out(place, options.tag, migrate=not options.no_migrations)
    except RolloutFailed as error:
        print(f"rollout: {error}", file=sys.stderr)
        return 1
    print(f"rollout: {options.environment} runs {options.tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
