"""Bring a release's image from where it was published to ECR, byte for byte, if our own pipeline made it.

The image is named by its digest from the first question on: what was verified is what is copied, and what ECR then
holds is compared once more. It can be repeated: a release that lies in ECR is left alone. Whatever the name `1.2.3`
means elsewhere later, ECR keeps the first image that came under it.
"""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledgerlink_aws.rollout import TAG
from ledgerlink_aws.wiring import APP_IMAGE

WORKFLOW: Final = ".github/workflows/release.yml"
"""Who signs a release's image; nobody else's signature counts."""
Run = Callable[[Sequence[str], str], tuple[int, str]]
"""Runs a program with a text on its standard input; gives its exit code and what it printed."""
Report = Callable[[str], None]


class PromotionFailed(Exception):
    """The image is not in ECR; the message says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """A published image: its name without a tag, its version, the GitHub repository (owner/name) that made it."""

    image: str
    version: str
    repository: str


def promote(ecr: Any, do: Run, release: Release, report: Report) -> str:
    """Verify and copy; gives the digest. ``ecr`` is boto3's client or its double. Raises `PromotionFailed`."""
    if not TAG.fullmatch(release.version):
        raise PromotionFailed(f"{release.version!r} is no version.")
    image = release.image.lower()
    digest = _digest(do, f"{image}:{release.version}")
    _verify(do, f"oci://{image}@{digest}", release.repository)
    report(f"{release.version} is {digest}, made by {release.repository}'s {WORKFLOW}")
    there = _in_ecr(ecr, release.version)
    if there == digest:
        report(f"{APP_IMAGE}:{release.version} is in ECR already")
        return digest
    if there is not None:
        raise PromotionFailed(f"ECR has another image as {release.version}: {there}. A release never moves.")
    registry = _log_in(ecr, do)
    command = ["docker", "buildx", "imagetools", "create", "--prefer-index=false"]
    if do([*command, "--tag", f"{registry}/{APP_IMAGE}:{release.version}", f"{image}@{digest}"], "")[0]:
        raise PromotionFailed("the image could not be copied to ECR, see above.")
    if (copied := _in_ecr(ecr, release.version)) != digest:
        raise PromotionFailed(f"ECR has {copied} instead of {digest}: it is not what was published.")
    report(f"{APP_IMAGE}:{release.version} is in ECR")
    return digest


def _digest(do: Run, name: str) -> str:
    """What a tag points at, now."""
    code, told = do(["docker", "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", name], "")
    if code:
        raise PromotionFailed(f"there is no image {name}, or it may not be read.")
    return json.loads(told)["digest"]


def _verify(do: Run, image: str, repository: str) -> None:
    """Ask GitHub whether this very image was built by our release workflow."""
    command = ["gh", "attestation", "verify", image, "--repo", repository]
    if do([*command, "--signer-workflow", f"{repository}/{WORKFLOW}"], "")[0]:
        raise PromotionFailed(f"{image} has no attestation of {repository}'s {WORKFLOW}: it is not deployed.")


def _in_ecr(ecr: Any, version: str) -> str | None:
    """The digest that ECR knows under this tag, or None."""
    try:
        told = ecr.describe_images(repositoryName=APP_IMAGE, imageIds=[{"imageTag": version}])
    except ecr.exceptions.ImageNotFoundException:
        return None
    return told["imageDetails"][0]["imageDigest"] if told["imageDetails"] else None


def _log_in(ecr: Any, do: Run) -> str:
    """Let docker in for some hours; gives the registry's host. The password goes by standard input."""
    given = ecr.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    registry = given["proxyEndpoint"].removeprefix("https://")
    if do(["docker", "login", "--username", user, "--password-stdin", registry], password)[0]:
        raise PromotionFailed(f"docker may not log in to {registry}, see above.")
    return registry
