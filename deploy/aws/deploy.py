"""`make aws-deploy`: bring a published release to an environment: its image to ECR, then the rollout.

What to do stands in the environment, so that no word of whoever asked passes a shell: ENVIRONMENT (dev, prod), VERSION
(1.2.3, or its tag v1.2.3), IMAGE (ghcr.io/owner/name), GITHUB_REPOSITORY (owner/name), MIGRATE (no: leave the schemas
as they are, to go back). AWS's credentials and region are found as boto3 finds them. It can be repeated.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import boto3

from ledgerlink_aws.promote import PromotionFailed, Release, promote
from ledgerlink_aws.rollout import Place, RolloutFailed, roll_out
from ledgerlink_aws.sizes import SIZES
from ledgerlink_aws.wiring import services


def run(command: Sequence[str], said: str) -> tuple[int, str]:
    """Run a program; its errors are shown."""
    done = subprocess.run(command, input=said, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout


def main() -> int:
    """Promote and roll out; exit code 1 with a sentence when the release does not run."""
    wanted = {name: os.environ.get(name, "") for name in ("ENVIRONMENT", "VERSION", "IMAGE", "GITHUB_REPOSITORY")}
    missing = [name for name, value in wanted.items() if not value]
    size = next((each for each in SIZES if each.name == wanted["ENVIRONMENT"]), None)
    if missing or size is None:
        print(f"deploy: {', '.join(missing) or 'a known ENVIRONMENT'} is missing.\n{__doc__}")
        return 1
    release = Release(wanted["IMAGE"], wanted["VERSION"].removeprefix("v"), wanted["GITHUB_REPOSITORY"])
    place = Place(boto3.client("ecs"), size.name, services(sandbox=size.sandbox), time.sleep, print)
    try:
        promote(boto3.client("ecr"), run, release, print)
        roll_out(place, release.version, migrate=os.environ.get("MIGRATE") != "no")
    except (PromotionFailed, RolloutFailed) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    print(f"deploy: {size.name} runs {release.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
